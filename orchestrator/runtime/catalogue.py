"""Programs by content hash, from the shared store: what a control record refers to."""

from __future__ import annotations

from collections.abc import Sequence

import redis.asyncio

from orchestrator.engine.context import Context
from orchestrator.errors import OrchestratorError
from orchestrator.language.journeys import program_from_body, version_of_body
from orchestrator.language.program import Journey, Policy, Program
from orchestrator.stores import keys

#: What runs before anything was published.
EMPTY = Program(version="", journeys={}, messages={}, policy=Policy(channels={}), triggers={})


class Catalogue:
    """Loads and compiles each program once per process; bodies never change under their hash."""

    def __init__(self, client: redis.asyncio.Redis, seed: bytes) -> None:
        self._redis = client
        self._seed = seed
        self._programs: dict[str, Program] = {"": EMPTY}

    async def publish(self, body: bytes) -> str:
        """Put a program's body into the shared store; its hash is what a control record names."""
        digest = version_of_body(body)
        await self._redis.set(keys.body(digest), body)
        return digest

    async def program(self, digest: str) -> Program:
        """The program of a hash. Raises when its body is not in the store: going on would drop journeys silently."""
        known = self._programs.get(digest)
        if known is None:
            body = await self._redis.get(keys.body(digest))
            if body is None:
                raise OrchestratorError(
                    f"the program {digest} that the log names is not in the shared store",
                    fix="restore the key or publish the same journeys again: `orchestrator journeys publish`",
                )
            known = self._programs[digest] = program_from_body(body)
        return known

    async def context(self, digests: Sequence[str], unhealthy: Sequence[str] = ()) -> Context:
        """The context of a partition whose control records named these programs, the one in force last."""
        older: dict[str, Journey] = {}
        for digest in digests[:-1]:
            program = await self.program(digest)
            older.update({journey.version: journey for journey in program.journeys.values()})
        current = await self.program(digests[-1]) if digests else EMPTY
        return Context(program=current, seed=self._seed, older=older, unhealthy=frozenset(unhealthy))
