"""A journey's model becomes a Journey: a flat tuple of instructions, compiled conditions, and the hash of its meaning.

Faults of meaning (unknown names, messages without content, `same` where nothing can be the same) are found here,
each at its place in the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import Finding
from orchestrator.language import faults
from orchestrator.language.conditions import ConditionFault, both, compile_expression, compile_mapping, parse_name
from orchestrator.language.findings import Findings, did_you_mean, listed, quoted, unknown
from orchestrator.language.load import Document, Path
from orchestrator.language.model import (
    BranchForm,
    EventForm,
    ExitForm,
    GoalForm,
    JourneyForm,
    SendForm,
    StepForm,
    TriggerForm,
    WaitForForm,
    WaitForm,
    WaitUntilForm,
    normalised,
)
from orchestrator.language.program import (
    Branch,
    Condition,
    EventMatch,
    Exit,
    Goal,
    Instruction,
    Journey,
    Jump,
    MessageTemplate,
    Policy,
    Send,
    Trigger,
    Wait,
    WaitFor,
    WaitUntil,
)
from orchestrator.language.versions import version_of

#: Events of the product itself, for "did you mean"; any other snake_case word is an event of the shop's own.
KNOWN_EVENTS = (
    "purchase", "view", "reply", "customer_updated", "cart_add", "review", "order_cancelled", "order_refunded",
    "message_sent", "message_delivered", "message_opened", "message_clicked", "message_bounced", "message_failed",
    "message_unsubscribed", "message_complained",
)  # fmt: skip

#: What a condition may read besides the events of the journey itself.
ROOTS = ("product", "order", "view", "customer", "message", "run")
#: Answers to this run's messages. They are known only in a run.
ANSWERS = ("response", "reply")

CHANNELS = ("email", "sms", "push")
_LEARNED = ("auto", "same", "other")


def parse(document: Document) -> tuple[JourneyForm | None, tuple[Finding, ...]]:
    """The model of a loaded file, or everything that is wrong with its form."""
    if not document.ok:
        return None, tuple(document.findings)
    if not isinstance(document.data, dict):
        return None, (document.finding((), "a journey is a mapping", "start with 'name: …'"),)
    try:
        return JourneyForm.model_validate(normalised(document.data)), ()
    except ValidationError as error:
        return None, tuple(faults.findings(error, document))


@dataclasses.dataclass(slots=True)
class Context:
    """What a journey is compiled against."""

    messages: Mapping[str, MessageTemplate]
    policy: Policy
    #: Messages whose file exists, though it may not load: naming one is no further fault.
    message_names: frozenset[str]
    #: message → names its template reads that are no facts: a send must give them in `with`.
    literals: Mapping[str, frozenset[str]]

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*CHANNELS, *self.policy.channels)))


def compile_journey(
    slug: str, form: JourneyForm, document: Document, context: Context
) -> tuple[Journey, tuple[Finding, ...]]:
    """The journey and the findings about its meaning. With errors among them the journey must not be used."""
    compiler = _Compiler(form, document, context)
    journey = Journey(
        slug=slug,
        version="",
        name=form.name,
        owner=form.owner,
        trigger=compiler.trigger(form.trigger),
        steps=compiler.steps(),
        status=form.status,
        priority=form.priority,
        purpose=form.purpose,
        audience=compiler.audience(form.audience),
        reentry=form.reentry,
        goal=compiler.goal(form.goal),
        exit_when=tuple(compiler.exit_event(item, index) for index, item in enumerate(form.exit_when)),
        holdout=form.holdout,
        cap=form.cap,
        quiet_hours=form.quiet_hours,
    )
    return dataclasses.replace(journey, version=version_of(journey)), compiler.findings.sorted()


class _Compiler:
    def __init__(self, form: JourneyForm, document: Document, context: Context) -> None:
        self.form = form
        self.document = document
        self.context = context
        self.findings = Findings()
        self.code: list[Instruction] = []
        #: Events some wait_for above has waited for, as the steps stand in the file.
        self.waited: list[str] = []
        self.sends = 0

    # -- reporting

    def error(self, path: Path, message: str, fix: str = "", *, key: bool = False, offset: int = 0) -> None:
        self.findings.add(self.document.finding(path, message, fix, key=key, offset=offset))

    def warn(self, path: Path, message: str, fix: str = "") -> None:
        finding = self.document.finding(path, message, fix)
        self.findings.add(dataclasses.replace(finding, level="warning"))

    def event_name(self, name: str, path: Path, *, awaited: bool = False) -> str:
        """Check an event's name at its place."""
        if name == "response" and not awaited:
            self.error(
                path, "'response' is an answer to this run's messages, not an event", "use it in wait_for and if"
            )
        elif name not in KNOWN_EVENTS and name != "response":
            near = did_you_mean(name, KNOWN_EVENTS)
            if near and _close(name, near):
                self.warn(
                    path,
                    f"unknown event {quoted(name)} — did you mean '{near}'?",
                    "an event of your own may have any name",
                )
        return name

    # -- conditions

    def condition(self, raw: object, path: Path, roots: Iterable[str]) -> Condition | None:
        """A condition at `path`, its names checked against `roots`; None when there is none or it is faulty."""
        if raw is None:
            if path in self.document.values:
                self.error(path, "an empty condition always holds", "remove it, or say what must hold")
            return None
        if isinstance(raw, list):
            parts = [self.condition(item, (*path, index), roots) for index, item in enumerate(raw)]
            if not raw:
                self.error(path, "an empty condition always holds", "remove it, or say what must hold")
            good = [part for part in parts if part is not None]
            return both(good) if good else None
        condition = self.mapping(raw, path) if isinstance(raw, dict) else self.expression(raw, path)
        if isinstance(raw, dict):
            self.check_keys(raw, path, tuple(roots))
        elif condition is not None:
            self.check_names(condition, str(raw), path, tuple(roots))
        return condition

    def mapping(self, raw: dict[str, object], path: Path) -> Condition | None:
        """The condition of a mapping. Each line is tried by itself, so that all faults are found."""
        good = True
        for key, value in raw.items():
            try:
                compile_mapping({key: value})
            except ConditionFault as fault:
                self.fault(fault, path)
                good = False
        if not good:
            return None
        try:
            return compile_mapping(raw)
        except ConditionFault as fault:
            self.fault(fault, path)
            return None

    def expression(self, raw: object, path: Path) -> Condition | None:
        try:
            if not isinstance(raw, str):
                raise ConditionFault(f"{quoted(raw)} is not a condition", "write 'customer.orders: at least 2'")
            return compile_expression(raw)
        except ConditionFault as fault:
            self.fault(fault, path)
            return None

    def fault(self, fault: ConditionFault, path: Path) -> None:
        at = path if fault.key is None else (*path, fault.key)
        if fault.index is not None:
            at = (*at, fault.index)
        self.error(at, fault.message, fault.fix, key=fault.at_key, offset=fault.offset)

    def check_keys(self, raw: dict[str, object], path: Path, roots: tuple[str, ...]) -> None:
        for key in raw:
            try:
                name = parse_name(key)
            except ConditionFault:
                continue
            self.check_name(name, roots, (*path, key), key=True)

    def check_names(self, condition: Condition, text: str, path: Path, roots: tuple[str, ...]) -> None:
        for name in sorted(condition.names):
            found = re.search(rf"(?<![\w.]){re.escape('.'.join(name))}(?![\w.])", text)
            self.check_name(name, roots, path, offset=found.start() if found else 0)

    def check_name(
        self, name: tuple[str, ...], roots: tuple[str, ...], path: Path, *, key: bool = False, offset: int = 0
    ) -> None:
        """A name must start with a known root; in a step also with an event that was waited for."""
        if name[0] in roots:
            return
        dotted = ".".join(name)
        in_step = path[0] == "steps"
        near = did_you_mean(name[0], roots)
        if len(name) == 1 and in_step and name[0] not in (*KNOWN_EVENTS, *ANSWERS) and not near:
            near = did_you_mean(name[0], KNOWN_EVENTS)
        if near and name[0] not in (*KNOWN_EVENTS, *ANSWERS):
            meant = ".".join((near, *name[1:]))
            self.error(path, f"unknown name {quoted(dotted)} — did you mean '{meant}'?", key=key, offset=offset)
        elif in_step:
            self.error(
                path,
                f"nothing waits for {quoted(name[0])} before this",
                f"add 'wait_for: {name[0]}' above; other names start with {listed(ROOTS)}",
                key=key,
                offset=offset,
            )
        else:
            self.error(
                path, f"unknown name {quoted(dotted)}", f"names start with {listed(roots)}", key=key, offset=offset
            )

    def where(
        self, raw: object, path: Path, roots: Iterable[str], *, same: bool
    ) -> tuple[Condition | None, list[tuple[str, ...]]]:
        """A `where` without its `same` lines, and the names of those lines."""
        names: list[tuple[str, ...]] = []
        if isinstance(raw, dict) and any(value == "same" for value in raw.values()):
            rest = {}
            for key, value in raw.items():
                if value != "same":
                    rest[key] = value
                elif not same:
                    self.error(
                        (*path, key), "'same' has nothing to be the same as here", "use it in goal and exit_when"
                    )
                else:
                    try:
                        names.append(parse_name(key))
                    except ConditionFault as fault:
                        self.error((*path, key), fault.message, fault.fix, key=True)
            return (self.condition(rest, path, roots) if rest else None), names
        return self.condition(raw, path, roots), names

    # -- head of the file

    def trigger(self, form: TriggerForm) -> Trigger:
        path: Path = ("trigger",)
        event = self.event_name(form.event, (*path, "event"))
        where, _ = self.where(form.where, (*path, "where"), self.event_roots(event), same=False)
        if form.times > 1 and form.within is None:
            self.error((*path, "times"), "'times' needs 'within'", "say in which time: within: 7d", key=True)
        if form.within is not None and form.times == 1:
            self.error((*path, "within"), "'within' needs 'times'", "say how often: times: 3", key=True)
        if form.same and form.times == 1:
            self.error((*path, "same"), "'same' needs 'times'", "say how often: times: 3, within: 7d", key=True)
        if form.same:
            self.check_name(form.same, self.event_roots(event), (*path, "same"))
        return Trigger(EventMatch(event, where), form.times, form.within or 0, form.same)

    def event_roots(self, event: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*ROOTS, event, *(("reply",) if event == "reply" else ()))))

    def run_roots(self) -> tuple[str, ...]:
        """What a step may read: fields, the trigger's event, and what was waited for above."""
        return tuple(dict.fromkeys((*ROOTS, self.form.trigger.event, "reply", *self.waited)))

    def audience(self, raw: object) -> Condition | None:
        if isinstance(raw, dict) and "same" in raw.values():
            key = next(key for key, value in raw.items() if value == "same")
            self.error(("audience", key), "'same' has nothing to be the same as here", "use it in goal and exit_when")
            return None
        return self.condition(raw, ("audience",), self.event_roots(self.form.trigger.event))

    def match(self, form: EventForm | GoalForm, path: Path) -> EventMatch:
        event = self.event_name(form.event, (*path, "event"))
        where, names = self.where(form.where, (*path, "where"), self.event_roots(event), same=True)
        same = tuple(dict.fromkeys([*names, *form.same]))
        for name in same:
            if name in form.same:
                self.check_name(name, self.event_roots(event), (*path, "same"))
            else:
                self.check_name(name, self.event_roots(event), (*path, "where", ".".join(name)), key=True)
        return EventMatch(event, where, same)

    def goal(self, form: GoalForm | None) -> Goal | None:
        if form is None:
            return None
        if form.value:
            self.check_name(form.value, self.event_roots(form.event), ("goal", "value"))
        return Goal(self.match(form, ("goal",)), form.within, form.value)

    def exit_event(self, form: EventForm, index: int) -> EventMatch:
        path: Path = ("exit_when", index) if ("exit_when", 0) in self.document.values else ("exit_when",)
        return self.match(form, path)

    # -- steps

    def steps(self) -> tuple[Instruction, ...]:
        if not self.form.steps:
            self.error(("steps",), "a journey without steps does nothing", "start with '- send: …'")
        self.sequence(self.form.steps, ("steps",))
        return tuple(self.code)

    def sequence(self, steps: Iterable[StepForm], path: Path) -> None:
        for index, step in enumerate(steps):
            self.step(step, (*path, index))

    def step(self, step: StepForm, path: Path) -> None:
        guard = None
        if "if_" in step.model_fields_set:
            guard = self.step_condition(step.if_, (*path, "if"))
        if guard is None:
            self.verb(step, path)
            return
        at = self.reserve(place(path) + ".if")
        self.verb(step, path)
        self.code[at] = Branch(place(path) + ".if", ((guard, at + 1),), len(self.code))

    def step_condition(self, raw: object, path: Path) -> Condition | None:
        if isinstance(raw, dict) and "same" in raw.values():
            key = next(key for key, value in raw.items() if value == "same")
            self.error((*path, key), "'same' has nothing to be the same as here", "use it in goal and exit_when")
            return None
        return self.condition(raw, path, self.run_roots())

    def reserve(self, path: str) -> int:
        """A slot whose instruction is known when its targets are."""
        self.code.append(Jump(path, 0))
        return len(self.code) - 1

    def verb(self, step: StepForm, path: Path) -> None:
        where = place(path)
        if isinstance(step, SendForm):
            self.send(step, path)
        elif isinstance(step, WaitForm):
            after = self.event_name(step.after_last, (*path, "after_last")) if step.after_last else ""
            self.code.append(Wait(where, step.wait, after))
        elif isinstance(step, WaitUntilForm):
            self.code.append(WaitUntil(where, "next_due", step.wait_until))
        elif isinstance(step, WaitForForm):
            self.wait_for(step, path)
        elif isinstance(step, BranchForm):
            self.branch(step, path)
        elif isinstance(step, ExitForm):
            self.code.append(Exit(where, step.exit))

    def wait_for(self, step: WaitForForm, path: Path) -> None:
        listed_in_file = (*path, "wait_for", 0) in self.document.values
        for index, event in enumerate(step.wait_for):
            self.event_name(event, (*path, "wait_for", index) if listed_in_file else (*path, "wait_for"), awaited=True)
            if event in ANSWERS and not self.sends:
                self.error((*path, "wait_for"), f"no message before this could get a {event}", "send first")
        self.waited.extend(event for event in step.wait_for if event not in self.waited)
        self.code.append(WaitFor(place(path), step.wait_for, step.up_to))

    def branch(self, step: BranchForm, path: Path) -> None:
        path = (*path, "branch")
        if not step.branch:
            self.error(path, "a branch without cases", "add '- if: …' with 'then:'")
            return
        at = self.reserve(place(path[:-1]))
        cases: list[tuple[Condition, int]] = []
        otherwise: int | None = None
        jumps: list[int] = []
        for index, case in enumerate(step.branch):
            here = (*path, index)
            has_if, last = "if_" in case.model_fields_set, index == len(step.branch) - 1
            if has_if == (case.else_ is not None) or (case.then is not None) != has_if:
                self.error(here, "a case is 'if' with 'then', or 'else' alone", "write '- if: …' and 'then:' below it")
                continue
            if not (case.then or case.else_):
                self.error(here, "a case without steps", "add steps, or remove the case")
                continue
            if case.else_ is not None and not last:
                self.error((*here, "else"), "'else' is not the last case", "move it to the end", key=True)
                continue
            if case.else_ is not None:
                otherwise = len(self.code)
                self.sequence(case.else_, (*here, "else"))
            else:
                condition = self.step_condition(case.if_, (*here, "if"))
                if condition is not None:
                    cases.append((condition, len(self.code)))
                self.sequence(case.then or (), (*here, "then"))
            if not last:
                jumps.append(self.reserve(place(here) + ".end"))
        end = len(self.code)
        for jump in jumps:
            self.code[jump] = Jump(self.code[jump].path, end)
        if not cases and not self.findings.errors:
            self.error(path, "a branch without 'if'", "add '- if: …' with 'then:'")
        self.code[at] = Branch(place(path[:-1]), tuple(cases), end if otherwise is None else otherwise)

    def send(self, step: SendForm, path: Path) -> None:
        channels = step.channel
        at: Path = (*path, "channel")
        learned = [name for name in channels if name in _LEARNED]
        if learned and len(channels) > 1:
            self.error(at, f"{quoted(learned[0])} stands alone", "name the channels, or write auto")
        if channels[0] in ("same", "other") and not self.sends:
            self.error(at, f"'{channels[0]}' needs a send before it", "write auto")
        for name in channels:
            if name not in _LEARNED and name not in self.context.channels:
                self.error(
                    at,
                    unknown("channel", name, (*self.context.channels, *_LEARNED)),
                    f"known: {listed(self.context.channels)}",
                )
        self.sends += 1
        self.check_messages(step, path)
        self.code.append(Send(place(path), step.send, channels, step.expires, step.with_, step.on_unknown))

    def check_messages(self, step: SendForm, path: Path) -> None:
        many = isinstance(_raw(self.document, path, "send"), list)
        carried: set[str] = set()
        known = True
        for index, name in enumerate(step.send):
            at: Path = (*path, "send", index) if many else (*path, "send")
            template = self.context.messages.get(name)
            if template is None:
                known = False
                if name not in self.context.message_names:
                    names = self.context.message_names
                    self.error(at, unknown("message", name, names), f"write messages/{name}.md")
                continue
            carried |= set(template.channels)
            for literal in sorted(self.context.literals.get(name, frozenset()) - set(step.with_)):
                self.warn(
                    at,
                    f"message {quoted(name)} shows {quoted(literal)}, which this send does not give",
                    f"add 'with: {{{literal}: …}}'",
                )
        named = [name for name in step.channel if name in self.context.channels]
        for name in named:
            if known and name not in carried:
                what = listed(quoted(message) for message in step.send)
                self.error(
                    (*path, "channel"),
                    f"{what} has no {name} content",
                    f"add '{name}' to the message, or choose another channel",
                )


def _raw(document: Document, path: Path, key: str) -> object:
    data: Any = document.data
    for part in path:
        data = data[part]
    return data.get(key)


def _close(word: str, near: str) -> bool:
    """So near to a known event that a typing mistake is likelier than an event of one's own."""
    return difflib.SequenceMatcher(None, word, near).ratio() >= 0.88


def place(path: Path) -> str:
    """A path as people read it: steps[3].then[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
