"""pydantic's errors in the words of the file: place, what is wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.errors import Finding
from orchestrator.language.findings import did_you_mean, listed, quoted, unknown
from orchestrator.language.load import Document, Path
from orchestrator.language.model import (
    VERBS,
    AbsenceForm,
    ArmForm,
    CaseForm,
    EventForm,
    GoalForm,
    JourneyForm,
    LoopForm,
    RolloutForm,
    ScheduleForm,
    TriggerForm,
    verbs_in,
)

#: What a missing key should be.
_REQUIRED = {
    "name": "say what the journey does in a few words: name: Refill reminder",
    "owner": "name the team that answers for it: owner: retention",
    "trigger": "say which event starts it: trigger: purchase",
    "steps": "say what happens: steps, then a list that starts with '- send: …'",
    "up_to": "say how long to wait at most: up_to: 3d",
    "event": "name the event: event: purchase",
    "within": "say how long a success counts: within: 14d",
    "for": "say how long: for: 60d, or for: 2x usual gap",
    "arm": "give each arm a name: arm: no_offer",
    "while": "say how long it goes on: while: {reply.intent: later}",
    "at_most": "say how often at most: at_most: 3",
}

#: Where in a journey file which model stands; steps are found by their verb.
_FORMS: Mapping[str, type[BaseModel]] = {
    "trigger": TriggerForm,
    "goal": GoalForm,
    "exit_when": EventForm,
    "branch": CaseForm,
    "split": ArmForm,
    "repeat": LoopForm,
    "rollout": RolloutForm,
}

#: Forms of the two unions by their tags.
_TAGS: Mapping[str, type[BaseModel]] = {
    **{f"<{verb}>": model for verb, model in VERBS.items()},
    "<trigger event>": TriggerForm,
    "<trigger missing>": AbsenceForm,
    "<trigger every>": ScheduleForm,
}


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in model.model_fields.items())


def _form_at(
    loc: tuple[str | int, ...], root: type[BaseModel], forms: Mapping[str, type[BaseModel]]
) -> type[BaseModel]:
    """The model whose keys stand at `loc`."""
    for part in reversed(loc):
        if isinstance(part, str):
            if part.startswith("<"):
                return _TAGS[part]
            if part in forms:
                return forms[part]
    return root


def findings(
    error: ValidationError,
    document: Document,
    root: type[BaseModel] = JourneyForm,
    forms: Mapping[str, type[BaseModel]] = _FORMS,
    required: Mapping[str, str] = _REQUIRED,
) -> Iterable[Finding]:
    """One finding per error. `forms` says which model stands under which key."""
    errors = error.errors(include_url=False)
    # A misspelt key is one fault, not two: the key it stands for is then not reported as missing.
    meant = {
        (
            *details["loc"][:-1],
            did_you_mean(str(details["loc"][-1]), keys_of(_form_at(details["loc"][:-1], root, forms))),
        )
        for details in errors
        if details["type"] == "extra_forbidden"
    }
    for details in errors:
        if details["type"] != "missing" or details["loc"] not in meant:
            yield _finding(details, document, root, forms, required)


def _finding(
    details: ErrorDetails,
    document: Document,
    root: type[BaseModel],
    forms: Mapping[str, type[BaseModel]],
    required: Mapping[str, str],
) -> Finding:
    loc = details["loc"]
    # Tags of the step union are no part of the file.
    path: Path = tuple(part for part in loc if not (isinstance(part, str) and part.startswith("<")))
    kind, context, value = details["type"], details.get("ctx", {}), details.get("input")
    if kind == "journey":
        return document.finding(path, str(context["message"]), str(context["fix"]))
    if kind == "extra_forbidden":
        key = str(path[-1])
        known = keys_of(_form_at(loc[:-1], root, forms))
        return document.finding(path, unknown("key", key, known), f"known here: {', '.join(known)}", key=True)
    if kind == "missing":
        key = str(path[-1])
        return document.finding(path[:-1], f"'{key}' is missing", required.get(key, f"add {key}: …"), key=True)
    if kind == "union_tag_not_found":
        return _step_finding(document, path, value)
    if kind == "literal_error":
        words = [word.strip("'") for word in str(context.get("expected", "")).replace(" or ", ", ").split(", ")]
        return document.finding(path, unknown("word", str(value), words), f"write {listed(words)}")
    if kind in ("greater_than_equal", "less_than_equal"):
        limit = context.get("ge", context.get("le"))
        word = "at least" if kind == "greater_than_equal" else "at most"
        return document.finding(path, f"{quoted(value)} is out of range", f"write a number of {word} {limit}")
    expected = {
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "a text",
        "tuple_type": "a list: each line starts with '- '",
        "model_type": "a mapping: write 'key: value' lines",
        "model_attributes_type": "a mapping: write 'key: value' lines",
        "dict_type": "a mapping: write 'key: value' lines",
    }.get(kind)
    if expected:
        short, _, how = expected.partition(": ")
        return document.finding(path, f"{quoted(value)} is not {short}", how or f"write {short}")
    return document.finding(path, details["msg"], "compare with a working file")


def _step_finding(document: Document, path: Path, step: object) -> Finding:
    """A step without one clear verb."""
    verbs = listed(VERBS)
    if not isinstance(step, dict):
        known = f"write '- {step}: …'" if isinstance(step, str) and step in VERBS else f"write '- verb: …' with {verbs}"
        return document.finding(path, f"{quoted(step)} is not a step", known)
    found = verbs_in(step)
    if len(found) > 1:
        return document.finding(
            (*path, found[1]),
            f"two verbs in one step: {listed(found).replace(' or ', ' and ')}",
            "start a new line with '- ' for the second",
            key=True,
        )
    options = {key for model in VERBS.values() for key in keys_of(model)} - set(VERBS)
    odd = next((key for key in step if key not in options), None)
    if odd is None:
        return document.finding(path, "a step without a verb", f"add one of {verbs}")
    return document.finding((*path, odd), unknown("key", odd, VERBS), f"a step is one of {verbs}", key=True)
