"""The journey file as people write it: one frozen model per verb, chosen by its verb.

Values arrive here as plain data from `load`; conditions stay as written and are compiled with their places in
`compile`. Validation reports every fault at once; `faults.py` gives each its place and words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag
from pydantic_core import PydanticCustomError

from orchestrator.contracts.messages import OnUnknown
from orchestrator.language.durations import parse_cap, parse_share, parse_window
from orchestrator.language.findings import quoted
from orchestrator.language.moments import (
    Moment,
    Span,
    parse_budget,
    parse_day,
    parse_every,
    parse_moment,
    parse_reentry,
    parse_send_at,
    parse_span,
    parse_start,
    positive,
)
from orchestrator.language.program import Cap, Clock, QuietHours, Reentry, Start

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}(\.v[0-9]+)?", re.ASCII)

Parsed = TypeVar("Parsed")


def fault(message: str, fix: str = "") -> PydanticCustomError:
    """An error with our own words; `faults.py` reads `fix` from its context."""
    return PydanticCustomError("journey", "{message}", {"message": message, "fix": fix})


def words(parse: Callable[[object], Parsed]) -> PlainValidator:
    """A validator from one of the parsers that raise ValueError('what is wrong: what to write')."""

    def validate(value: object) -> Parsed:
        try:
            return parse(value)
        except ValueError as error:
            message, _, fix = str(error).partition(": ")
            raise fault(message, fix) from None

    return PlainValidator(validate)


def _event(value: object) -> str:
    if isinstance(value, str) and EVENT.fullmatch(value):
        return value
    if value is True or value is False:
        raise ValueError(f"{quoted(value)} is not an event: put quotes around it if this is the event's name")
    raise ValueError(f"{quoted(value)} is not an event: write a snake_case word such as purchase")


def _events(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("an empty list waits for nothing: name at least one event")
    if len(items) > 20:
        raise ValueError("more than 20 events: name those that matter")
    return _unique(tuple(_event(item) for item in items))


def _word(what: str, example: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        raise ValueError(f"{quoted(value)} is not a {what}: write a snake_case word such as {example}")

    return parse


def _one_or_more(what: str, example: str) -> Callable[[object], tuple[str, ...]]:
    one = _word(what, example)

    def parse(value: object) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise ValueError(f"an empty list names no {what}: name at least one")
        if len(items) > 10:
            raise ValueError(f"more than 10 {what}s: nothing could be learned about each")
        return _unique(tuple(one(item) for item in items))

    return parse


def _unique(items: tuple[str, ...]) -> tuple[str, ...]:
    for index, item in enumerate(items):
        if item in items[:index]:
            raise ValueError(f"{quoted(item)} stands twice: name it once")
    return items


def _dotted(value: object) -> tuple[str, ...]:
    parts = tuple(value.split(".")) if isinstance(value, str) else ()
    if len(parts) < 2 or not all(part.isidentifier() and part.isascii() for part in parts):
        raise ValueError(f"{quoted(value)} is not a field: write a dotted name such as product.category")
    return parts


def _dotted_list(value: object) -> tuple[tuple[str, ...], ...]:
    return tuple(_dotted(item) for item in (value if isinstance(value, list) else [value]))


def _title(value: object) -> str:
    if isinstance(value, str) and 0 < len(value.strip()) <= 120 and value.isprintable():
        return value.strip()
    raise ValueError(f"{quoted(value)} is not a name: write a short text in one line")


def _values(value: object) -> dict[str, object]:
    """Names and plain values; a dotted value is a reference, looked up later."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{quoted(value)} is not a list of values: write {{code: SHIPFREE}}")
    for key, item in value.items():
        if not NAME.fullmatch(key):
            raise ValueError(f"{quoted(key)} is not a name for a value: write a snake_case word such as code")
        if isinstance(item, list | dict) or item is None:
            raise ValueError(f"the value of {quoted(key)} is not a text or number: write {key}: SHIPFREE")
    return dict(value)


def _fields(value: object) -> dict[tuple[str, ...], object]:
    """What `set` writes: customer fields and their values; null removes one."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{quoted(value)} is not a list of fields: write {{customer.lifecycle: dormant}}")
    fields: dict[tuple[str, ...], object] = {}
    for key, item in value.items():
        name = _dotted(key)
        if name[0] != "customer":
            raise ValueError(
                f"{quoted(key)} cannot be set: only fields of the customer can, such as customer.lifecycle"
            )
        if len(name) > 4:
            raise ValueError(f"{quoted(key)} is too deep: write a name such as customer.lifecycle")
        if isinstance(item, list | dict):
            raise ValueError(f"the value of {quoted(key)} is not a text or number: write {key}: dormant")
        fields[name[1:]] = item
    return fields


Duration = Annotated[int, words(positive)]
Share = Annotated[float, words(parse_share)]
CapPhrase = Annotated[Cap, words(lambda value: Cap(*parse_cap(value)))]
Window = Annotated[QuietHours, words(lambda value: QuietHours(*parse_window(value)))]
EventName = Annotated[str, words(_event)]
EventNames = Annotated[tuple[str, ...], words(_events)]
FieldName = Annotated[tuple[str, ...], words(_dotted)]
FieldNames = Annotated[tuple[tuple[str, ...], ...], words(_dotted_list)]
Title = Annotated[str, words(_title)]
Values = Annotated[dict[str, object], words(_values)]
#: A mapping, an expression, or a list of them; compiled with places later.
ConditionForm = Any


class Form(BaseModel):
    """Base of everything in a file: nothing unknown, nothing coerced, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)


class EventForm(Form):
    """An event with conditions, as in `exit_when`."""

    event: EventName
    where: ConditionForm = None
    same: FieldNames = ()


class TriggerForm(Form):
    """The event that starts a run."""

    event: EventName
    where: ConditionForm = None
    times: Annotated[int, Field(ge=1, le=100)] = 1
    within: Duration | None = None
    same: FieldName = ()


class AbsenceForm(Form):
    """What has not come for a time."""

    missing: EventName
    for_: Annotated[Span, words(parse_span)] = Field(alias="for")
    where: ConditionForm = None


class ScheduleForm(Form):
    """A weekday and a time, or a time of every day, by the customer's own clock."""

    every: Annotated[Clock, words(parse_every)]


def _trigger_kind(value: object) -> str:
    """The union's tag of a trigger. Without a clear word it is an event that is not named yet."""
    if isinstance(value, dict) and "event" not in value:
        for word in ("missing", "every"):
            if word in value:
                return f"<trigger {word}>"
    return "<trigger event>"


AnyTrigger = Annotated[
    Annotated[TriggerForm, Tag("<trigger event>")]
    | Annotated[AbsenceForm, Tag("<trigger missing>")]
    | Annotated[ScheduleForm, Tag("<trigger every>")],
    Discriminator(_trigger_kind),
]


class RolloutForm(Form):
    """Limits of a proof of concept; deleting the line is the launch."""

    share: Share | None = None
    only: ConditionForm = None
    channels: Annotated[tuple[str, ...], words(_one_or_more("channel", "email"))] = ()
    until: Annotated[str, words(parse_day)] = ""
    budget: Annotated[tuple[float, str] | None, words(parse_budget)] = None


class GoalForm(Form):
    """The event that means success."""

    event: EventName
    within: Duration
    where: ConditionForm = None
    same: FieldNames = ()
    value: FieldName = ()


class StepForm(Form):
    """What every step may have."""

    name: Title | None = None
    if_: ConditionForm = Field(default=None, alias="if")


class SendForm(StepForm):
    send: Annotated[tuple[str, ...], words(_one_or_more("message", "refill_reminder"))]
    channel: Annotated[tuple[str, ...], words(_one_or_more("channel", "email"))] = ("auto",)
    at: Annotated[tuple[str, int], words(parse_send_at)] = ("now", 0)
    expires: Duration = 172_800_000
    with_: Values = Field(default={}, alias="with")
    on_unknown: OnUnknown | None = None


class WaitForm(StepForm):
    wait: Duration
    after_last: EventName | None = None
    same: FieldNames = ()


class WaitUntilForm(StepForm):
    wait_until: Annotated[Moment, words(parse_moment)]


class WaitForForm(StepForm):
    wait_for: EventNames
    up_to: Duration
    same: FieldNames = ()


class CaseForm(Form):
    """One case of a branch: `if` with `then`, or `else` alone."""

    if_: ConditionForm = Field(default=None, alias="if")
    then: tuple[Step, ...] | None = None
    else_: tuple[Step, ...] | None = Field(default=None, alias="else")


class BranchForm(StepForm):
    branch: tuple[CaseForm, ...]


class ArmForm(Form):
    """One arm of a split, with its steps if it has any."""

    arm: Annotated[str, words(_word("arm", "no_offer"))]
    share: Share | None = None
    then: tuple[Step, ...] | None = None


class SplitForm(StepForm):
    split: tuple[ArmForm, ...]


class SetForm(StepForm):
    set: Annotated[dict[tuple[str, ...], object], words(_fields)]


class EmitForm(StepForm):
    emit: EventName
    with_: Values = Field(default={}, alias="with")
    expires: Duration | None = None


class ExitForm(StepForm):
    exit: Title


class LoopForm(Form):
    """The only loop: how long it goes on, how often at most, and what it does."""

    while_: ConditionForm = Field(alias="while")
    at_most: Annotated[int, Field(ge=1, le=50)]
    steps: tuple[Step, ...]


class RepeatForm(StepForm):
    repeat: LoopForm


#: verb → its model. The order is the one used in messages.
VERBS: dict[str, type[StepForm]] = {
    "send": SendForm,
    "wait": WaitForm,
    "wait_until": WaitUntilForm,
    "wait_for": WaitForForm,
    "branch": BranchForm,
    "split": SplitForm,
    "set": SetForm,
    "emit": EmitForm,
    "exit": ExitForm,
    "repeat": RepeatForm,
}


def verbs_in(step: object) -> tuple[str, ...]:
    """The verbs a step names; a good step names one."""
    return tuple(key for key in step if key in VERBS) if isinstance(step, dict) else ()


def _verb(step: object) -> str | None:
    """The union's tag of a step. In brackets, so that no tag equals a key of the file."""
    found = verbs_in(step)
    return f"<{found[0]}>" if len(found) == 1 else None


Step = Annotated[
    Annotated[SendForm, Tag("<send>")]
    | Annotated[WaitForm, Tag("<wait>")]
    | Annotated[WaitUntilForm, Tag("<wait_until>")]
    | Annotated[WaitForForm, Tag("<wait_for>")]
    | Annotated[BranchForm, Tag("<branch>")]
    | Annotated[SplitForm, Tag("<split>")]
    | Annotated[SetForm, Tag("<set>")]
    | Annotated[EmitForm, Tag("<emit>")]
    | Annotated[ExitForm, Tag("<exit>")]
    | Annotated[RepeatForm, Tag("<repeat>")],
    Discriminator(_verb),
]


class JourneyForm(Form):
    """A whole journey file."""

    name: Title
    owner: Title
    trigger: AnyTrigger
    steps: tuple[Step, ...]
    status: Literal["draft", "live", "draining", "stopped"] = "draft"
    priority: Annotated[int, Field(ge=0, le=100)] = 50
    purpose: Literal["marketing", "service"] = "marketing"
    audience: ConditionForm = None
    reentry: Annotated[Reentry, words(parse_reentry)] = Reentry()
    goal: GoalForm | None = None
    exit_when: tuple[EventForm, ...] = ()
    holdout: Share = 0.0
    cap: CapPhrase | None = None
    quiet_hours: Window | None = None
    rollout: RolloutForm | None = None
    start: Annotated[Start, words(parse_start)] = Start()


CaseForm.model_rebuild()
BranchForm.model_rebuild()
ArmForm.model_rebuild()
SplitForm.model_rebuild()
LoopForm.model_rebuild()
RepeatForm.model_rebuild()
JourneyForm.model_rebuild()


def normalised(data: dict[str, Any]) -> dict[str, Any]:
    """Short forms written out: `trigger: purchase` is `{event: purchase}`, one exit event is a list of one.

    A list where pydantic wants a tuple becomes one; paths stay those of the file.
    """
    data = dict(data)
    if isinstance(data.get("trigger"), str):
        data["trigger"] = {"event": data["trigger"]}
    if isinstance(data.get("goal"), str):
        data["goal"] = {"event": data["goal"]}
    exits = data.get("exit_when")
    if isinstance(exits, str | dict):
        exits = [exits]
    if isinstance(exits, list):
        data["exit_when"] = tuple({"event": item} if isinstance(item, str) else item for item in exits)
    if isinstance(data.get("steps"), list):
        data["steps"] = _steps(data["steps"])
    return data


def _steps(steps: list[Any]) -> tuple[Any, ...]:
    return tuple(_step(step) for step in steps)


def _step(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    for verb in ("branch", "split"):
        if isinstance(step.get(verb), list):
            step = {**step, verb: tuple(_nested(case, ("then", "else")) for case in step[verb])}
    if isinstance(step.get("repeat"), dict):
        step = {**step, "repeat": _nested(step["repeat"], ("steps",))}
    return step


def _nested(form: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(form, dict):
        return form
    return {key: _steps(value) if key in keys and isinstance(value, list) else value for key, value in form.items()}
