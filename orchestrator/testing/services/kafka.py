"""A real Kafka broker for tests: `start_kafka()`.

The ladder: `ORCHESTRATOR_TEST_KAFKA` names a running broker (host:port) → a container, where Docker runs → Apache
Kafka's own jars, fetched once by Maven into a cache folder and run by a local Java (17 or newer) → ServiceMissing.

The last two can be killed and started again on the same data and port, which is how the fault tests work.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import DependencyUnreachable
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime.dies_with_us import Watch
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.testing.services import ServiceMissing
from orchestrator.testing.services.docker import docker_runs

with deprecations_ignored():
    from kafka.errors import RetriableError

VERSION = "4.1.2"
ENVIRONMENT = "ORCHESTRATOR_TEST_KAFKA"
#: Seconds a broker may take until it answers.
START_TIMEOUT = 60.0

#: What both the local process and the container run with: one node, small, and quick to rebalance.
_BROKER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a kill the controller waits for the dead broker's session before it lets the new process in.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "group.min.session.timeout.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(4 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
}

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>journey-orchestrator</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


class KafkaServer:
    """One broker. `bootstrap` is its host:port; `cluster_id` proves that whoever answers there is this broker."""

    #: False for a broker somebody else runs: it cannot be killed from here.
    controllable = True

    def __init__(self, bootstrap: str, cluster_id: str) -> None:
        self.bootstrap = bootstrap
        self.cluster_id = cluster_id

    def start(self) -> None:
        """Start again on the same data and port, and wait until it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL: what it had not written to its files is lost."""
        raise NotImplementedError

    def terminate(self) -> None:
        """SIGTERM, and wait for its clean end."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it and forget its data. May be called twice."""
        raise NotImplementedError

    def _wait_until_up(self, alive: Callable[[], str | None]) -> None:
        """Wait until this very broker answers; `alive` returns why it never will, or None."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            why = alive()
            if why is not None:
                raise ServiceMissing(f"Kafka ended while it started: {why}")
            found = _cluster_id(self.bootstrap, timeout=1.0)
            if found == self.cluster_id:
                return
            if found is not None:
                raise ServiceMissing(f"another Kafka answers at {self.bootstrap} (cluster {found})")
            time.sleep(0.05)
            if time.monotonic() > deadline:
                raise ServiceMissing(f"Kafka at {self.bootstrap} did not answer within {START_TIMEOUT:.0f} s")


class ExternalKafka(KafkaServer):
    """The broker that `ORCHESTRATOR_TEST_KAFKA` names."""

    controllable = False

    def stop(self) -> None:
        """It is not ours to end."""


class LocalKafka(KafkaServer):
    """A Java process in KRaft combined mode on a free loopback port, with a temporary data folder."""

    def __init__(self, java: str, jars: Path, heap: str = "256m") -> None:
        port, controller = _free_ports(2)
        super().__init__(f"127.0.0.1:{port}", _new_cluster_id())
        self._folder = Path(tempfile.mkdtemp(prefix="orchestrator-kafka-"))
        self._config = self._folder / "server.properties"
        self._output = self._folder / "output.log"
        self._java = [java, f"-Xmx{heap}", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._java += ["-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        settings = _BROKER | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "log.dirs": str(self._folder / "data"),
        }
        self._config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        atexit.register(self.stop)
        formatted = subprocess.run(  # noqa: S603 - our own command line
            [*self._java, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(self._config)],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )
        if formatted.returncode != 0:
            raise ServiceMissing(f"Kafka's storage tool failed: {formatted.stderr[-2_000:]}")

    @property
    def pid(self) -> int:
        """The process id, for measurements. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("Kafka does not run")
        return self._process.pid

    def start(self) -> None:
        if self._process is not None and self._process.poll() is None:
            raise RuntimeError("Kafka runs already")
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [*self._java, "kafka.Kafka", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                start_new_session=True,
            )
        self._watch = Watch(self._process.pid)
        self._wait_until_up(self._why_dead)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            if self._watch is not None:
                self._watch.end()
                self._watch = None
            self._process.wait(START_TIMEOUT)
            self._process = None

    def _why_dead(self) -> str | None:
        if self._process is None or self._process.poll() is None:
            return None
        return f"exit code {self._process.returncode}; {self._output.read_text(errors='replace')[-2_000:]}"


class ContainerKafka(KafkaServer):
    """The official image `apache/kafka`, on a fixed free port of the host so that it can be started again."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        (port,) = _free_ports(1)
        super().__init__(f"127.0.0.1:{port}", _new_cluster_id())
        settings = _BROKER | {
            "controller.quorum.voters": "1@localhost:9093",
            "listeners": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://0.0.0.0:9093",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        }
        container = DockerContainer(f"apache/kafka:{VERSION}").with_bind_ports("9092/tcp", port)
        container = container.with_env("CLUSTER_ID", self.cluster_id)
        for name, value in settings.items():
            container = container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        self._container = container.start()
        self._running = True

    def start(self) -> None:
        if not self._running:
            self._container.get_wrapped_container().start()
            self._running = True
        self._wait_until_up(self._why_dead)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()
        self._running = False

    def terminate(self) -> None:
        self._container.get_wrapped_container().stop(timeout=int(START_TIMEOUT))
        self._running = False

    def stop(self) -> None:
        self._container.stop()
        self._running = False

    def _why_dead(self) -> str | None:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        if wrapped.status in ("created", "running", "restarting"):
            return None
        return f"container is {wrapped.status}: {wrapped.logs(tail=20).decode(errors='replace')}"


def start_kafka() -> KafkaServer:
    """A broker that answers. Raises ServiceMissing, with what to install, when no rung of the ladder carries."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        found = _cluster_id(named, timeout=10.0)
        if found is None:
            raise ServiceMissing(f"no Kafka answers at {named}, which {ENVIRONMENT} names")
        return ExternalKafka(named, found)
    if docker_runs():
        container = ContainerKafka()
        container.start()
        return container
    java = _java()
    jars = _jars()
    for attempt in (1, 2, 3):
        server = LocalKafka(java, jars)
        try:
            server.start()
        except ServiceMissing as problem:
            server.stop()
            # Another process may take a free port between the look and the use of it.
            if attempt == 3 or "Address already in use" not in str(problem):
                raise
        else:
            return server
    raise AssertionError("unreachable")


def _cluster_id(bootstrap: str, timeout: float) -> str | None:
    """The id of the cluster that answers there, or None."""
    try:
        with admin_client(bootstrap, timeout) as admin:
            cluster_id: Any = admin.describe_cluster()["cluster_id"]
            return str(cluster_id)
    except (DependencyUnreachable, RetriableError, OSError):
        return None


def _java() -> str:
    """The Java of JAVA_HOME or PATH, 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    advice = f"install Java 17 or newer and Maven, or run Docker, or set {ENVIRONMENT}=host:port"
    if java is None:
        raise ServiceMissing("no Docker and no Java for a local Kafka", fix=advice)
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    if version is None:
        raise ServiceMissing(f"{java} -version failed: {said.stderr[-500:]}", fix=advice)
    if int(version[1]) < 17:
        raise ServiceMissing(f"{java} is older than Java 17, which Kafka {VERSION} needs", fix=advice)
    return java


def _jars() -> Path:
    """The folder of Kafka's jars; fetched by Maven once, by one process at a time."""
    home = os.environ.get("XDG_CACHE_HOME")
    root = (Path(home) if home else Path.home() / ".cache") / "journey-orchestrator"
    folder = root / f"kafka-{VERSION}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceMissing(
            "no Maven to fetch Kafka's jars", fix=f"install Maven, or run Docker, or set {ENVIRONMENT}=host:port"
        )
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root / f"kafka-{VERSION}.lock"):
        if folder.is_dir():
            return folder
        # Maven fills a folder of another name, which gets its own only when it is complete.
        with tempfile.TemporaryDirectory(dir=root, prefix="fetching-") as work:
            pom = Path(work) / "pom.xml"
            pom.write_text(_POM.format(version=VERSION))
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={work}/jars", "-DincludeScope=runtime"]
            fetched = subprocess.run(  # noqa: S603 - our own command line
                [maven, "-q", "-B", "-f", str(pom), *goal],
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if fetched.returncode != 0:
                raise ServiceMissing(f"Maven could not fetch Kafka {VERSION}: {fetched.stdout[-2_000:]}")
            (Path(work) / "jars").rename(folder)
    return folder


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback that were free just now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _new_cluster_id() -> str:
    """A random Kafka UUID: 22 characters of URL-safe base64, not beginning with a dash."""
    return "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
