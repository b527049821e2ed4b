"""Connecting kafka-python's clients: `connected()`, and the administrative `admin_client()`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from orchestrator.errors import DependencyUnreachable
from orchestrator.imports import deprecations_ignored

with deprecations_ignored():
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError
    from kafka.net.compat import KafkaNetClient


Client = TypeVar("Client")

FIX = "start Kafka, or correct kafka.bootstrap (ORCHESTRATOR_KAFKA__BOOTSTRAP)"


def connected(kind: Callable[..., Client], bootstrap: str, timeout: float, **config: Any) -> Client:
    """A connected client of kafka-python. Raises DependencyUnreachable when no broker answers in `timeout` seconds.

    A broker that does not even listen is found by a plain connection first, and a client that fails in its constructor
    is closed from here: kafka-python leaves its thread and sockets open in both cases.
    """
    if not any(_listens(address, timeout) for address in bootstrap.split(",")):
        raise DependencyUnreachable(f"nothing listens at {bootstrap}", fix=FIX)
    networks: list[KafkaNetClient] = []

    def remembered(**network: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**network))
        return networks[-1]

    try:
        with deprecations_ignored():
            return kind(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=round(timeout * 1000),
                kafka_client=remembered,
                **config,
            )
    except BaseException as problem:
        for network in networks:
            network.close()
        if isinstance(problem, KafkaError | OSError):
            raise DependencyUnreachable(f"Kafka at {bootstrap} does not answer: {problem}", fix=FIX) from problem
        raise


@contextlib.contextmanager
def admin_client(bootstrap: str, timeout: float, **security: Any) -> Iterator[KafkaAdminClient]:
    """A connected client. Raises DependencyUnreachable when no broker answers within `timeout` seconds."""
    client = connected(KafkaAdminClient, bootstrap, timeout, request_timeout_ms=round(timeout * 1000), **security)
    try:
        yield client
    finally:
        client.close()


def _listens(address: str, timeout: float) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout):
            return True
    except (OSError, ValueError):
        return False
