"""A whole installation for a test: real processes on a real Kafka and Redis, and the provider fakes beside them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.settings import Settings, load

#: Seconds a condition may take on a busy machine before the test fails.
PATIENCE = 90.0


@dataclass
class Process:
    """One of our processes, with its log."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def tell(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.popen.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
        """Signal and wait. A frozen process is woken first, or it could not hear."""
        self.tell(signal.SIGCONT)
        self.tell(number)
        return self.popen.wait(timeout)

    def said(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")


@dataclass
class Installation:
    """Settings as environment, and every process started with them."""

    bootstrap: str
    redis_url: str
    folder: Path
    partitions: int = 4
    more: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    fakes: dict[str, Any] = field(default_factory=dict)
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def ledger_file(self) -> Path:
        return self.folder / "ledger.jsonl"

    def environment(self) -> dict[str, str]:
        own = {
            "ORCHESTRATOR_SEED": "test-seed",
            "ORCHESTRATOR_JOURNEYS": str(self.folder / "journeys"),
            "ORCHESTRATOR_KAFKA__BOOTSTRAP": self.bootstrap,
            "ORCHESTRATOR_KAFKA__GROUP": f"worker-{self.name}",
            "ORCHESTRATOR_KAFKA__SESSION_TIMEOUT": "6",
            # Just above the longest provider call: a killed dispatcher's claims are given up sooner.
            "ORCHESTRATOR_DISPATCHER__CLAIM": "31",
            "ORCHESTRATOR_REDIS__URL": self.redis_url,
            "ORCHESTRATOR_TOPICS__PARTITIONS": str(self.partitions),
            "ORCHESTRATOR_TOPICS__SOURCES": json.dumps([f"source-{self.name}"]),
            **{
                f"ORCHESTRATOR_TOPICS__{topic.upper()}": f"{topic}-{self.name}"
                for topic in ("events", "dead", "sends", "decisions")
            },
            **self.more,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        return {**kept, "PYTHONUNBUFFERED": "1", **own}

    def settings(self) -> Settings:
        """The same settings in this process."""
        before = dict(os.environ)
        try:
            os.environ.clear()
            os.environ.update(self.environment())
            return load()
        finally:
            os.environ.clear()
            os.environ.update(before)

    def write_journeys(self, **files: str) -> None:
        """Journey files by name; `message_<name>` is a message, `policy` the policy."""
        folder = self.folder / "journeys"
        (folder / "messages").mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if name == "policy":
                path = folder / "_policy.yaml"
            elif name.startswith("message_"):
                path = folder / "messages" / f"{name.removeprefix('message_')}.md"
            else:
                path = folder / f"{name}.yaml"
            path.write_text(text)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `orchestrator …` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, stage: str) -> Process:
        """Start a process of ours: worker, dispatcher, ingest or gateway."""
        number = sum(process.name.startswith(stage) for process in self.processes)
        log = self.folder / f"{stage}-{number}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", stage], env=self.environment(), stdout=out, stderr=out
            )
        process = Process(f"{stage}-{number}", popen, log)
        self.processes.append(process)
        return process

    def start_fakes(self, app_url: str = "") -> None:
        """Start the provider fakes and point twilio and sendgrid at them."""
        popen = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "orchestrator.testing.fakes",
                "--ledger",
                str(self.ledger_file),
                "--app-url",
                app_url,
            ],
            stdout=subprocess.PIPE,
        )
        assert popen.stdout is not None
        self.fakes = json.loads(popen.stdout.readline())
        popen.stdout.close()
        self.processes.append(Process("fakes", popen, self.folder / "fakes.log"))
        channels = {name: self.fakes["channels"][name] for name in ("twilio", "sendgrid")}
        self.more["ORCHESTRATOR_CHANNELS"] = json.dumps(channels)

    def ledger(self) -> list[dict[str, Any]]:
        """What the providers accepted."""
        if not self.ledger_file.exists():
            return []
        return [json.loads(line) for line in self.ledger_file.read_text().splitlines() if line]

    def close(self) -> None:
        for process in self.processes:
            if process.alive:
                process.tell(signal.SIGCONT)
                process.popen.kill()
            process.popen.wait()

    def logs(self) -> str:
        """The end of every process's log, for a failing test."""
        return "\n".join(
            f"--- {p.name} (exit {p.popen.poll()})\n{p.log.read_text(errors='replace')[-2500:]}"
            for p in self.processes
            if p.log.exists()
        )


async def until(holds: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Wait for a condition (a function or coroutine function); fail with its name when it does not come true."""
    deadline = time.monotonic() + timeout
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.0f} s: {what}")
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def installed(bootstrap: str, redis_url: str, folder: Path, **more: Any) -> Iterator[Installation]:
    """An installation whose processes end with the test, their logs shown when it fails."""
    installation = Installation(bootstrap, redis_url, folder, **more)
    try:
        yield installation
    except BaseException:
        print(installation.logs())
        raise
    finally:
        installation.close()
