"""The life of a send in Redis: claim → settle, with every road out of `unknown`. All changes are one script each.

    planned ──claim──▶ sending ──settle──▶ sent · failed · suppressed · skipped · expired      (closed)
       ▲  │               │  └───────────▶ planned (nothing went out: again later) · parked (a person must act)
       │  └▶ withdrawn    └─settle, reap─▶ unknown ──resolve──▶ sent · failed · planned · parked
       └──────────────── release ── parked                    └▶ unknown, closed (policy: never again)

The engine's commit plans and withdraws; everything after that is here. A send id is planned once, ever. A claim has an
attempt number and an owner; an answer that comes after its claim was given up is refused and reported. Whoever learns
later what became of an unknown attempt (callback, look-up, the late dispatcher) resolves it. `doubts` counts attempts
of unknown outcome: a send that has one can end confirmed sent or unknown, never as confirmed not sent.

Every end appends a ready `events` record to the partition's relay in the same script. Ids are deterministic
(`<send_id>:<status>`), so a record that is relayed twice counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from orchestrator.contracts import records
from orchestrator.contracts.messages import OutboxRow
from orchestrator.stores import keys
from orchestrator.stores.partition_state import pack_relay
from orchestrator.stores.scripts import script

RETENTION = keys.FINISHED_SEND_MS

Status = Literal[
    "planned", "sending", "sent", "failed", "suppressed", "skipped", "expired", "withdrawn", "unknown", "parked"
]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(OutboxRow)


def encode_row(row: OutboxRow) -> bytes:
    """The bytes of the `row` field of a planned send."""
    return _encoder.encode(row)


@dataclass(frozen=True, slots=True)
class Claim:
    """One send that this owner may attempt until the deadline it gave."""

    row: OutboxRow
    partition: int
    attempt: int
    owner: str
    #: Provider calls so far.
    tries: int
    #: Earlier attempts of unknown outcome.
    doubts: int


@dataclass(frozen=True, slots=True)
class SendState:
    """What Redis knows about one send. `row` is None once it is closed."""

    send_id: str
    partition: int
    status: str
    attempt: int = 0
    tries: int = 0
    doubts: int = 0
    customer: str = ""
    channel: str = ""
    provider: str = ""
    provider_id: str = ""
    code: str = ""
    reason: str = ""
    updated: int = 0
    row: OutboxRow | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How an attempt ended. Use the functions below; `at` is ms for planned (not before) and unknown (next look)."""

    status: Status
    provider: str = ""
    provider_id: str = ""
    code: str = ""
    reason: str = ""
    at: int | None = None
    #: True when a provider was called.
    tried: bool = False
    #: True when the address will never work.
    permanent: bool = False


def sent(provider: str, provider_id: str) -> Settlement:
    return Settlement("sent", provider=provider, provider_id=provider_id, code="ok", tried=True)


def failed(
    code: str, reason: str = "", *, provider: str = "", tried: bool = False, permanent: bool = False
) -> Settlement:
    """This send can never succeed."""
    return Settlement("failed", provider=provider, code=code, reason=reason, tried=tried, permanent=permanent)


def suppressed(
    reason: str, *, code: str = "suppressed", provider: str = "", tried: bool = False, permanent: bool = False
) -> Settlement:
    """The address must not be written to: found before the call, or told by the provider (code `unsubscribed`)."""
    return Settlement("suppressed", provider=provider, code=code, reason=reason, tried=tried, permanent=permanent)


def skipped(reason: str) -> Settlement:
    """Withheld by a rule after it was planned."""
    return Settlement("skipped", code="skipped", reason=reason)


def expired(code: str, *, provider: str = "", tried: bool = False) -> Settlement:
    """Too late; `code` is what kept it."""
    return Settlement("expired", provider=provider, code=code, tried=tried)


def put_back(not_before: int, code: str, *, provider: str = "", tried: bool = False) -> Settlement:
    """Certainly not sent; again at `not_before`. `tried` says whether a provider was called."""
    return Settlement("planned", provider=provider, code=code, at=not_before, tried=tried)


def unknown(code: str, next_look: int, *, provider: str = "", tried: bool = True) -> Settlement:
    """It may or may not have gone out."""
    return Settlement("unknown", provider=provider, code=code, at=next_look, tried=tried)


def parked(code: str, since: int, *, provider: str = "", tried: bool = True) -> Settlement:
    """Certainly not sent, and only a person can help (credentials, account)."""
    return Settlement("parked", provider=provider, code=code, at=since, tried=tried)


@dataclass(frozen=True, slots=True)
class Settled:
    """Whether a settlement was taken. When not: the status and attempt that were found instead."""

    accepted: bool
    status: str
    attempt: int


class Outbox:
    """The sends of all partitions. Many processes may share it. Raises redis.exceptions.RedisError when Redis is away.

    `topic` is where outcome records go; `retention` is ms a finished send is remembered.
    """

    def __init__(self, redis: Redis, *, topic: str = "events", retention: int = RETENTION) -> None:
        self._redis = redis
        self._topic = topic
        self._retention = retention
        self._claim = script(redis, "claim")
        self._settle = script(redis, "settle")
        self._fold = script(redis, "fold")

    async def shared_now(self) -> int:
        """Redis' own time in ms: the one clock that all dispatchers' claim deadlines and reconciliations refer to."""
        seconds, micros = await self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def ready(self, partitions: int, now: int) -> list[int]:
        """Partitions with a planned row that may go at `now`."""
        return await self._with_member(partitions, keys.planned, now)

    async def overdue(self, partitions: int, shared_now: int) -> list[int]:
        """Partitions with a claim past its deadline."""
        return await self._with_member(partitions, keys.sending, shared_now)

    async def to_reconcile(self, partitions: int, shared_now: int) -> list[int]:
        """Partitions with an unknown send that is due for a look."""
        return await self._with_member(partitions, keys.unknown, shared_now)

    async def _with_member(self, partitions: int, key: Any, until: int) -> list[int]:
        pipeline = self._redis.pipeline(transaction=False)
        for partition in range(partitions):
            pipeline.zrangebyscore(key(partition), "-inf", until, start=0, num=1)
        return [partition for partition, found in enumerate(await pipeline.execute()) if found]

    async def claim(self, partition: int, now: int, limit: int, owner: str, deadline: int) -> list[Claim]:
        """Up to `limit` planned rows with not_before <= `now`, now ours until `deadline` (ms of `shared_now`).

        Rows whose not_after is past end as expired. `owner` must be new for each call: when the client repeats one
        whose answer was lost, the script then knows its own claims.
        """
        ids = await self._ids(keys.planned(partition), now, limit)
        if not ids:
            return []
        rows = await self._rows(partition, ids)
        arguments: list[Any] = [owner, deadline, now, self._retention]
        for send_id, (row, doubts) in zip(ids, rows, strict=True):
            arguments += self._claim_arguments(send_id, row, doubts, now)
        answers = await self._claim(
            keys=[
                keys.planned(partition),
                keys.sending(partition),
                keys.relay(partition),
                keys.count(partition),
                *(keys.send(partition, send_id) for send_id in ids),
            ],
            args=arguments,
        )
        return [
            Claim(row, partition, int(attempt), owner, int(tries), int(doubts))
            for (row, _), (attempt, tries, doubts) in zip(rows, answers, strict=True)
            if row is not None and int(attempt) > 0
        ]

    def _claim_arguments(self, send_id: str, row: OutboxRow | None, doubts: int, now: int) -> list[Any]:
        if row is None:
            # Nobody can send what nobody can read; without the row there is no customer to report to either.
            return [send_id, "failed", "", "", b""]
        if row.not_after < now:
            end = _with_doubts(expired("expired"), doubts)
            return [
                send_id,
                end.status,
                row.customer,
                row.channel,
                self._record(send_id, row.customer, row.channel, end, now),
            ]
        return [send_id, "claim", row.customer, row.channel, b""]

    async def note_provider(self, claim: Claim, provider: str) -> None:
        """Write down whom the attempt calls, so that a send whose dispatcher dies now can still be looked up there."""
        await self._redis.hset(keys.send(claim.partition, claim.row.send_id), "provider", provider)

    async def settle(self, claim: Claim, outcome: Settlement, now: int) -> Settled:
        """End an attempt. Only the claim's own attempt can be settled, and only while it is `sending`; else nothing is
        written and the answer says what was found. Repeating a settlement whose answer was lost is harmless."""
        outcome = _with_doubts(outcome, claim.doubts)
        settled = await self._move(
            claim.partition,
            claim.row.send_id,
            outcome,
            now,
            customer=claim.row.customer,
            channel=claim.row.channel,
            from_statuses=("sending",),
            attempt=claim.attempt,
            owner=claim.owner,
        )
        if not settled.accepted and settled.status == outcome.status and settled.attempt == claim.attempt:
            return Settled(True, settled.status, settled.attempt)
        return settled

    async def reap(self, partition: int, shared_now: int, *, now: int, next_look: int, limit: int = 500) -> int:
        """Claims past their deadline become unknown: their dispatcher died or hangs, nobody can tell what went out."""
        reaped = 0
        for send_id in await self._ids(keys.sending(partition), shared_now, limit):
            state = await self.read(partition, send_id)
            if state is None or state.status != "sending":
                await self._redis.zrem(keys.sending(partition), send_id)
                continue
            settled = await self._move(
                partition,
                send_id,
                Settlement("unknown", provider=state.provider, code="claim_lost", at=next_look),
                now,
                customer=state.customer,
                channel=state.channel,
                from_statuses=("sending",),
                attempt=state.attempt,
            )
            reaped += settled.accepted
        return reaped

    async def unknowns(self, partition: int, shared_now: int, limit: int = 500) -> list[SendState]:
        """Unknown sends that are due for a look."""
        found = []
        for send_id in await self._ids(keys.unknown(partition), shared_now, limit):
            state = await self.read(partition, send_id)
            if state is None or state.status != "unknown":
                await self._redis.zrem(keys.unknown(partition), send_id)
            else:
                found.append(state)
        return found

    async def confirm(
        self, partition: int, send_id: str, outcome: Settlement, now: int, *, attempt: int | None = None
    ) -> Settled:
        """Somebody knows: the provider took it (`sent`) or reports it failed. It beats all but an earlier such word.

        Ends a send that is still `sending` or was planned again too: the second attempt then does not happen. With
        `attempt`, only while it is the last one.
        """
        state = await self.read(partition, send_id)
        if state is None:
            return Settled(False, "", 0)
        return await self._move(
            partition,
            send_id,
            outcome,
            now,
            customer=state.customer,
            channel=state.channel,
            from_statuses=("sending", "unknown", "planned", "parked", "withdrawn"),
            attempt=attempt,
        )

    async def resolve(self, state: SendState, outcome: Settlement, now: int, *, cleared: bool = False) -> Settled:
        """Take a send out of `unknown`, by what was found out or by policy.

        `cleared` says that the attempt certainly did not go out.

        `Settlement("unknown")` without `at` closes it: nobody will ever know, and it is not tried again.
        """
        if cleared:
            outcome = _with_doubts(outcome, state.doubts - 1)
        return await self._move(
            state.partition,
            state.send_id,
            outcome,
            now,
            customer=state.customer,
            channel=state.channel,
            from_statuses=("unknown",),
            attempt=state.attempt,
            doubts=-1 if cleared else 0,
        )

    async def waiting(self, partition: int, limit: int = 500) -> list[SendState]:
        """Parked sends, the longest waiting first, with the reason in `code`: what a person has to look at."""
        ids = [_text(send_id) for send_id in await self._redis.zrange(keys.parked(partition), 0, limit - 1)]
        states = [await self.read(partition, send_id) for send_id in ids]
        return [state for state in states if state is not None]

    async def release(self, partition: int, send_id: str, now: int) -> Settled:
        """A person says a parked send may go (again)."""
        state = await self.read(partition, send_id)
        if state is None or state.row is None:
            return Settled(False, state.status if state else "", state.attempt if state else 0)
        return await self._move(
            partition,
            send_id,
            put_back(now, "released"),
            now,
            customer=state.customer,
            channel=state.channel,
            from_statuses=("parked",),
            attempt=state.attempt,
        )

    async def fold(
        self,
        partition: int,
        send_id: str,
        *,
        attempt: int,
        outcome: Literal["sent", "not_sent", ""],
        now: int,
        next_look: int,
        customer: str,
        channel: str,
        provider: str,
        provider_id: str = "",
    ) -> str:
        """After Redis went back in time: take over what the journal holds of one send. Returns the new status or ''."""
        record = self._record(send_id, customer, channel, sent(provider, provider_id), now)
        answer = await self._fold(
            keys=self._keys(partition, send_id),
            args=[
                send_id,
                attempt,
                outcome,
                now,
                self._retention,
                next_look,
                customer,
                channel,
                provider,
                record,
            ],
        )
        return _text(answer)

    async def read(self, partition: int, send_id: str) -> SendState | None:
        """What Redis knows about a send; None when it never was, or is forgotten after the retention."""
        found = await self._redis.hgetall(keys.send(partition, send_id))
        if not found:
            return None
        fields = {_text(name): value for name, value in found.items()}
        text = {name: _text(value) for name, value in fields.items() if name != "row"}
        return SendState(
            send_id=send_id,
            partition=partition,
            status=text.get("status", ""),
            attempt=int(text.get("attempt", 0)),
            tries=int(text.get("tries", 0)),
            doubts=int(text.get("doubts", 0)),
            customer=text.get("customer", ""),
            channel=text.get("channel", ""),
            provider=text.get("provider", ""),
            provider_id=text.get("provider_id", ""),
            code=text.get("code", ""),
            reason=text.get("reason", ""),
            updated=int(text.get("updated", 0)),
            row=_decode(fields.get("row")),
        )

    async def _ids(self, key: str, until: int, limit: int) -> list[str]:
        return [_text(send_id) for send_id in await self._redis.zrangebyscore(key, "-inf", until, start=0, num=limit)]

    async def _rows(self, partition: int, ids: Sequence[str]) -> list[tuple[OutboxRow | None, int]]:
        pipeline = self._redis.pipeline(transaction=False)
        for send_id in ids:
            pipeline.hmget(keys.send(partition, send_id), ["row", "doubts"])
        return [(_decode(row), int(doubts or 0)) for row, doubts in await pipeline.execute()]

    async def _move(
        self,
        partition: int,
        send_id: str,
        outcome: Settlement,
        now: int,
        *,
        customer: str,
        channel: str,
        from_statuses: Sequence[Status],
        attempt: int | None = None,
        owner: str = "",
        doubts: int = 0,
    ) -> Settled:
        closed = outcome.at is None
        new_doubt = outcome.status == "unknown" and not closed
        record = self._record(send_id, customer, channel, outcome, now) if closed else b""
        fields: list[str] = []
        for name in ("provider", "provider_id", "code", "reason"):
            value = getattr(outcome, name)
            if value or name == "reason":
                fields += [name, value]
        moved, status, at = await self._settle(
            keys=self._keys(partition, send_id),
            args=[
                send_id,
                f" {' '.join(from_statuses)} ",
                "" if attempt is None else attempt,
                owner,
                outcome.status,
                "" if outcome.at is None else outcome.at,
                now,
                self._retention,
                int(outcome.tried),
                1 if new_doubt else doubts,
                record,
                *fields,
            ],
        )
        return Settled(bool(moved), _text(status), int(at))

    def _record(self, send_id: str, customer: str, channel: str, outcome: Settlement, now: int) -> bytes:
        """The relay rows that tell the log of a send's end.

        `message_failed` frees the place under the cap, so it is said only of what certainly did not go out.
        """
        data: dict[str, Any] = {"send_id": send_id, "channel": channel}
        if outcome.provider:
            data["provider"] = outcome.provider
        if outcome.provider_id:
            data["provider_id"] = outcome.provider_id
        if outcome.status != "sent":
            data |= {"status": outcome.status, "code": outcome.code, "reason": outcome.reason or outcome.code}
        if outcome.permanent:
            data["permanent"] = True
        kind = {"sent": "message_sent", "unknown": "message_unknown"}.get(outcome.status, "message_failed")
        told: list[tuple[str, str, dict[str, Any]]] = [(outcome.status, kind, data)]
        if outcome.status == "suppressed" and outcome.code == "unsubscribed" and not outcome.permanent:
            told.append(("unsubscribed", "message_unsubscribed", {"send_id": send_id, "channel": channel}))
        return pack_relay(
            [
                (
                    self._topic,
                    customer.encode(),
                    records.encode(
                        records.Event(
                            id=f"{send_id}:{end}",
                            type=kind,
                            time=now,
                            customer=customer,
                            source="dispatcher",
                            data=fields,
                        )
                    ),
                )
                for end, kind, fields in told
            ]
        )

    @staticmethod
    def _keys(partition: int, send_id: str) -> list[str]:
        return [
            keys.send(partition, send_id),
            keys.planned(partition),
            keys.sending(partition),
            keys.unknown(partition),
            keys.parked(partition),
            keys.relay(partition),
            keys.count(partition),
        ]


def _with_doubts(outcome: Settlement, doubts: int) -> Settlement:
    """An end that says "not sent" is not known while an earlier attempt is in doubt: it closes as unknown."""
    if doubts > 0 and outcome.status in ("failed", "suppressed", "skipped", "expired"):
        return replace(outcome, status="unknown", permanent=False)
    return outcome


def _decode(row: Any) -> OutboxRow | None:
    if row is None:
        return None
    try:
        return _decoder.decode(row)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
