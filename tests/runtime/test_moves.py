"""Moving runs to another version: nobody stranded, nothing sent twice, the same for every cut of the log."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from orchestrator.contracts import records
from orchestrator.errors import OrchestratorError
from orchestrator.language.journeys import compile_program, program_body, version_of_body
from orchestrator.language.moving import plan
from orchestrator.language.program import Journey
from orchestrator.ports import LogRecord
from orchestrator.runtime.batch import Destinations
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.runtime.moving import Mover
from orchestrator.runtime.partitions import Partitions
from orchestrator.stores.partition_state import PartitionState
from orchestrator.testing.replay import replay

START, HOUR = 1_770_000_000_000, 3_600_000
COMMON = {
    "_policy.yaml": "channels:\n  email: {cost: 0.001}\n",
    "messages/hello.md": "---\nsubject: Hello\n---\nHello.\n",
    "messages/bye.md": "---\nsubject: Bye\n---\nBye.\n",
}
HEAD = "name: F\nowner: t\nstatus: live\ntrigger: purchase\nsteps:\n"
OLD = COMMON | {"f.yaml": HEAD + "  - send: hello\n  - wait: 2d\n  - send: hello\n"}
#: The new version thinks a day longer before it begins, and ends with other words.
NEW = COMMON | {"f.yaml": HEAD + "  - wait: 1d\n  - send: hello\n  - wait: 2d\n  - send: bye\n"}
WITHOUT = COMMON | {"f.yaml": HEAD + "  - send: bye\n"}


def journey(files: dict[str, str]) -> Journey:
    return compile_program(files).journeys["f"]


def digest(files: dict[str, str]) -> str:
    return version_of_body(program_body(files))


def events(customers: int = 5) -> list[bytes]:
    made = [records.control("program", digest(OLD), START)]
    for number in range(customers):
        known = {"addresses": {"email": f"c{number}@x.test"}, "consents": {"email": {"marketing": True}}}
        made += [
            records.Event(id=f"u{number}", type="customer_updated", time=START, customer=f"c{number}", data=known),
            records.Event(
                id=f"p{number}",
                type="purchase",
                time=START + number,
                customer=f"c{number}",
                data={"order_id": f"o{number}"},
            ),
        ]
    made += [records.tick(START + HOUR), records.control("program", digest(NEW), START + HOUR)]
    return [records.encode(one) for one in made]


def as_records(values: list[bytes]) -> list[LogRecord]:
    return [LogRecord(offset, value) for offset, value in enumerate(values)]


def move_record(old: dict[str, str] = OLD, new: dict[str, str] = NEW) -> bytes:
    found = plan(journey(old), journey(new), {1: 5}, {})
    assert not found.stranded
    return records.encode(records.control("move", "m", START + HOUR, **found.move.data()))


def sent(log: list[bytes]) -> list[tuple[str, str]]:
    programs = {digest(files): compile_program(files) for files in (OLD, NEW)}
    replayed = replay(as_records(log), programs.__getitem__, b"seed")
    return sorted((row.customer, row.message) for row in replayed.rows.values())


def test_moved_runs_keep_their_wait_and_go_on_in_the_new_version() -> None:
    late = [records.encode(records.tick(START + 10 * 24 * HOUR))]
    names = [f"c{number}" for number in range(5)]
    unmoved = sent([*events(), *late])
    assert unmoved == sorted((name, "hello") for name in names for _ in range(2))
    # Each got the greeting once before the move; after it only the new farewell, and no second greeting.
    assert sent([*events(), move_record(), *late]) == sorted(
        [(name, "hello") for name in names] + [(name, "bye") for name in names]
    )


async def partitions_of(client: redis.asyncio.Redis) -> Partitions:
    catalogue = Catalogue(client, b"seed")
    for files in (OLD, NEW, WITHOUT):
        await catalogue.publish(program_body(files))
    return Partitions(PartitionState(client), catalogue, Destinations())


async def test_plan_rehearsal_and_the_state_after_any_cut(redis_client: redis.asyncio.Redis) -> None:
    log = events()
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    await owner.apply(0, as_records(log))
    mover = Mover(redis_client, Catalogue(redis_client, b"seed"), 1)
    old, new = journey(OLD).version, journey(NEW).version
    assert list(await mover.versions("f")) == [old, new]
    assert await mover.standing("f") == {old: {1: 5}}
    found = await mover.plan("f", old, new, {})
    assert [(row.step, row.runs, row.becomes) for row in found.rows] == [("steps[1]", 5, "steps[2]")]
    rehearsal = await mover.rehearse(found.move)
    assert (rehearsal.moved, rehearsal.faults) == (5, {})
    # A rehearsal moves nobody.
    assert await mover.standing("f") == {old: {1: 5}}
    log += [records.encode(records.control("move", "m", START + HOUR, **found.move.data()))]
    await owner.apply(0, as_records(log))
    assert await mover.standing("f") == {new: {2: 5}}
    # A worker that starts after the move knows of it.
    other = await partitions_of(redis_client)
    await other.acquire(0)
    log += [records.encode(records.tick(START + 10 * 24 * HOUR))]
    await other.apply(0, as_records(log))
    assert await mover.standing("f") == {}
    programs = {digest(files): compile_program(files) for files in (OLD, NEW)}
    expected = replay(as_records(log), programs.__getitem__, b"seed")
    stored: list[Any] = await PartitionState(redis_client).load(0, [f"c{number}" for number in range(5)])
    assert stored == [expected.documents[f"c{number}"] for number in range(5)]


def test_nobody_is_stranded_and_wishes_are_kept() -> None:
    stranded = plan(journey(OLD), journey(WITHOUT), {1: 3}, {})
    assert [(row.step, row.runs, row.becomes) for row in stranded.stranded] == [("steps[1]", 3, "")]
    wished = plan(journey(OLD), journey(NEW), {1: 3}, {"steps[1]": "steps[0]"})
    assert wished.move.positions[1] == 0
    wrong = plan(journey(OLD), journey(NEW), {1: 3}, {"steps[1]": "steps[1]"})
    assert wrong.stranded[0].why == "steps[1] does another kind of thing"
    nowhere = plan(journey(OLD), journey(NEW), {1: 3}, {"steps[1]": "steps[9]"})
    assert nowhere.stranded[0].why == "the new version has no steps[9]"


async def test_a_version_nobody_published_is_named(redis_client: redis.asyncio.Redis) -> None:
    owner = await partitions_of(redis_client)
    await owner.acquire(0)
    await owner.apply(0, as_records(events()))
    mover = Mover(redis_client, Catalogue(redis_client, b"seed"), 1)
    with pytest.raises(OrchestratorError, match="has no version 0123"):
        await mover.plan("f", "0123", journey(NEW).version, {})
    with pytest.raises(OrchestratorError, match="was ever published"):
        await mover.versions("nothing")
