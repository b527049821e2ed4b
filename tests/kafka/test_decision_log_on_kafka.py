"""Decision records read from a real broker, also where it has given up the oldest ones."""

from __future__ import annotations

from pathlib import Path

from orchestrator.engine import decision as decisions
from orchestrator.engine.decision import Decision
from orchestrator.imports import deprecations_ignored
from orchestrator.runtime.decision_log import read_log
from orchestrator.runtime.kafka_admin import admin_client
from orchestrator.runtime.kafka_log import KafkaLog
from orchestrator.settings import Settings

with deprecations_ignored():
    from kafka import TopicPartition


async def test_all_records_that_the_topic_holds(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"data": tmp_path})
    topic = settings.topics.decisions
    log = KafkaLog(settings.kafka)
    try:
        for number in range(60):
            one = Decision(kind="sent", id=f"s{number}", at=number, customer="c", journey="j", version="v", run_id="r")
            await log.append(topic, number % 2, [(b"c", decisions.encode(one))])
    finally:
        await log.close()
    assert {one.id for one in await read_log(settings)} == {f"s{number}" for number in range(60)}
    with admin_client(settings.kafka.bootstrap, 10.0) as admin:
        admin.delete_records({TopicPartition(topic, 0): 11})
    left = {one.id for one in await read_log(settings)}
    assert left == {f"s{number}" for number in range(60)} - {f"s{2 * place}" for place in range(11)}
