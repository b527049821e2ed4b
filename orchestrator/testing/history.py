"""What would have happened: recorded events in virtual time, through the production engine and gate.

Nobody is written to. A message counts as sent and delivered at the moment it is decided, and nobody answers but where
the recorded events say so: the estimate is what goes out, not what comes back. Drafts run too, so that a new journey
can be tried on the past. The same events and files give the same report, byte for byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.content.render import render
from orchestrator.content.sms_parts import sms_parts
from orchestrator.contracts.normalise import normalise
from orchestrator.contracts.records import Event
from orchestrator.errors import BadEvent, TemplateFailed
from orchestrator.language.program import Program
from orchestrator.testing.simulation import Send, Simulation

#: Events between two words of progress.
PROGRESS_EVERY = 10_000
#: Faulty lines told of at most.
TOLD = 20


@dataclass(slots=True)
class History:
    """The report of one replay. Every table is sorted, money in the policy's currency."""

    currency: str = ""
    events: int = 0
    refused: int = 0
    first: str = ""
    last: str = ""
    #: Customers who got at least one message, of all that any event named.
    people: int = 0
    customers: int = 0
    messages: int = 0
    cost: float = 0.0
    journeys: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_day: dict[str, dict[str, int]] = field(default_factory=dict)
    by_channel: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_step: list[dict[str, Any]] = field(default_factory=list)
    #: Why messages were not sent, and how often: `skipped cap`, `withheld holdout`, `held quiet_hours`.
    suppressed: dict[str, int] = field(default_factory=dict)
    #: Why customers did not enter: journey → reason → times.
    not_entered: dict[str, dict[str, int]] = field(default_factory=dict)
    #: First faults of the recorded events.
    faults: list[str] = field(default_factory=list)
    #: journey → who got something, and what: customer → (message, channel) counts. Not part of the report.
    reached: dict[str, dict[str, Counter[str]]] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str, Any]:
        """The report as plain data."""
        names = (
            "currency", "events", "refused", "first", "last", "customers", "people", "messages", "cost", "journeys",
            "by_day", "by_channel", "by_step", "suppressed", "not_entered", "faults",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


def replay_history(
    program: Program,
    events: Iterable[Event | str],
    *,
    seed: int | str = 0,
    days_after: float = 0.0,
    progress: Callable[[int], None] = lambda events: None,
) -> History:
    """Replay events in the order given and report; a sentence in place of an event says why there is none.

    Time goes on for `days_after` the last event, so that what waits then may still go out.
    """
    report = History(currency=program.policy.currency)
    gathered = _Gathered(program, report)
    sim = Simulation(program, seed=seed)
    first = last = 0
    for event in events:
        if isinstance(event, str):
            report.refused += 1
            if len(report.faults) < TOLD:
                report.faults.append(event)
            continue
        gathered.sends(sim.apply(event))
        gathered.decisions(sim)
        gathered.customers.add(event.customer)
        report.events += 1
        first, last = min(first or event.time, event.time), max(last, event.time)
        if report.events % PROGRESS_EVERY == 0:
            progress(report.events)
    if report.events:
        gathered.sends(sim.advance(datetime.fromtimestamp(last / 1000, UTC) + timedelta(days=days_after)))
        gathered.decisions(sim)
        report.first, report.last = _iso(first), _iso(last)
    progress(report.events)
    gathered.finish(sim)
    return report


class _Gathered:
    """Counts sends and decisions as they come, and lets them go."""

    def __init__(self, program: Program, report: History) -> None:
        self._program = program
        self._report = report
        self.customers: set[str] = set()
        self._days: dict[str, Counter[str]] = {}
        self._steps: Counter[tuple[str, str, str, str]] = Counter()
        self._cost: dict[tuple[str, str], float] = {}
        self._sent: Counter[tuple[str, str]] = Counter()
        self._suppressed: Counter[str] = Counter()
        self._steps_of: dict[str, str] = {}

    def sends(self, sends: Iterable[Send]) -> None:
        for send in sends:
            parts = self._parts(send)
            if not parts:
                self._suppressed["failed template"] += 1
                continue
            key = (send.journey, send.channel)
            self._sent[key] += 1
            policy = self._program.policy.channels.get(send.channel)
            self._cost[key] = self._cost.get(key, 0.0) + (policy.cost * parts if policy else 0.0)
            self._days.setdefault(send.at.strftime("%Y-%m-%d"), Counter())[send.channel] += 1
            self._steps_of[send.send_id] = send.channel
            people = self._report.reached.setdefault(send.journey, {})
            people.setdefault(send.customer, Counter())[f"{send.message} by {send.channel}"] += 1

    def _parts(self, send: Send) -> int:
        """Parts of a text message, for that is what is paid for; 0 when the message does not render for her."""
        if send.channel != "sms":
            return 1
        try:
            content = render(
                self._program.messages[send.message], "sms", send.facts, purpose="service", locale=send.locale
            )
        except TemplateFailed:
            return 0
        return sms_parts(content.text).parts

    def decisions(self, sim: Simulation) -> None:
        for one in sim.decisions:
            if one.kind == "sent":
                if self._steps_of.pop(one.id, None) is not None:
                    self._steps[one.journey, one.step, one.message, one.channel] += 1
            elif one.kind in ("skipped", "withheld", "held"):
                self._suppressed[f"{one.kind} {one.reason}"] += 1
        sim.decisions.clear()
        sim.emitted.clear()

    def finish(self, sim: Simulation) -> None:
        report = self._report
        report.customers = len(self.customers)
        report.people = len({name for people in report.reached.values() for name in people})
        report.messages = sum(self._sent.values())
        report.cost = round(sum(self._cost.values()), 4)
        report.by_day = {day: dict(sorted(self._days[day].items())) for day in sorted(self._days)}
        report.suppressed = dict(sorted(self._suppressed.items()))
        report.by_step = [
            {"journey": journey, "step": step, "message": message, "channel": channel, "messages": count}
            for (journey, step, message, channel), count in sorted(self._steps.items())
        ]
        for channel in sorted({channel for _, channel in self._sent}):
            report.by_channel[channel] = {
                "messages": sum(count for (_, name), count in self._sent.items() if name == channel),
                "cost": round(sum(cost for (_, name), cost in self._cost.items() if name == channel), 4),
            }
        for slug in sorted(self._program.journeys):
            report.journeys[slug] = {
                "entered": sim.counts.get(f"entered:{slug}", 0),
                "people": len(report.reached.get(slug, ())),
                "messages": sum(count for (name, _), count in self._sent.items() if name == slug),
                "cost": round(sum(cost for (name, _), cost in self._cost.items() if name == slug), 4),
            }
        for name in sorted(sim.counts):
            if name.startswith("ignored:"):
                _, slug, reason = name.split(":", 2)
                report.not_entered.setdefault(slug, {})[reason] = sim.counts[name]


def difference(before: History, after: History) -> dict[str, Any]:
    """Two versions of the journeys, compared in people: who would hear more, less, or something else."""
    tables: dict[str, Any] = {}
    for slug in sorted({*before.reached, *after.reached}):
        old, new = before.reached.get(slug, {}), after.reached.get(slug, {})
        both = old.keys() & new.keys()
        tables[slug] = {
            "only_before": len(old.keys() - new.keys()),
            "only_after": len(new.keys() - old.keys()),
            "both_the_same": sum(old[name] == new[name] for name in both),
            "both_but_different": sum(old[name] != new[name] for name in both),
        }
    old_people = {name for people in before.reached.values() for name in people}
    new_people = {name for people in after.reached.values() for name in people}
    return {
        "people": {
            "before": len(old_people),
            "after": len(new_people),
            "only_before": len(old_people - new_people),
            "only_after": len(new_people - old_people),
        },
        "messages": {"before": before.messages, "after": after.messages},
        "cost": {"before": before.cost, "after": after.cost, "currency": after.currency},
        "journeys": tables,
    }


def read_history(lines: Iterable[bytes], name: str) -> Iterator[Event | str]:
    """Events of a file of JSON lines, as they were published; a sentence for every line that holds none."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield normalise(line, received=_LATE)
        except BadEvent as error:
            yield f"{name}:{number}: {error}"


#: A time of receipt after every event: nothing recorded lies in the future.
_LATE = 10**13


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
