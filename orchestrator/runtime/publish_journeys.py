"""Put a program into force: its body into the shared store, then a control record into every partition of the log.

All workers switch at that position, so a replay of the log switches at the same place.
"""

from __future__ import annotations

from collections.abc import Mapping

import redis.asyncio

from orchestrator.contracts import records
from orchestrator.language.journeys import compile_program, program_body
from orchestrator.language.program import Program
from orchestrator.ports import Clock, EventLog
from orchestrator.runtime.catalogue import Catalogue
from orchestrator.stores import keys


async def publish_program(
    client: redis.asyncio.Redis, log: EventLog, catalogue: Catalogue, topic: str, files: Mapping[str, str], clock: Clock
) -> tuple[Program, bool]:
    """Publish the journeys of these texts unless they are in force already; True when something changed.

    Raises JourneysInvalid before anything is written. Publishing twice is harmless.
    """
    program = compile_program(files)
    if await client.get(keys.PROGRAM) == program.version.encode():
        return program, False
    digest = await catalogue.publish(program_body(files))
    now, partitions = clock.now(), await log.partitions(topic)
    for partition in range(partitions):
        record = records.encode(records.control("program", digest, now, partition=partition, partitions=partitions))
        await log.append(topic, partition, [(None, record)])
    await client.set(keys.PROGRAM, digest)
    return program, True
