"""A journey's model becomes a Journey: a flat tuple of instructions, compiled conditions, and the hash of its meaning.

Faults of meaning (unknown names, messages without content, `same` where nothing can be the same) are found here,
each at its place in the file.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ValidationError

from orchestrator.errors import Finding
from orchestrator.language import faults
from orchestrator.language.compile_conditions import ANSWERS, ROOTS, Conditions, event_roots
from orchestrator.language.fields import CUSTOMER, OWN_EVENTS
from orchestrator.language.findings import listed, quoted, unknown
from orchestrator.language.load import Document, Path
from orchestrator.language.model import (
    AbsenceForm,
    BranchForm,
    EmitForm,
    EventForm,
    ExitForm,
    GoalForm,
    JourneyForm,
    RepeatForm,
    RolloutForm,
    ScheduleForm,
    SendForm,
    SetForm,
    SplitForm,
    StepForm,
    TriggerForm,
    WaitForForm,
    WaitForm,
    WaitUntilForm,
    normalised,
)
from orchestrator.language.program import (
    Absence,
    Branch,
    Clock,
    Condition,
    Emit,
    EventMatch,
    Exit,
    Goal,
    Instruction,
    Journey,
    Jump,
    MessageTemplate,
    Policy,
    Reentry,
    Reference,
    Repeat,
    Rollout,
    Send,
    Set,
    Split,
    Trigger,
    Wait,
    WaitFor,
    WaitUntil,
)
from orchestrator.language.versions import version_of

CHANNELS = ("email", "sms", "push")
_LEARNED = ("auto", "same", "other")
#: A value in `with` and `set` that is looked up: reply.choice. Anything else stands for itself.
_REFERENCE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", re.ASCII)
#: Nested loops multiply; more than one inside another is no journey.
_LOOPS = 2


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
        reentry=compiler.reentry(form.reentry),
        goal=compiler.goal(form.goal),
        exit_when=tuple(compiler.exit_event(item, index) for index, item in enumerate(form.exit_when)),
        holdout=form.holdout,
        cap=form.cap,
        quiet_hours=form.quiet_hours,
        rollout=compiler.rollout(form.rollout),
        start=form.start,
    )
    compiler.check_start()
    reads = frozenset({*compiler.reads, *form.reentry.key[:1]})
    return dataclasses.replace(journey, version=version_of(journey), reads=reads), compiler.findings.sorted()


class _Compiler(Conditions):
    def __init__(self, form: JourneyForm, document: Document, context: Context) -> None:
        super().__init__(document)
        self.form = form
        self.context = context
        self.code: list[Instruction] = []
        #: Events some wait_for above has waited for, as the steps stand in the file.
        self.waited: list[str] = []
        self.sends = 0
        self.loops = 0
        #: Names of splits, so that two are not measured as one.
        self.splits: set[str] = set()

    # -- head of the file

    def trigger(self, form: TriggerForm | AbsenceForm | ScheduleForm) -> Trigger | Absence | Clock:
        if isinstance(form, ScheduleForm):
            return form.every
        if isinstance(form, AbsenceForm):
            return self.absence(form, ("trigger",))
        path: Path = ("trigger",)
        event = self.event_name(form.event, (*path, "event"))
        where, _ = self.where(form.where, (*path, "where"), event_roots(event), same=False)
        if form.times > 1 and form.within is None:
            self.error((*path, "times"), "'times' needs 'within'", "say in which time: within: 7d", key=True)
        if form.within is not None and form.times == 1:
            self.error((*path, "within"), "'within' needs 'times'", "say how often: times: 3", key=True)
        if form.same and form.times == 1:
            self.error((*path, "same"), "'same' needs 'times'", "say how often: times: 3, within: 7d", key=True)
        if form.same:
            self.check_name(form.same, event_roots(event), (*path, "same"))
        return Trigger(EventMatch(event, where), form.times, form.within or 0, form.same)

    def absence(self, form: AbsenceForm, path: Path) -> Absence:
        span = form.for_
        if form.missing == "response":
            if span.gaps:
                self.error((*path, "for"), "a response has no usual gap", "write a time: for: 60d")
            return self.silence(form, path)
        event = self.event_name(form.missing, (*path, "missing"))
        if span.gaps and event != "purchase":
            self.error((*path, "for"), "only purchases have a usual gap", "write a time: for: 60d")
        where, _ = self.where(form.where, (*path, "where"), event_roots(event), same=False)
        return Absence(event, span.lasting, span.gaps, where)

    def silence(self, form: AbsenceForm, path: Path) -> Absence:
        """`missing: response`: its `where` names the channel and how many messages went unanswered."""
        where: Any = form.where if form.where is not None else {}
        channel, sent = "", 1
        if not isinstance(where, dict):
            self.error(
                (*path, "where"), "a missing response has channel and sent", "write {channel: email, sent: at least 4}"
            )
            return Absence("response", form.for_.lasting)
        for key, value in where.items():
            at = (*path, "where", key)
            if key == "channel":
                channel = str(value)
                if channel not in self.context.channels:
                    self.error(
                        at,
                        unknown("channel", channel, self.context.channels),
                        f"known: {listed(self.context.channels)}",
                    )
            elif key == "sent":
                match = re.fullmatch(r"(?:at least )?(\d{1,2})", " ".join(str(value).split()))
                if match is None or not 1 <= int(match[1]) <= 50:
                    self.error(at, f"{quoted(value)} is not a count", "write sent: at least 4")
                else:
                    sent = int(match[1])
            else:
                self.error(at, unknown("key", key, ("channel", "sent")), "known here: channel, sent", key=True)
        return Absence("response", form.for_.lasting, channel=channel, sent=sent)

    def trigger_roots(self) -> tuple[str, ...]:
        """What is known when a run begins: with an absence or a schedule, the customer alone."""
        form = self.form.trigger
        return event_roots(form.event) if isinstance(form, TriggerForm) else ("customer",)

    def run_roots(self) -> tuple[str, ...]:
        """What a step may read: fields, the trigger's event, and what was waited for above."""
        return tuple(dict.fromkeys((*ROOTS, *self.trigger_roots(), "reply", *self.waited)))

    def audience(self, raw: object) -> Condition | None:
        return self.without_same(raw, ("audience",), self.trigger_roots())

    def without_same(self, raw: object, path: Path, roots: Iterable[str]) -> Condition | None:
        if isinstance(raw, dict) and "same" in raw.values():
            key = next(key for key, value in raw.items() if value == "same")
            self.error((*path, key), "'same' has nothing to be the same as here", "use it in goal and exit_when")
            return None
        return self.condition(raw, path, roots)

    def reentry(self, reentry: Reentry) -> Reentry:
        if reentry.key and reentry.key[0] not in self.trigger_roots():
            self.error(
                ("reentry",),
                f"the trigger gives no {quoted('.'.join(reentry.key))}",
                f"names start with {listed(self.trigger_roots())}",
            )
        return reentry

    def check_start(self) -> None:
        if "start" in self.form.model_fields_set and isinstance(self.form.trigger, TriggerForm):
            self.error(
                ("start",),
                "'start' needs a trigger on absence",
                "an event starts runs by itself: remove the line",
                key=True,
            )
        if self.form.start.existing and isinstance(self.form.trigger, ScheduleForm):
            self.error(("start",), "a schedule takes in everybody anyway", "remove the line", key=True)

    def rollout(self, form: RolloutForm | None) -> Rollout | None:
        if form is None:
            return None
        path: Path = ("rollout",)
        if not form.model_fields_set:
            self.error(path, "a rollout without a limit", "write {share: 20%}, or remove the line")
        only = self.without_same(form.only, (*path, "only"), self.trigger_roots()) if form.only is not None else None
        for name in form.channels:
            if name not in self.context.channels:
                self.error(
                    (*path, "channels"),
                    unknown("channel", name, self.context.channels),
                    f"known: {listed(self.context.channels)}",
                )
        budget = None
        if form.budget is not None:
            budget, currency = form.budget
            if currency != self.context.policy.currency:
                self.error(
                    (*path, "budget"),
                    f"the policy counts in {self.context.policy.currency}, not in {currency}",
                    f"write the budget in {self.context.policy.currency}",
                )
        return Rollout(1.0 if form.share is None else form.share, only, form.channels, form.until, budget)

    def match(self, form: EventForm | GoalForm, path: Path) -> EventMatch:
        event = self.event_name(form.event, (*path, "event"))
        where, names = self.where(form.where, (*path, "where"), event_roots(event), same=True)
        same = tuple(dict.fromkeys([*names, *form.same]))
        for name in same:
            if name in form.same:
                self.check_name(name, event_roots(event), (*path, "same"))
            else:
                self.check_name(name, event_roots(event), (*path, "where", ".".join(name)), key=True)
        self.check_same(same, path)
        return EventMatch(event, where, same)

    def check_same(self, same: tuple[tuple[str, ...], ...], path: Path) -> None:
        """`same` compares with what the run was started by; a run that no event started has nothing to compare."""
        if same and not isinstance(self.form.trigger, TriggerForm):
            self.error(path, "'same' has nothing to be the same as: no event starts this journey", "remove it")

    def goal(self, form: GoalForm | None) -> Goal | None:
        if form is None:
            return None
        if form.value:
            self.check_name(form.value, event_roots(form.event), ("goal", "value"))
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
        return self.without_same(raw, path, self.run_roots())

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
            if step.same and not after:
                self.error((*path, "same"), "'same' needs 'after_last'", "name the event: after_last: view", key=True)
            self.same(step.same, after, (*path, "same"))
            self.code.append(Wait(where, step.wait, after, step.same))
        elif isinstance(step, WaitUntilForm):
            moment = step.wait_until
            if moment.name:
                self.check_name(moment.name, self.run_roots(), (*path, "wait_until"))
            self.code.append(WaitUntil(where, moment.anchor, moment.offset, moment.name, moment.clock))
        elif isinstance(step, WaitForForm):
            self.wait_for(step, path)
        elif isinstance(step, BranchForm):
            self.branch(step, path)
        elif isinstance(step, SplitForm):
            self.split(step, path)
        elif isinstance(step, SetForm):
            self.code.append(Set(where, self.written(step.set, (*path, "set"))))
        elif isinstance(step, EmitForm):
            self.emit(step, path)
        elif isinstance(step, RepeatForm):
            self.repeat(step, path)
        elif isinstance(step, ExitForm):
            self.code.append(Exit(where, step.exit))

    def same(self, names: tuple[tuple[str, ...], ...], event: str, path: Path) -> None:
        for name in names:
            self.check_name(name, event_roots(event) if event else ROOTS, path)
        self.check_same(names, path)

    def wait_for(self, step: WaitForForm, path: Path) -> None:
        listed_in_file = (*path, "wait_for", 0) in self.document.values
        for index, event in enumerate(step.wait_for):
            self.event_name(event, (*path, "wait_for", index) if listed_in_file else (*path, "wait_for"), awaited=True)
            if event in ANSWERS and not self.sends:
                self.error((*path, "wait_for"), f"no message before this could get a {event}", "send first")
        others = [event for event in step.wait_for if event not in ANSWERS]
        if step.same and not others:
            self.error((*path, "same"), "an answer belongs to this run already", "remove 'same'", key=True)
        elif step.same:
            self.same(step.same, others[0], (*path, "same"))
        self.waited.extend(event for event in step.wait_for if event not in self.waited)
        self.code.append(WaitFor(place(path), step.wait_for, step.up_to, step.same))

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
        end = self.land(jumps)
        if not cases and not self.findings.errors:
            self.error(path, "a branch without 'if'", "add '- if: …' with 'then:'")
        self.code[at] = Branch(place(path[:-1]), tuple(cases), end if otherwise is None else otherwise)

    def land(self, jumps: list[int]) -> int:
        """Let the reserved jumps lead to the next instruction."""
        end = len(self.code)
        for jump in jumps:
            self.code[jump] = Jump(self.code[jump].path, end)
        return end

    def split(self, step: SplitForm, path: Path) -> None:
        name = step.name or place(path)
        if name in self.splits:
            self.error((*path, "name"), f"two splits are called {quoted(name)}", "give each a name of its own")
        self.splits.add(name)
        path = (*path, "split")
        if len(step.split) < 2:
            self.error(path, "a split needs two arms or more", "add '- arm: …'")
            return
        names = [arm.arm for arm in step.split]
        for index, called in enumerate(names):
            if called in names[:index]:
                self.error(
                    (*path, index, "arm"), f"two arms are called {quoted(called)}", "give each a name of its own"
                )
        shares = self.shares([arm.share for arm in step.split], path)
        at = self.reserve(place(path[:-1]))
        arms: list[tuple[str, float, int]] = []
        jumps: list[int] = []
        for index, (arm, share) in enumerate(zip(step.split, shares, strict=True)):
            if arm.then is not None and not arm.then:
                self.error((*path, index, "then"), "an arm with an empty list of steps", "remove 'then', or add steps")
            arms.append((arm.arm, share, len(self.code)))
            self.sequence(arm.then or (), (*path, index, "then"))
            jumps.append(self.reserve(place((*path, index)) + ".end"))
        self.land(jumps)
        self.code[at] = Split(place(path[:-1]), name, tuple(arms))

    def shares(self, given: list[float | None], path: Path) -> list[float]:
        """Each arm's share; what is left is divided evenly over the arms without one."""
        total = sum(share for share in given if share is not None)
        left = [share for share in given if share is None]
        if total > 1.000001 or (not left and total < 0.999999):
            self.error(path, f"the shares of the arms make {total * 100:g}%", "let them make 100%, or leave some away")
        if left and total > 0.999999:
            self.error(path, "an arm without a share gets nobody: the others make 100%", "make the others smaller")
        rest = max(0.0, 1.0 - total) / len(left) if left else 0.0
        return [round(rest if share is None else share, 9) for share in given]

    def written(
        self, values: Mapping[tuple[str, ...], object], path: Path
    ) -> tuple[tuple[tuple[str, ...], object], ...]:
        written = []
        for name, value in values.items():
            dotted = ".".join(("customer", *name))
            if name[0] in CUSTOMER:
                self.error(
                    (*path, dotted),
                    f"{quoted(dotted)} is derived from events, it cannot be set",
                    "choose a name of your own",
                    key=True,
                )
            written.append((name, self.value(value, (*path, dotted))))
        return tuple(written)

    def value(self, value: object, path: Path) -> object:
        """A value of `set`, `emit` or `with`: a dotted name is looked up when the step is carried out."""
        if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
            return value
        name = tuple(value.split("."))
        self.check_name(name, self.run_roots(), path)
        return Reference(name)

    def values(self, values: Mapping[str, object], path: Path) -> dict[str, object]:
        return {name: self.value(value, (*path, name)) for name, value in values.items()}

    def emit(self, step: EmitForm, path: Path) -> None:
        event = step.emit
        if event in OWN_EVENTS or event in ANSWERS:
            self.error((*path, "emit"), f"{quoted(event)} is an event that others publish", "choose a name of your own")
        if any(name in step.with_ for name in ("journey", "run", "expires_at")):
            self.error((*path, "with"), "journey, run and expires_at are filled in by themselves", "choose other names")
        values = self.values(step.with_, (*path, "with"))
        self.code.append(Emit(place(path), event, values, step.expires or 0))

    def repeat(self, step: RepeatForm, path: Path) -> None:
        loop = step.repeat
        path = (*path, "repeat")
        where = place(path[:-1])
        if not loop.steps:
            self.error((*path, "steps"), "a loop without steps", "add steps")
            return
        self.loops += 1
        if self.loops > _LOOPS:
            self.error(path, "a loop in a loop in a loop", "write the steps out")
        at = self.reserve(where)
        first = len(self.code)
        self.sequence(loop.steps, (*path, "steps"))
        self.code.append(Jump(where + ".again", at))
        self.loops -= 1
        if not any(isinstance(one, Wait | WaitFor) for one in self.code[first:]):
            self.error((*path, "steps"), "a loop without a wait", "add '- wait: 7d' or a wait_for")
        # What the loop waits for is known when it comes round again.
        condition = self.without_same(loop.while_, (*path, "while"), self.run_roots())
        if condition is None:
            if loop.while_ is None:
                self.error(
                    (*path, "while"),
                    "a loop without a condition",
                    "say how long it goes on: while: {reply.intent: later}",
                )
            return
        self.code[at] = Repeat(where, condition, loop.at_most, len(self.code))

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
        when: Literal["now", "best", "clock"] = (
            "best" if step.at[0] == "best" else "clock" if step.at[0] == "clock" else "now"
        )
        values = self.values(step.with_, (*path, "with"))
        self.code.append(
            Send(place(path), step.send, channels, step.expires, values, step.on_unknown, when, step.at[1])
        )

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


def place(path: Path) -> str:
    """A path as people read it: steps[3].then[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
