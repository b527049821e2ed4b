"""Programs and snapshots of shared beliefs by content hash, from the shared store: what a control record names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import redis.asyncio

from orchestrator.engine.context import Context
from orchestrator.errors import OrchestratorError
from orchestrator.language.journeys import program_from_body, version_of_body
from orchestrator.language.program import Journey, Policy, Program
from orchestrator.learning.pooled import decode
from orchestrator.learning.priors import Priors
from orchestrator.runtime.choice_policies import policy_makers
from orchestrator.stores import keys

#: Snapshots of beliefs kept decoded: partitions of one process may stand at different ones.
_KEPT_PRIORS = 8
#: What runs before anything was published.
EMPTY = Program(version="", journeys={}, messages={}, policy=Policy(channels={}), triggers={})


class Catalogue:
    """Loads and compiles each program once per process; bodies never change under their hash."""

    def __init__(self, client: redis.asyncio.Redis, seed: bytes) -> None:
        self._redis = client
        self._seed = seed
        self._programs: dict[str, Program] = {"": EMPTY}
        self._priors: dict[str, Priors] = {"": Priors()}
        self._makers = policy_makers()

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
            if not isinstance(body, bytes):
                raise OrchestratorError(
                    f"the program {digest} that the log names is not in the shared store",
                    fix="restore the key or publish the same journeys again: `orchestrator journeys publish`",
                )
            known = self._programs[digest] = program_from_body(body)
        return known

    async def priors(self, digest: str) -> Priors:
        """The beliefs of a snapshot's hash. Raises when its body is gone: decisions would differ."""
        known = self._priors.get(digest)
        if known is None:
            body = await self._redis.get(keys.body(digest))
            if not isinstance(body, bytes):
                raise OrchestratorError(
                    f"the snapshot of beliefs {digest} that the log names is not in the shared store",
                    fix="restore the key from a backup of Redis; snapshots are kept as long as the log keeps records",
                )
            known = Priors(decode(body))
            # Those before the last few are not asked for again but in a replay.
            for old in list(self._priors)[1 : -_KEPT_PRIORS + 1]:
                del self._priors[old]
            self._priors[digest] = known
        return known

    async def context(
        self,
        digests: Sequence[str],
        unhealthy: Sequence[str] = (),
        priors: str = "",
        stale: Mapping[str, int] | None = None,
    ) -> Context:
        """The context of a partition whose control records named these programs, the one in force last."""
        older: dict[str, Journey] = {}
        for digest in digests[:-1]:
            program = await self.program(digest)
            older.update({journey.version: journey for journey in program.journeys.values()})
        current = await self.program(digests[-1]) if digests else EMPTY
        return Context(
            program=current,
            seed=self._seed,
            priors=await self.priors(priors),
            older=older,
            unhealthy=frozenset(unhealthy),
            stale=stale or {},
            makers=self._makers,
        )
