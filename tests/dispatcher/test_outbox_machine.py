"""Any interleaving of commit, dispatchers, deaths, callbacks and policy, on the real scripts: what must always hold.

- at most one attempt of unknown outcome per send, two where the policy says retry;
- never two claims of one send at once;
- nothing is lost: every send that was planned is in the index of its status, or closed and told once per end;
- what a provider confirmed is never sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis
from sends import START, Clock, plan, row, told

from orchestrator.contracts.messages import OutboxRow
from orchestrator.contracts.receipts import FeedbackKind
from orchestrator.runtime.reconcile import Reconciler, resolve_from_feedback
from orchestrator.stores import keys, outbox
from orchestrator.stores.outbox import Claim, Outbox

T = TypeVar("T")
OPEN = ("planned", "sending", "unknown", "parked")
CLAIM_LASTS = 10_000
LASTS = 120_000
#: The rare and dangerous comes often here.
HOW = ["unknown"] * 5 + ["again"] * 2 + ["failed"] * 3 + ["sent", "suppressed", "parked", "held"]


class TimedOutbox(Outbox):
    """Deadlines by the machine's clock."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        super().__init__(client)
        self.clock = clock

    async def shared_now(self) -> int:
        return self.clock.at


class Life(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        with redis.Redis.from_url(self.url) as client:
            client.flushdb()
        self.loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(self.url)
        self.clock = Clock()
        self.store = TimedOutbox(self.redis, self.clock)
        self.policy: dict[str, str] = {}
        self.rows: dict[str, OutboxRow] = {}
        self.held: dict[str, Claim] = {}
        self.owners = 0
        #: send → attempts that reached a provider and whose outcome its dispatcher never learned.
        self.in_doubt: dict[str, set[int]] = {}
        self.taken: set[str] = set()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.wait(self.redis.aclose())
        self.loop.close()

    sends = Bundle("sends")
    claims = Bundle("claims")

    @property
    def now(self) -> int:
        return self.clock.at

    @initialize(target=sends, policies=st.lists(st.sampled_from(["retry", "drop", "park"]), min_size=4, max_size=6))
    def planned(self, policies: list[Any]) -> Any:
        ids = []
        for policy in policies:
            send_id = f"s{len(self.policy)}"
            ids.append(send_id)
            self.policy[send_id] = policy
            self.in_doubt[send_id] = set()
            self.rows[send_id] = row(send_id, on_unknown=policy, not_after=START + LASTS)
        self.wait(plan(self.redis, *self.rows.values()))
        return multiple(*ids)

    @rule(target=claims, limit=st.integers(3, 6))
    def claim(self, limit: int) -> Any:
        self.owners += 1
        taken = self.wait(self.store.claim(0, self.now, limit, f"d{self.owners}", self.now + CLAIM_LASTS))
        for one in taken:
            send_id = one.row.send_id
            assert send_id not in self.held, "two claims at once"
            assert send_id not in self.taken, "sent again after the provider confirmed it"
            allowed = 1 if self.policy[send_id] == "retry" else 0
            # A person may release a parked send in doubt: that is not automatic.
            if self.policy[send_id] != "park":
                assert len(self.in_doubt[send_id]) <= allowed
            self.held[send_id] = one
        return multiple(*taken)

    @rule(
        claim=consumes(claims),
        how=st.sampled_from(HOW),
    )
    def settled(self, claim: Claim, how: str) -> None:
        send_id, p = claim.row.send_id, {"provider": "p"}
        outcome = {
            "sent": outbox.sent("p", "m"),
            "failed": outbox.failed("bad", tried=True, **p),
            "suppressed": outbox.suppressed("bad", tried=True, **p),
            "again": outbox.put_back(self.now + 500, "connect", tried=True, **p),
            "unknown": outbox.unknown("timeout", self.now + 2_000, **p),
            "parked": outbox.parked("auth", self.now, **p),
            "held": outbox.put_back(self.now + 500, "kill"),
        }[how]
        before = self.wait(self.store.read(0, send_id))
        settled = self.wait(self.store.settle(claim, outcome, self.now))
        current = self.held.get(send_id) is claim
        if settled.accepted and current:
            del self.held[send_id]
            if how == "unknown":
                self.in_doubt[send_id].add(claim.attempt)
            if how == "sent":
                self.taken.add(send_id)
        elif not current:
            # It may agree with what was found (an answer repeated), but changes nothing.
            assert self.wait(self.store.read(0, send_id)) == before, "a lost claim settled"

    @rule(milliseconds=st.sampled_from([500, 3_000, CLAIM_LASTS]))
    def time_passes(self, milliseconds: int) -> None:
        """Lost claims are reaped; sends in doubt that nobody reported on meet their policy; the log is replayed."""
        self.clock.at += milliseconds
        self.wait(Reconciler(self.store, {}, self.clock, partitions=1, wait=2_000).run_once())
        self.wait(plan(self.redis, *self.rows.values()))
        for send_id, claim in list(self.held.items()):
            found = self.wait(self.store.read(0, send_id))
            assert found is not None
            if found.status != "sending":
                del self.held[send_id]
                self.in_doubt[send_id].add(claim.attempt)

    @rule(send_id=sends, what=st.sampled_from(["withdraw", "release", FeedbackKind.DELIVERED, FeedbackKind.FAILED]))
    def somebody_else_acts(self, send_id: str, what: str) -> None:
        if what == "withdraw":
            self.withdraw(send_id)
        elif what == "release":
            self.wait(self.store.release(0, send_id, self.now))
        else:
            settled = self.wait(resolve_from_feedback(self.store, send_id, 0, FeedbackKind(what), self.now))
            if settled is not None and settled.accepted:
                self.held.pop(send_id, None)
                if what == FeedbackKind.DELIVERED:
                    self.taken.add(send_id)

    def withdraw(self, send_id: str) -> None:
        """As the engine's commit does it."""
        with redis.Redis.from_url(self.url) as client:
            if client.hget(keys.send(0, send_id), "status") == b"planned":
                client.hset(keys.send(0, send_id), "status", "withdrawn")
                client.hdel(keys.send(0, send_id), "row")
                client.zrem(keys.planned(0), send_id)

    @invariant()
    def nothing_is_lost(self) -> None:
        ends = self.wait(told(self.redis))
        indexes = {name: set(self.wait(self.redis.zrange(getattr(keys, name)(0), 0, -1))) for name in OPEN}
        for send_id in self.policy:
            found = self.wait(self.store.read(0, send_id))
            assert found is not None
            indexed = {name for name, members in indexes.items() if send_id.encode() in members}
            mine = [event for event in ends if event.data["send_id"] == send_id]
            if found.status in OPEN and found.row is not None:
                assert indexed == {found.status}
            else:
                assert indexed == set()
                if found.status != "withdrawn":
                    assert f"{send_id}:{found.status}" in [event.id for event in mine]
            assert len({event.id for event in mine}) == len(mine), "an end told twice"
            if found.doubts:
                confirmed_not = [one for one in mine if one.type == "message_failed" and one.data["code"] != "reported"]
                assert not confirmed_not, "said not sent while in doubt"
            if self.policy[send_id] != "park":
                assert found.doubts <= (2 if self.policy[send_id] == "retry" else 1)


@pytest.mark.timeout(120)
def test_the_outbox_keeps_its_promises_in_any_order(redis_url: str) -> None:
    Life.url = redis_url
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
