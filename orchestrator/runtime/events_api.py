"""`POST /v1/events`: one event, an array, or `{"events": [...]}`, with a verdict for each.

    key → rate → body → split → normalise each → log → answer

2xx means: every event that is not listed under `rejected` is in the log, acknowledged. With `?dry_run=1` nothing is
written. The answer:

    {"accepted": 2,
     "rejected": [{"index": 1, "id": "e-7", "field": "data.products[0].price", "code": "type",
                   "message": "expected a number, got 'free'", "fix": "send a number such as 0, ...",
                   "faults": [every fault as {"field", "code", "message", "fix"}, this one first]}],
     "warnings": [{"index": 0, "id": "e-6", "field": "time", "code": "future", "message": ..., "fix": ...}]}

`accepted` counts; `index` counts from 0 in the order sent. Rejected events also go to the dead-letter topic.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.contracts.batches import split
from orchestrator.contracts.dead_letters import DeadLetter, dead_letter
from orchestrator.contracts.normalise import FUTURE, normalise
from orchestrator.contracts.records import Event
from orchestrator.errors import BadEvent
from orchestrator.ports import Clock
from orchestrator.runtime.api_keys import key_of
from orchestrator.runtime.problems import Problem, json_response
from orchestrator.runtime.publishing import Publisher
from orchestrator.runtime.rate_limit import RateLimit
from orchestrator.runtime.request_body import read_body, require_json
from orchestrator.settings import Gateway

#: After this many events of a batch other requests get their turn.
_TURN = 500


class EventsApi:
    """The endpoint for publishers."""

    def __init__(self, settings: Gateway, publisher: Publisher, clock: Clock) -> None:
        self._keys = tuple(settings.keys)
        self._limit = RateLimit(settings.rate, settings.burst)
        self._publisher = publisher
        self._clock = clock

    async def post(self, request: Request) -> Response:
        """Take events in. Raises Problem and DependencyUnreachable, which the app turns into answers."""
        key = key_of(request.headers.get("authorization", ""), self._keys)
        if key is None:
            # No details for whoever has no key.
            raise Problem(401, "unauthorized", "unauthorized", headers={"WWW-Authenticate": "Bearer"})
        if wait := self._limit.wait(key.name):
            raise Problem.too_many(wait)
        dry_run = _flag(request, "dry_run")
        require_json(request)
        body = await read_body(request)
        try:
            items = split(body)
        except BadEvent as error:
            raise Problem.of_body(error) from None
        if wait := self._limit.take(key.name, max(1, len(items))):
            raise Problem.too_many(wait)

        verdicts = _Verdicts(origin=f"http:{key.name}", received=self._clock.now())
        for index, item in enumerate(items):
            verdicts.judge(index, item)
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        if verdicts.unreadable is not None and items == [body]:
            raise Problem.of_body(verdicts.unreadable)
        if not dry_run:
            await self._publisher.publish(verdicts.accepted)
            await self._publisher.bury(verdicts.letters)
        return json_response(verdicts.answer() | ({"dry_run": True} if dry_run else {}))


class _Verdicts:
    """What becomes of each event of one request."""

    def __init__(self, *, origin: str, received: int) -> None:
        self._origin = origin
        self._received = received
        self.accepted: list[Event] = []
        self.letters: list[DeadLetter] = []
        #: The last event that was no JSON at all.
        self.unreadable: BadEvent | None = None
        self._rejected: list[dict[str, Any]] = []
        self._warnings: list[dict[str, Any]] = []

    def judge(self, index: int, item: bytes) -> None:
        try:
            event = normalise(item, received=self._received)
        except BadEvent as error:
            self._reject(index, item, error)
            return
        self.accepted.append(event)
        if FUTURE in event.flags:
            message = "the time lies in the future; the event counts as of five minutes from now"
            warning = {"field": "time", "code": FUTURE, "message": message, "fix": "check the clock of the sender"}
            self._warnings.append({"index": index, "id": event.id, **warning})

    def _reject(self, index: int, item: bytes, error: BadEvent) -> None:
        if error.code in ("json", "encoding") and not error.field:
            self.unreadable = error
        faults = [{"field": f.field, "code": f.code, "message": f.message, "fix": f.fix} for f in error.faults]
        self._rejected.append({"index": index, "id": _id_of(item), **faults[0], "faults": faults})
        self.letters.append(dead_letter(item, error.faults, origin=self._origin, at=self._received))

    def answer(self) -> dict[str, Any]:
        return {"accepted": len(self.accepted), "rejected": self._rejected, "warnings": self._warnings}


def _id_of(item: bytes) -> str | None:
    """The id of a rejected event where it can be read."""
    try:
        event = json.loads(item)
    except (ValueError, RecursionError):
        return None
    found = event.get("id") if isinstance(event, dict) else None
    # Half of a surrogate pair in it could not be answered in UTF-8.
    return found[:256].encode(errors="replace").decode() if isinstance(found, str) else None


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "0").lower()
    if value not in ("0", "1", "false", "true", ""):
        raise Problem(400, "query", f"{name} is 0 or 1", f"send ?{name}=1")
    return value in ("1", "true", "") if name in request.query_params else False
