"""`<journey>.scenario.yaml`: what must happen, written beside the journey and run as a test in virtual time.

    scenarios:
      - name: Silence leads to one more message, on another channel
        customer: {channels: [email, sms]}
        steps:
          - purchase: {category: coffee}
          - advance: 30d
          - expect: {send: refill_reminder}
          - advance: 3d
          - expect: {send: refill_last_call}

One journey of the folder runs alone, on the production engine. Its holdouts are left out, so that whoever should hear
something does. `expect` looks at what happened since the last `expect` (or since the last `advance`, whichever is
longer ago).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orchestrator.engine.decision import Decision
from orchestrator.errors import BadEvent, Finding, JourneysInvalid
from orchestrator.language.durations import parse_duration
from orchestrator.language.findings import did_you_mean, listed, quoted
from orchestrator.language.load import Document, Path, load
from orchestrator.language.program import Program
from orchestrator.testing.invented import PRODUCT, introduction
from orchestrator.testing.simulation import Send, Simulation

CUSTOMER = "ada"
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
CHANNELS = ("email", "sms", "push")
#: What a step of a scenario may be, besides the name of an event.
WORDS = ("event", "advance", "until", "expect", "click", "reply", "response", "stop")
EXPECTED = (
    "send",
    "channel",
    "at",
    "nothing",
    "sends",
    "ended",
    "entered",
    "inside",
    "held",
    "skipped",
    "emitted",
    "customer",
)
_KEYS = ("name", "start", "zone", "customer", "steps", "seed")
_ABOUT_HER = ("channels", "attributes", "segments", "time_zone", "locale")


@dataclass(slots=True)
class Outcome:
    """How one scenario went. `failure` is empty when it passed."""

    name: str
    file: str
    line: int
    failure: str = ""
    #: What happened, line by line, up to the failure.
    story: list[str] = field(default_factory=list)


class _Failed(Exception):
    """An expectation was not met."""


def run_file(file: str, text: str, program: Program) -> list[Outcome]:
    """Run every scenario of a file against its journey. Raises JourneysInvalid when the file cannot be read."""
    slug = file.rpartition("/")[2].removesuffix(".scenario.yaml")
    document = load(file, text)
    scenarios = _checked(document, slug, program)
    return [_run(document, index, one, slug, program) for index, one in enumerate(scenarios)]


def _checked(document: Document, slug: str, program: Program) -> list[dict[str, Any]]:
    findings = list(document.findings)
    data = document.data
    found: list[dict[str, Any]] = []
    if not findings:
        if slug not in program.journeys:
            near = did_you_mean(slug, program.journeys)
            findings.append(
                document.finding(
                    (), f"there is no journey {quoted(slug)}" + (f" — did you mean '{near}'?" if near else ""),
                    "name the file <journey>.scenario.yaml",
                )
            )  # fmt: skip
        if not isinstance(data, dict) or not isinstance(data.get("scenarios"), list):
            findings.append(
                document.finding((), "a scenario file holds 'scenarios'", "start with 'scenarios:' and '- name: …'")
            )
        else:
            for index, one in enumerate(data["scenarios"]):
                findings += _form(document, ("scenarios", index), one)
                found.append(one)
    if findings:
        raise JourneysInvalid(tuple(findings))
    return found


def _form(document: Document, path: Path, one: object) -> list[Finding]:
    if not isinstance(one, dict):
        return [document.finding(path, "a scenario is a mapping", "write 'name:' and 'steps:'")]
    findings = [_unknown(document, (*path, key), key, _KEYS) for key in one if key not in _KEYS]
    if not isinstance(one.get("name"), str):
        findings.append(
            document.finding(path, "a scenario without a name", "say in a sentence what it proves: name: …")
        )
    customer = one.get("customer")
    if isinstance(customer, dict):
        findings += [
            _unknown(document, (*path, "customer", key), key, _ABOUT_HER) for key in customer if key not in _ABOUT_HER
        ]
    if not isinstance(one.get("steps"), list):
        return [
            *findings,
            document.finding(path, "a scenario without steps", "write 'steps:' with events, advance and expect"),
        ]
    for number, step in enumerate(one["steps"]):
        where = (*path, "steps", number)
        if isinstance(step, str):
            continue
        if not isinstance(step, dict) or not step:
            findings.append(
                document.finding(where, "a step is one word with a value", "write 'advance: 3d' or 'expect: sms'")
            )
            continue
        wanted = step.get("expect")
        if isinstance(wanted, dict):
            findings += [
                _unknown(document, (*where, "expect", key), key, EXPECTED) for key in wanted if key not in EXPECTED
            ]
    return findings


def _unknown(document: Document, path: Path, key: str, known: tuple[str, ...]) -> Finding:
    near = did_you_mean(key, known)
    message = f"unknown key {quoted(key)}" + (f" — did you mean '{near}'?" if near else "")
    return document.finding(path, message, f"known: {listed(known)}", key=True)


def _run(document: Document, index: int, scenario: Mapping[str, Any], slug: str, program: Program) -> Outcome:
    path: Path = ("scenarios", index)
    outcome = Outcome(str(scenario["name"]), document.file, document.place(path).line)
    try:
        play = _Play(scenario, slug, program, outcome.story)
    except (ValueError, BadEvent) as error:
        outcome.failure = str(error)
        return outcome
    for number, step in enumerate(scenario["steps"]):
        outcome.line = document.place((*path, "steps", number)).line
        try:
            play.step(step)
        except (_Failed, ValueError, BadEvent) as error:
            outcome.failure = str(error)
            return outcome
    outcome.line = document.place(path).line
    return outcome


class _Play:
    """One scenario under way."""

    def __init__(self, scenario: Mapping[str, Any], slug: str, program: Program, story: list[str]) -> None:
        journey = replace(program.journeys[slug], holdout=0.0, status="live")
        alone = replace(
            program, journeys={slug: journey}, policy=replace(program.policy, holdout=0.0, time_zone=_zone(scenario))
        )
        self.slug = slug
        self.zone = ZoneInfo(alone.policy.time_zone)
        self.sim = Simulation(alone, seed=scenario.get("seed", 1))
        self.story = story
        self.sends: list[Send] = []
        self.fresh: list[Send] = []
        self.seen = 0
        self.emitted = 0
        self.asked = False
        self.now = _moment(scenario.get("start"), self.zone) or START
        self.made = 0
        self.introduce(scenario.get("customer") or {})

    def introduce(self, about: Mapping[str, Any]) -> None:
        told = introduction(
            CUSTOMER,
            self.now,
            channels=about.get("channels", CHANNELS),
            zone=str(about.get("time_zone", "")),
            attributes={**about.get("attributes", {}), **({"locale": about["locale"]} if "locale" in about else {})},
        )
        if "segments" in about:
            told["data"]["segments"] = about["segments"]
        self.take(self.sim.publish(told))

    def take(self, sends: list[Send]) -> None:
        self.sends += sends
        self.fresh += sends
        self.now = max(self.now, self.sim.now)
        for decision in self.sim.decisions[self.seen :]:
            self.story.append(told(decision, self.zone))
        self.seen = len(self.sim.decisions)

    def step(self, step: object) -> None:
        if isinstance(step, str):
            step = {step: None}
        if not isinstance(step, dict):
            raise ValueError("a step is one word with a value")
        word, value = next(iter(step.items()))
        if word == "expect":
            self.expect(value)
            self.asked = True
            return
        if self.asked:
            self.fresh, self.asked = [], False
            self.emitted = len(self.sim.emitted)
            self.mark = len(self.sim.decisions)
        known: dict[str, Callable[[Any], None]] = {
            "advance": self.advance, "until": self.until, "click": self.click, "response": self.click,
            "reply": self.reply, "stop": lambda _: self.reply("STOP"),
        }  # fmt: skip
        if word in known:
            known[word](value)
        elif word == "event":
            self.event(str(value), step.get("data") or {})
        else:
            self.event(str(word), value or {})

    mark = 0

    def advance(self, value: Any) -> None:
        self.now += timedelta(milliseconds=parse_duration(value))
        self.take(self.sim.advance(self.now))

    def until(self, value: Any) -> None:
        moment = _moment(value, self.zone)
        if moment is None or moment < self.now:
            raise ValueError(f"{quoted(value)} is not a later time: write 'until: 2026-03-05 09:00'")
        self.now = moment
        self.take(self.sim.advance(moment))

    def event(self, kind: str, data: Mapping[str, Any]) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"an event has fields: write '{kind}: {{category: coffee}}'")
        self.made += 1
        self.story.append(f"{_stamp(self.now, self.zone)}  {kind} {dict(data) or ''}".rstrip())
        body = _filled(kind, data, self.made)
        self.take(self.sim.publish({"type": kind, "customer": CUSTOMER, "time": self.now, "data": body}))

    def last(self) -> Send:
        if not self.sends:
            raise _Failed("she got no message that she could answer")
        return self.sends[-1]

    def click(self, value: Any) -> None:
        sent = self.last()
        self.event("message_clicked", {"send_id": sent.send_id, "channel": sent.channel, **(value or {})})

    def reply(self, value: Any) -> None:
        sent = self.last()
        more = value if isinstance(value, dict) else {"text": str(value or "Yes please")}
        self.event("reply", {"channel": sent.channel, "in_reply_to": sent.send_id, "text": "", **more})

    # --- expectations

    def expect(self, wanted: Any) -> None:
        if isinstance(wanted, str):
            wanted = {"nothing": True} if wanted in ("nothing", "no send") else {"channel": wanted}
        if isinstance(wanted, list):
            wanted = {"sends": wanted}
        if not isinstance(wanted, dict) or not wanted:
            raise ValueError("expect what? Write 'expect: sms', 'expect: nothing' or 'expect: {send: …}'")
        if wanted.get("nothing"):
            self.nothing()
        if "sends" in wanted:
            self.all_of(wanted["sends"])
        if wanted.keys() & {"send", "channel", "at"}:
            self.one(wanted)
        for word in ("ended", "held", "skipped"):
            if word in wanted:
                self.decided(word, wanted[word])
        for word in ("entered", "inside"):
            if word in wanted:
                self.inside(word, bool(wanted[word]))
        if "emitted" in wanted:
            self.published(str(wanted["emitted"]))
        for name, value in (wanted.get("customer") or {}).items():
            self.about_her(name, value)

    def got(self) -> str:
        if not self.fresh:
            why = [
                told(one, self.zone)
                for one in self.sim.decisions[self.mark :]
                if one.kind in ("held", "skipped", "ended")
            ]
            return "she got nothing" + (f" ({'; '.join(why)})" if why else self.why_outside() or self.where())
        return "she got " + " and ".join(_said(send, self.zone) for send in self.fresh)

    def where(self) -> str:
        run = self.sim.customer(CUSTOMER).live_run(self.slug)
        if run is None:
            return ""
        steps = self.sim.program.journeys[self.slug].steps
        step = steps[run.position].path if run.position < len(steps) else "the end"
        due = _stamp(datetime.fromtimestamp(run.due / 1000, UTC), self.zone)
        return f" (she is inside, at {step}, which ends on {due} at the latest)"

    def why_outside(self) -> str:
        ignored = [
            name.rpartition(":")[2] for name in sorted(self.sim.counts) if name.startswith(f"ignored:{self.slug}:")
        ]
        if self.sim.customer(CUSTOMER).live_run(self.slug) or any(one.kind == "entered" for one in self.sim.decisions):
            return ""
        return (
            f" (she never entered: {listed(ignored)} said no)"
            if ignored
            else " (she never entered: nothing fitted the trigger)"
        )

    def nothing(self) -> None:
        if self.fresh:
            raise _Failed(f"expected no message, but {self.got()}")

    def all_of(self, wanted: list[Any]) -> None:
        if len(wanted) != len(self.fresh):
            raise _Failed(f"expected {len(wanted)} messages, but {self.got()}")
        for one, send in zip(wanted, self.fresh, strict=True):
            self.compare(one if isinstance(one, dict) else {"channel": one}, send)

    def one(self, wanted: Mapping[str, Any]) -> None:
        if len(self.fresh) != 1:
            raise _Failed(f"expected {_wanted(wanted)}, but {self.got()}")
        self.compare(wanted, self.fresh[0])

    def compare(self, wanted: Mapping[str, Any], send: Send) -> None:
        local = send.at.astimezone(self.zone)
        message, channel, at = wanted.get("send"), wanted.get("channel"), wanted.get("at")
        if channel in ("other", "same"):
            before = self.sends[: self.sends.index(send)][-1:]
            if not before or (before[0].channel == send.channel) != (channel == "same"):
                raise _Failed(f"expected {_wanted(wanted)} as the message before, but {self.got()}")
            channel = None
        fits = (
            _among(message, send.message)
            and _among(channel, send.channel)
            and (at is None or str(at) in (local.strftime("%H:%M"), local.strftime("%Y-%m-%d %H:%M")))
        )
        if not fits:
            raise _Failed(f"expected {_wanted(wanted)}, but {self.got()}")

    def decided(self, kind: str, reason: Any) -> None:
        found = [one for one in self.sim.decisions[self.mark :] if one.kind == kind]
        if not any(_among(None if reason is True else reason, one.reason) for one in found):
            said = f"{kind} ({listed(one.reason for one in found)})" if found else f"nothing was {kind}"
            raise _Failed(f"expected {kind}: {reason}, but {said}; {self.got()}")

    def inside(self, word: str, wanted: bool) -> None:
        run = self.sim.customer(CUSTOMER).live_run(self.slug)
        entered = run is not None or (
            word == "entered" and any(one.kind == "entered" for one in self.sim.decisions[self.mark :])
        )
        if entered != wanted:
            found = "inside" if run else "outside"
            raise _Failed(f"expected {word}: {str(wanted).lower()}, but she is {found}{self.why_outside()}")

    def published(self, kind: str) -> None:
        found = [one.type for one in self.sim.emitted[self.emitted :]]
        if kind not in found:
            raise _Failed(f"expected the event {quoted(kind)} to be published, but there was {listed(found) or 'none'}")

    def about_her(self, name: str, value: Any) -> None:
        found = self.sim.customer(CUSTOMER).attributes.get(name)
        if found != value:
            raise _Failed(f"expected her {name} to be {value!r}, but it is {found!r}")


def told(decision: Decision, zone: ZoneInfo) -> str:
    """One decision as a line of a story."""
    at = _stamp(datetime.fromtimestamp(decision.at / 1000, UTC), zone)
    if decision.kind == "entered":
        return f"{at}  entered {decision.journey}"
    if decision.kind == "ended":
        return f"{at}  left: {decision.reason}"
    what = decision.message or decision.step
    if decision.kind == "sent":
        return f"{at}  sent {what} by {decision.channel}"
    if decision.kind == "held":
        until = _stamp(datetime.fromtimestamp(decision.until / 1000, UTC), zone)
        return f"{at}  held {what} until {until}: {decision.reason}"
    return f"{at}  {decision.kind} {what}: {decision.reason}"


def _stamp(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _said(send: Send, zone: ZoneInfo) -> str:
    return f"{quoted(send.message)} by {send.channel} on {_stamp(send.at, zone)}"


def _wanted(wanted: Mapping[str, Any]) -> str:
    parts = [quoted(wanted["send"])] if "send" in wanted else ["a message"]
    if "channel" in wanted:
        parts.append(f"by {wanted['channel']}")
    if "at" in wanted:
        parts.append(f"at {wanted['at']}")
    return " ".join(parts)


def _among(wanted: Any, found: str) -> bool:
    return wanted is None or found in (wanted if isinstance(wanted, list) else [str(wanted)])


def _zone(scenario: Mapping[str, Any]) -> str:
    about = scenario.get("customer") or {}
    name = str(scenario.get("zone") or about.get("time_zone") or "UTC")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{quoted(name)} is not a time zone: write Europe/Warsaw") from None
    return name


def _moment(value: object, zone: ZoneInfo) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a time: write 2026-03-02 10:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _filled(kind: str, given: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The event's data with what a marketer need not write: an order id, a product."""
    if kind == "purchase" and "products" not in given:
        of_line = {key: value for key, value in given.items() if key in PRODUCT}
        rest = {key: value for key, value in given.items() if key not in PRODUCT}
        line = {**PRODUCT, **of_line}
        return {"order_id": f"o-{number}", "currency": "EUR", "total": line["price"], "products": [line], **rest}
    if kind in ("view", "cart_add"):
        return {**PRODUCT, **given}
    return dict(given)
