"""Decision records read from a real log: all that are still held, from wherever it begins."""

from __future__ import annotations

from pathlib import Path

from fixtures_redis import service_missing

from orchestrator.engine import decision as decisions
from orchestrator.engine.decision import Decision
from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.decision_log import read_log
from orchestrator.runtime.local_redis import LocalRedis, find_server
from orchestrator.runtime.streams_log import StreamsLog
from orchestrator.settings import Redis as RedisSettings
from orchestrator.settings import Settings, Topics
from orchestrator.stores.client import connect


async def test_all_records_that_a_running_embedded_mode_holds(tmp_path: Path) -> None:
    try:
        find_server()
    except DependencyUnreachable as error:
        service_missing(str(error))
    server = LocalRedis(tmp_path / "redis")
    server.start()
    try:
        client = connect(RedisSettings.model_validate({"url": server.url}))
        log = StreamsLog(client, {"decisions": 3})
        for number in range(90):
            one = Decision(kind="sent", id=f"s{number}", at=number, customer="c", journey="j", version="v", run_id="r")
            await log.append("decisions", number % 2, [(b"c", decisions.encode(one))])
        await log.trim("decisions", 0, 17)
        settings = Settings(data=tmp_path, topics=Topics(partitions=3))
        found = {one.id for one in await read_log(settings)}
        await log.close()
        await client.aclose()
    finally:
        server.stop()
    # Of partition 0 the first seventeen are gone, the third partition is empty.
    assert found == {f"s{number}" for number in range(90)} - {f"s{2 * place}" for place in range(17)}
