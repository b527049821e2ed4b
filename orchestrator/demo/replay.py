"""Plays the story against a running installation: publishes what the shop says, lets time pass, answers as customers.

    to the next moment at which something happens → feedback by then → events by then → all work due then → again

The clock stands while work is done, so nothing is late because the machine is slow, and no timeout of a day passes in a
second. Everything goes over HTTP, as from outside: events with an API key, providers' callbacks with signatures.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

import httpx

from orchestrator.contracts.receipts import Feedback, FeedbackKind
from orchestrator.demo.customers import CHANNELS, CustomerModel
from orchestrator.demo.customers import Sent as SentMessage
from orchestrator.demo.events import SOURCE, Event
from orchestrator.demo.screen import Answered, Entered, Screen, Sent
from orchestrator.demo.tally import Message, Tally
from orchestrator.engine import decision as decisions
from orchestrator.engine.decision import Decision
from orchestrator.errors import DependencyUnreachable
from orchestrator.runtime.clock import FastClock
from orchestrator.runtime.embedded import Embedded
from orchestrator.testing.fakes import LedgerEntry, ProviderFakes

#: The clock goes in steps of this many ms at least; what falls into one step happens together.
STEP = 30 * 60_000
#: Events in one request at most.
BATCH = 200
#: What a provider's callback cannot say is said by the shop's own app, as it would.
APP_WORDS = {
    FeedbackKind.DELIVERED: "message_delivered",
    FeedbackKind.CLICKED: "message_clicked",
    FeedbackKind.UNSUBSCRIBED: "message_unsubscribed",
}
ReportKind = Literal["delivered", "opened", "clicked", "unsubscribed"]


class Replay:
    """One run of the demo. `events` in the order of time."""

    def __init__(
        self,
        embedded: Embedded,
        fakes: ProviderFakes,
        clock: FastClock,
        model: CustomerModel,
        events: Sequence[Event],
        http: httpx.AsyncClient,
        screen: Screen,
        tally: Tally,
    ) -> None:
        """`http` speaks to the gateway with an API key. `clock` stands; only this run moves it."""
        self._embedded = embedded
        self._fakes = fakes
        self._clock = clock
        self._model = model
        self._events = events
        self._times = [_ms(event["time"]) for event in events]
        self._http = http
        self._screen = screen
        self._tally = tally
        self._names: dict[str, str] = {
            event["customer"]: event["data"]["attributes"]["first_name"]
            for event in events
            if event["type"] == "customer_updated"
        }
        self._published = 0
        #: (when, tie-break, feedback, the message it is about)
        self._coming: list[tuple[int, int, Feedback, LedgerEntry]] = []
        self._order = itertools.count()
        #: Partition of the decisions log → last offset that was shown.
        self._shown: dict[int, int] = {}
        #: Decisions by send id, until the provider has the message.
        self._decided: dict[str, Decision] = {}
        fakes.on_accept(self._accepted)

    async def run(self, stop: asyncio.Event) -> None:
        """The whole story, or until `stop`. Raises OrchestratorError when a part does not work."""
        while self._published < len(self._events) and not stop.is_set():
            now = await self._next_moment()
            self._clock.set(now)
            await self._bring_feedback(now)
            await self._publish(now)
            await self._embedded.settle()
            await self._show_decisions()
            self._screen.progress(self._published, len(self._events), now)

    async def _next_moment(self) -> int:
        """The end of the step in which the next thing happens."""
        now = self._clock.now()
        moments = [self._times[self._published]]
        if self._coming:
            moments.append(self._coming[0][0])
        due = await self._embedded.next_due()
        if due is not None:
            moments.append(due)
        earliest = max(min(moments), now + 1)
        return -(-earliest // STEP) * STEP

    async def _publish(self, now: int) -> None:
        while self._published < len(self._events) and self._times[self._published] <= now:
            end = self._published
            while end < len(self._events) and end - self._published < BATCH and self._times[end] <= now:
                end += 1
            await self._post(self._events[self._published : end])
            self._published = end

    async def _post(self, events: Sequence[Event]) -> None:
        answer = await self._http.post("/v1/events", json={"events": list(events)})
        if answer.status_code >= 300:
            raise DependencyUnreachable(f"the gateway refused the demo's events: {answer.status_code} {answer.text}")
        if rejected := answer.json()["rejected"]:
            raise DependencyUnreachable(f"the gateway refused an event of the demo: {rejected[0]}")

    async def _accepted(self, entry: LedgerEntry) -> None:
        """A provider took a message: the customer will react."""
        decision = self._decided.pop(entry.send_id, None)
        if decision is None:
            # The first message of this step: its decision lies in the log already.
            await self._show_decisions()
            decision = self._decided.pop(entry.send_id)
        customer = decision.customer
        person = self._model.person(customer)
        weighed = {candidate.channel for candidate in decision.candidates} & set(CHANNELS)
        message = Message(
            entry.send_id,
            customer,
            decision.journey,
            entry.channel,
            person.likes,
            entry.time,
            choice=len(weighed) > 1 and (person.likes in weighed or not person.likes),
        )
        self._tally.sent(message)
        self._screen.show(
            Sent(
                at=entry.time,
                send_id=entry.send_id,
                customer=customer,
                name=self._name(customer),
                journey=decision.journey,
                message=decision.message,
                channel=entry.channel,
                reasons=decision.reasons(),
            )
        )
        for seconds, feedback in self._model.answers(SentMessage(entry.send_id, customer, entry.channel, entry.time)):
            due = entry.time + round(seconds * 1000)
            heapq.heappush(self._coming, (due, next(self._order), feedback, entry))

    async def _bring_feedback(self, now: int) -> None:
        """Let providers call us, and the shop's app speak, about all that came by `now`."""
        from_app: list[Event] = []
        while self._coming and self._coming[0][0] <= now:
            at, _, feedback, entry = heapq.heappop(self._coming)
            if feedback.kind is FeedbackKind.REPLY:
                _taken(await self._fakes.reply(entry, feedback.text))
            elif entry.channel == "push":
                from_app.append(self._from_app(at, feedback, entry))
            else:
                kind = cast(ReportKind, feedback.kind.value)
                _taken(await self._fakes.report(entry, kind, machine=feedback.machine))
            self._count(at, feedback, entry)
        if from_app:
            await self._post(from_app)

    def _from_app(self, at: int, feedback: Feedback, entry: LedgerEntry) -> Event:
        message = self._tally.find(entry.send_id)
        assert message is not None
        return {
            "id": feedback.id,
            "type": APP_WORDS[feedback.kind],
            "time": datetime.fromtimestamp(at / 1000, UTC).isoformat(),
            "customer": message.customer,
            "source": f"{SOURCE}-app",
            "data": {"send_id": entry.send_id, "channel": entry.channel},
        }

    def _count(self, at: int, feedback: Feedback, entry: LedgerEntry) -> None:
        message = self._tally.find(entry.send_id)
        if message is None or feedback.machine or feedback.kind in (FeedbackKind.DELIVERED, FeedbackKind.OPENED):
            return
        kind = feedback.kind.value
        if feedback.kind is FeedbackKind.UNSUBSCRIBED or feedback.text == "STOP":
            message.left = True
        else:
            message.answered = True
        self._tally.replies += feedback.kind is FeedbackKind.REPLY
        self._screen.show(
            Answered(
                at=at,
                send_id=entry.send_id,
                customer=message.customer,
                name=self._name(message.customer),
                channel=entry.channel,
                kind=kind,
                text=feedback.text,
            )
        )

    async def _show_decisions(self) -> None:
        async for decision in self._new_decisions():
            if decision.kind == "entered":
                self._tally.entered += 1
                self._screen.show(
                    Entered(decision.at, decision.customer, self._name(decision.customer), decision.journey)
                )
            elif decision.kind == "sent":
                self._decided[decision.id] = decision
            elif decision.kind == "withheld":
                self._tally.withheld += 1

    async def _new_decisions(self) -> AsyncIterator[Decision]:
        log, topic = self._embedded.log, self._embedded.settings.topics.decisions
        for partition in range(await log.partitions(topic)):
            end = await log.end(topic, partition)
            while self._shown.get(partition, -1) < end:
                records = await log.read(topic, partition, self._shown.get(partition, -1), 1_000)
                for record in records:
                    # Said before it is handed out: another reader may come while this one waits.
                    if record.offset > self._shown.get(partition, -1):
                        self._shown[partition] = record.offset
                        yield decisions.decode(record.value)

    def _name(self, customer: str) -> str:
        return self._names.get(customer, "somebody")


def _taken(answers: Sequence[int]) -> None:
    if any(status >= 300 for status in answers):
        raise DependencyUnreachable(f"the gateway refused a provider's callback: {list(answers)}")


def _ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
