"""A short-lived administrative connection to Kafka: `admin_client()`."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from orchestrator.errors import DependencyUnreachable
from orchestrator.imports import deprecations_ignored

with deprecations_ignored():
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError
    from kafka.net.compat import KafkaNetClient


FIX = "start Kafka, or correct kafka.bootstrap (ORCHESTRATOR_KAFKA__BOOTSTRAP)"


@contextlib.contextmanager
def reachable(bootstrap: str, timeout: float) -> Iterator[None]:
    """Around connecting a kafka-python client: what goes wrong is DependencyUnreachable.

    A broker that does not even listen is found by a plain connection first: kafka-python leaves its sockets open when
    it cannot connect.
    """
    if not any(_listens(address, timeout) for address in bootstrap.split(",")):
        raise DependencyUnreachable(f"nothing listens at {bootstrap}", fix=FIX)
    try:
        yield
    except (KafkaError, OSError) as problem:
        raise DependencyUnreachable(f"Kafka at {bootstrap} does not answer: {problem}", fix=FIX) from problem


@contextlib.contextmanager
def admin_client(bootstrap: str, timeout: float, **security: Any) -> Iterator[KafkaAdminClient]:
    """A connected client. Raises DependencyUnreachable when no broker answers within `timeout` seconds."""
    milliseconds = round(timeout * 1000)
    networks: list[KafkaNetClient] = []

    def remembered(**config: Any) -> KafkaNetClient:
        networks.append(KafkaNetClient(**config))
        return networks[-1]

    with reachable(bootstrap, timeout), deprecations_ignored():
        try:
            client = KafkaAdminClient(
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds,
                kafka_client=remembered,
                **security,
            )
        except BaseException:
            # A constructor that fails leaves its thread and sockets behind.
            for network in networks:
                network.close()
            raise
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
