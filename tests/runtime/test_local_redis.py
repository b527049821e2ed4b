"""A real server of our own: durable, private, alone on its data, and gone with its owner."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime import local_redis
from orchestrator.runtime.local_redis import LocalRedis, find_server, server_version


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    try:
        find_server()
    except DependencyUnreachable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(f"NO REDIS: {error}")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalRedis]:
    local = LocalRedis(tmp_path / "data")
    local.start()
    yield local
    local.stop()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie nobody reaped yet does not)."""
    stat_file = Path(f"/proc/{pid}/stat")
    if stat_file.exists():
        return stat_file.read_text().rpartition(")")[2].split()[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc/self").exists()


def test_it_is_set_up_to_lose_nothing_and_to_listen_to_nobody_else(server: LocalRedis) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        info = client.info()
        config = client.config_get("*")
    assert info["process_id"] == server.pid
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "always"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["save"] == ""
    assert config["port"] == "0"
    assert stat.S_IMODE(Path(server.url.removeprefix("unix://")).stat().st_mode) == 0o700


def test_data_survive_a_kill_and_a_stop_at_the_same_address(server: LocalRedis) -> None:
    url = server.url
    with redis.Redis.from_url(url) as client:
        client.set("a", 1)
        server.kill()
        assert server.pid is None
        server.start()
        assert client.get("a") == b"1"
        client.set("b", 2)
        server.stop()
        server.start()
        assert client.mget("a", "b") == [b"1", b"2"]
    assert server.url == url


def test_starting_twice_is_one_server(server: LocalRedis) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_nothing_is_kept_when_not_persistent(tmp_path: Path) -> None:
    local = LocalRedis(tmp_path, persistent=False)
    local.start()
    try:
        with redis.Redis.from_url(local.url) as client:
            client.set("a", 1)
        local.stop()
        local.start()
        with redis.Redis.from_url(local.url) as client:
            assert client.get("a") is None
    finally:
        local.stop()


def test_a_folder_in_use_is_refused_with_its_owner(
    server: LocalRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_redis, "PREDECESSOR_GRACE", 0.0)
    with pytest.raises(DependencyUnreachable, match=rf"in use \(started by process {os.getpid()}\)"):
        LocalRedis(tmp_path / "data").start()
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_stopped_server_gives_the_folder_free(server: LocalRedis, tmp_path: Path) -> None:
    server.stop()
    other = LocalRedis(tmp_path / "data")
    other.start()
    other.stop()


def test_a_deep_folder_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    local = LocalRedis(deep)
    local.start()
    try:
        assert len(local.url) < 110
        with redis.Redis.from_url(local.url) as client:
            client.set("a", 1)
        socket_folder = Path(local.url.removeprefix("unix://")).parent
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    finally:
        local.stop()
    assert (deep / "redis.log").exists()
    assert not socket_folder.exists()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_owner_and_the_next_owner_finds_the_data(tmp_path: Path, sent: signal.Signals) -> None:
    program = (
        "import sys, redis\n"
        "from orchestrator.runtime.local_redis import LocalRedis\n"
        "local = LocalRedis(sys.argv[1]); local.start()\n"
        "redis.Redis.from_url(local.url).set('a', 1)\n"
        "print(local.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert alive(pid)
    owner.send_signal(sent)
    owner.communicate()
    # At once, without waiting for the orphan: the new owner waits for the lock the old server still holds.
    local = LocalRedis(tmp_path)
    local.start()
    try:
        assert not alive(pid)
        with redis.Redis.from_url(local.url) as client:
            assert client.get("a") == b"1"
    finally:
        local.stop()


def test_an_interrupt_in_the_terminal_does_not_reach_the_server(server: LocalRedis) -> None:
    assert server.pid is not None
    assert os.getpgid(server.pid) != os.getpgrp()


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "appendonly.aof"
    broken.write_bytes(b"this is no append-only file\r\n" * 10)
    if server_version(find_server()) >= (7,):
        (tmp_path / "appendonlydir").write_text("not a folder")
    with pytest.raises(DependencyUnreachable, match=r"ended with code 1\. Its log ends: .+"):
        LocalRedis(tmp_path).start()
    # And it left nothing behind: the folder is free.
    broken.unlink()
    (tmp_path / "appendonlydir").unlink(missing_ok=True)
    local = LocalRedis(tmp_path)
    local.start()
    local.stop()


def test_data_of_a_newer_server_are_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    with pytest.raises(DependencyUnreachable, match="written by Redis 7 or newer"):
        LocalRedis(tmp_path, server=old).start()


def fake(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{version}'\n")
    file.chmod(0o755)
    return file


def test_the_path_comes_first_and_old_servers_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(local_redis, "BUNDLES", ())
    fake(tmp_path, "redis-server", "Redis server v=5.0.7 sha=0")
    with pytest.raises(DependencyUnreachable, match=r"version 5\.0\.7.*brew install redis"):
        find_server()
    valkey = fake(tmp_path, "valkey-server", "Valkey server v=8.1.3 sha=0")
    assert find_server() == valkey
    newer = fake(tmp_path, "redis-server", "Redis server v=7.4.0 sha=0")
    assert find_server() == newer
