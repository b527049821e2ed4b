"""A real Redis for tests: `ORCHESTRATOR_TEST_REDIS`, else a container where Docker runs, else one on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import redis

from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.local_redis import LocalRedis, find_server
from orchestrator.testing.services import ServiceMissing
from orchestrator.testing.services.docker import docker_runs

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

#: The variable that names a server to use instead of starting one. Its database must be empty, or used by us before.
VARIABLE = "ORCHESTRATOR_TEST_REDIS"
#: The key that marks a database as one that tests may empty.
MARK = "orchestrator:test-database"
IMAGE = "redis:7.4"
STARTUP = 60.0


class RedisServer(Protocol):
    """A server that tests may crash and bring back, durable as in production (synced before every answer)."""

    @property
    def url(self) -> str:
        """Address for redis-py; the same after a restart."""
        ...

    @property
    def controllable(self) -> bool:
        """Whether kill, start and stop work: not on a server that was only named to us."""
        ...

    def start(self) -> None:
        """Bring the server up on its data; returns when it answers."""
        ...

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        ...

    def stop(self) -> None:
        """End it gracefully."""
        ...

    def close(self) -> None:
        """End it and remove its data."""
        ...


class NamedRedis:
    """The server of `ORCHESTRATOR_TEST_REDIS`. Refuses a database with keys that are not from our tests."""

    controllable = False

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            with contextlib.closing(redis.Redis.from_url(url)) as client:
                if client.dbsize() and not client.exists(MARK):
                    raise ServiceMissing(
                        f"the database of {VARIABLE} is not empty, and tests would empty it: name another"
                    )
                client.set(MARK, "1")
        except redis.exceptions.RedisError as error:
            raise ServiceMissing(f"the server of {VARIABLE} does not answer: {error}") from error

    def start(self) -> None:
        """Nothing to do: the server is up."""

    def kill(self) -> None:
        raise ServiceMissing(f"the server of {VARIABLE} is not ours to kill: unset it for this test")

    def stop(self) -> None:
        raise ServiceMissing(f"the server of {VARIABLE} is not ours to stop: unset it for this test")

    def close(self) -> None:
        """Leave the server as it is; the database stays marked as one for tests."""


class ContainerRedis:
    """A container on a fixed loopback port, so that its address stays over a restart."""

    controllable = True

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        port = _free_port()
        command = "redis-server --appendonly yes --appendfsync always --maxmemory-policy noeviction --save ''"
        self._container: DockerContainer = (
            DockerContainer(IMAGE).with_bind_ports(6379, port).with_command(command).start()
        )
        self.url = f"redis://{self._container.get_container_host_ip()}:{port}/0"
        self._await_ready()

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        self._await_ready()

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop()

    def close(self) -> None:
        self._container.stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + STARTUP
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            while True:
                try:
                    client.ping()
                except redis.exceptions.RedisError as error:
                    if time.monotonic() > deadline:
                        raise ServiceMissing(f"the Redis container did not come up: {error}") from error
                    time.sleep(0.02)
                else:
                    return


class OwnRedis:
    """A server process of this machine on a temporary folder."""

    controllable = True

    def __init__(self, server: Path | None = None) -> None:
        self._dir = Path(tempfile.mkdtemp(prefix="orc-redis-"))
        self._redis = LocalRedis(self._dir, server=server)
        self.url = self._redis.url
        try:
            self._redis.start()
        except DependencyUnreachable as error:
            shutil.rmtree(self._dir, ignore_errors=True)
            raise ServiceMissing(str(error)) from error

    @property
    def data(self) -> Path:
        """Its folder, for tests that put an older state back."""
        return self._dir

    @property
    def pid(self) -> int | None:
        """The process, for tests that freeze it."""
        return self._redis.pid

    def start(self) -> None:
        self._redis.start()

    def kill(self) -> None:
        self._redis.kill()

    def stop(self) -> None:
        self._redis.stop()

    def close(self) -> None:
        self._redis.stop()
        shutil.rmtree(self._dir, ignore_errors=True)


def start_redis() -> RedisServer:
    """The first rung that holds, started. Raises ServiceMissing that says what to install."""
    if url := os.environ.get(VARIABLE):
        return NamedRedis(url)
    if docker_runs():
        return ContainerRedis()
    try:
        server = find_server()
    except DependencyUnreachable as error:
        raise ServiceMissing(str(error)) from error
    return OwnRedis(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
