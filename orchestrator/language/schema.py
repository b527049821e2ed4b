"""JSON Schemas for editors: completion, hover texts and good errors in any editor with yaml-language-server.

The step is one flat object, not a union of nine: with `oneOf` an editor answers a typing mistake with the missing keys
of some other verb; with `propertyNames` it names the key. Which keys go together is said by `dependentSchemas`. The
loader, not the schema, is the judge.
"""

from __future__ import annotations

from typing import Any

from orchestrator.language.compile import CHANNELS
from orchestrator.language.compile_conditions import KNOWN_EVENTS
from orchestrator.language.faults import keys_of
from orchestrator.language.fields import USUAL, WORDS, fields_of
from orchestrator.language.messages import MessageForm, PushForm
from orchestrator.language.model import VERBS
from orchestrator.language.policy import ChannelForm, ConsentForm, PolicyForm

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_DURATION = r"^((\d+w ?)?(\d+d ?)?(\d+h ?)?(\d+m ?)?(\d+s)?|P.+)$"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _duration(description: str) -> Schema:
    return _text(
        description,
        pattern=_DURATION,
        patternErrorMessage="not a duration: write 3d, 12h, 45m or 2w",
        examples=["30m", "2h", "3d", "2w", "1d 12h"],
    )


def _share(description: str) -> Schema:
    return _text(
        description, pattern=r"^\d{1,3}(\.\d+)? ?%$", patternErrorMessage="not a share: write 10%", examples=["10%"]
    )


def _cap(description: str) -> Schema:
    return _text(
        description, pattern=r"^\d+ per .+$", patternErrorMessage="not a cap: write 3 per 30d", examples=["3 per 30d"]
    )


def _window(description: str) -> Schema:
    return _text(
        description,
        pattern=r"^\d\d:\d\d ?- ?\d\d:\d\d$",
        patternErrorMessage="not a window of the day: write 21:00-09:00",
        examples=["21:00-09:00"],
    )


def _event(description: str) -> Schema:
    # `anyOf` with an open pattern: the known words are offered, one's own are allowed.
    return {
        "description": description,
        "anyOf": [{"enum": list(KNOWN_EVENTS)}, {"type": "string", "pattern": r"^[a-z][a-z0-9_]*(\.v\d+)?$"}],
    }


def _one_or_list(item: Schema, description: str) -> Schema:
    return {"description": description, "anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _field(description: str) -> Schema:
    return _text(description, pattern=r"^\w+(\.\w+)+$", patternErrorMessage="not a field: write product.category")


def _condition(description: str) -> Schema:
    more = (
        "\n\nA mapping: every line must hold. Value = equals, list = any of; words: `at least 2`, `over 50`,"
        " `at most 3`, `under 5`, `between 2 and 5`, `not x`. Or one expression: `not response`,"
        " `product.stock < 5 or cart_add`."
    )
    # Any name is allowed; those of the event schemas are offered.
    return {
        "description": description + more,
        "type": ["object", "string", "array"],
        "allOf": [{"$ref": "#/$defs/fields"}],
    }


#: First words of names that a condition is offered: what events bring, and the customer.
_OFFERED = ("product", "order", "customer", "reply", "stage", "segment")
_EXAMPLES: dict[str, list[object]] = {"number": ["at least 2", "over 50", "between 2 and 5"], "flag": [True, False]}
_KIND_WORDS = {"number": "a number", "text": "a text", "flag": "true or false"}


def _fields() -> Schema:
    """The fields of the event schemas, for completion and hover in conditions."""
    properties: Schema = {"response": {"description": "She responded: a click, a tap, a reply or a visit."}}
    for root in _OFFERED:
        for name, kinds in sorted((fields_of(root) or {}).items()):
            said = " or ".join(_KIND_WORDS[kind] for kind in sorted(kinds)) or "anything"
            found: Schema = {"description": f"{root}.{name}: {said}."}
            words = WORDS.get((root, name)) or USUAL.get((root, name))
            if words:
                found["anyOf"] = [{"enum": list(words)}, {}]
            examples = [example for kind in sorted(kinds) for example in _EXAMPLES.get(kind, [])]
            if examples:
                found["examples"] = examples
            properties[f"{root}.{name}"] = found
    return {"properties": properties}


def _object(properties: Schema, required: list[str], description: str) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _same(description: str) -> Schema:
    return _one_or_list(_field("Dotted name."), description)


def _every() -> Schema:
    return _object(
        {
            "every": _text(
                "A weekday and a time, or a time of every day, by the customer's own clock.",
                pattern=r"^((mon|tues|wednes|thurs|fri|satur|sun)day )?\d\d:\d\d$",
                patternErrorMessage="not a schedule: write monday 09:00, or 09:00 for every day",
                examples=["monday 09:00", "09:00"],
            )
        },
        ["every"],
        "A schedule by the customer's own clock.",
    )


def _absence() -> Schema:
    return _object(
        {
            "missing": {
                "description": "What has not come: an event, or response (answers to our messages).",
                "anyOf": [{"const": "response"}, _event("An event.")],
            },
            "for": _text(
                "For how long: a time, or so many times this customer's usual gap between purchases.",
                pattern=rf"^\d+(\.\d+)?x usual gap$|{_DURATION}",
                patternErrorMessage="not a time: write 60d, or 2x usual gap",
                examples=["60d", "2x usual gap"],
            ),
            "where": _condition("Which of these events. For response: {channel: email, sent: at least 4}."),
        },
        ["missing", "for"],
        "Something that has not come for a time.",
    )


def _rollout() -> Schema:
    return _object(
        {
            "share": _share("Share of customers who may enter. Sticky: raising it drops nobody."),
            "only": _condition("Only who fits."),
            "channels": _one_or_list({"enum": list(CHANNELS)}, "Only these channels."),
            "until": _text("The last day of it.", pattern=r"^\d{4}-\d\d-\d\d$", patternErrorMessage="write 2027-03-31"),
            "budget": _text(
                "What it may cost.", pattern=r"^\d+(\.\d\d?)? [A-Z]{3}$", patternErrorMessage="write 500 EUR"
            ),
        },
        [],
        "Limits of a proof of concept. Deleting the line is the launch.",
    )


def _arm() -> Schema:
    return _object(
        {
            "arm": _text("Its name in reports.", pattern=r"^[a-z][a-z0-9_]*$"),
            "share": _share("Its share of customers; equal when left away."),
            "then": _steps("Its steps, if it has any."),
        },
        ["arm"],
        "One arm of the test.",
    )


def _repeat() -> Schema:
    return _object(
        {
            "while": _condition("How long it goes on."),
            "at_most": {"type": "integer", "minimum": 1, "maximum": 50, "description": "Rounds at most."},
            "steps": _steps("What each round does; one of them waits."),
        },
        ["while", "at_most", "steps"],
        "The only loop.",
    )


def _trigger() -> Schema:
    return _object(
        {
            "event": _event("The event that starts a run."),
            "where": _condition("Which of these events."),
            "times": {"type": "integer", "minimum": 1, "maximum": 100, "description": "Only when it came that often."},
            "within": _duration("… in this time."),
            "same": _field("… counted apart for each value of this field: product.category"),
        },
        ["event"],
        "The event that starts a run.",
    )


def _goal() -> Schema:
    return _object(
        {
            "event": _event("The event that means success."),
            "where": _condition("Which of these events. `same` = as in the trigger."),
            "same": _same("Fields that must equal the run's own."),
            "within": _duration("How long after the first message it counts."),
            "value": _field("The money it brings: order.revenue"),
        },
        ["event", "within"],
        "Success: the run ends at once.",
    )


def _exit_event() -> Schema:
    form = _object(
        {
            "event": _event("The event that ends the run."),
            "where": _condition("Which of these events. `same` = as in the trigger."),
            "same": _same("Fields that must equal the run's own: order.id"),
        },
        ["event"],
        "An event that ends the run without success.",
    )
    return {"anyOf": [_event("An event that ends the run."), form]}


def _steps(description: str) -> Schema:
    return {"type": "array", "description": description, "items": {"$ref": "#/$defs/step"}, "minItems": 1}


def _case() -> Schema:
    return _object(
        {
            "if": _condition("When this case fits."),
            "then": _steps("Its steps."),
            "else": _steps("When no case fitted. The last case."),
        },
        [],
        "One case: `if` with `then`, or `else` alone.",
    )


def _step() -> Schema:
    channel = {"anyOf": [{"enum": ["auto", "same", "other", *CHANNELS]}, {"type": "string", "pattern": r"^[a-z]\w*$"}]}
    message = {"type": "string", "pattern": r"^[a-z][a-z0-9_]*$"}
    properties: Schema = {
        "name": _text("A title for people."),
        "if": _condition("Do this step only when this holds."),
        "send": _one_or_list(message, "A message of the folder messages/, or a list to learn which works."),
        "channel": _one_or_list(
            channel,
            "auto (default): the channel this customer answers. Or one, or a list to choose from, or same/other as the"
            " last send.",
        ),
        "at": _text(
            "now (default), best (the hour this customer answers), or a time of her day.",
            pattern=r"^(now|best|\d\d:\d\d)$",
            patternErrorMessage="not an hour: write now, best or 09:00",
            examples=["now", "best", "09:00"],
        ),
        "expires": _duration(
            "How long it may be held back before it is skipped (default 2d); an event: worth nothing after."
        ),
        "with": {
            "type": "object",
            "description": "Values for template or event: {code: SHIPFREE}. Dotted names are looked up: reply.choice",
        },
        "on_unknown": {
            "enum": ["drop", "retry", "park"],
            "description": "When nobody can tell whether it was sent: never again, once more, or ask a person.",
        },
        "wait": _duration("Elapsed time: 3d is 72 hours."),
        "after_last": _event("Start the wait again at each such event."),
        "same": _same("Only events about the same as this run: order.id"),
        "wait_until": _text(
            "A moment relative to a prediction or a date of the event, or a time by the customer's own clock.",
            pattern=r"^((at|.+ (before|after)) [a-z][\w.]*|([a-z]+day )?\d\d:\d\d)$",
            patternErrorMessage="not a moment: write 3d before next_due, monday 09:00 or 09:00",
            examples=["3d before next_due", "at next_due", "2d before order.delivery_date", "monday 09:00", "09:00"],
        ),
        "wait_for": _one_or_list(
            {"anyOf": [{"enum": ["response", *KNOWN_EVENTS]}, {"type": "string", "pattern": r"^[a-z]\w*(\.v\d+)?$"}]},
            "The first of these events, or the limit. response = a click, tap, reply or visit from this run's message.",
        ),
        "up_to": _duration("How long to wait for at most."),
        "branch": {"type": "array", "description": "The first case that fits.", "items": _case(), "minItems": 1},
        "split": {
            "type": "array",
            "description": "A test: each customer has one arm for good.",
            "items": _arm(),
            "minItems": 2,
        },
        "set": {
            "type": "object",
            "description": "Write fields of the customer: {customer.lifecycle: dormant}. null removes one.",
            "propertyNames": {"pattern": r"^customer(\.\w+)+$"},
        },
        "emit": _text("Publish an event about this customer.", pattern=r"^[a-z][a-z0-9_]*(\.v\d+)?$"),
        "exit": _text("Leave, with this reason."),
        "repeat": _repeat(),
    }
    with_verb = {
        verb: {
            "propertyNames": {"enum": list(keys_of(model))},
            "required": [name for name in ("up_to",) if name in keys_of(model)],
        }
        for verb, model in VERBS.items()
    }
    return {
        "type": "object",
        "description": f"One step: {', '.join(VERBS)}.",
        "properties": properties,
        "propertyNames": {"enum": list(properties)},
        "additionalProperties": False,
        "dependentSchemas": with_verb,
        "minProperties": 1,
    }


def journey_schema() -> Schema:
    """The schema of `<name>.yaml`."""
    properties: Schema = {
        "name": _text("What the journey does, in a few words."),
        "owner": _text("The team that answers for it, in alerts and reviews."),
        "status": {
            "enum": ["draft", "live", "draining", "stopped"],
            "description": "draft (default): only simulated. live. draining: nobody enters. stopped: nothing goes out.",
        },
        "priority": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "Which journey goes first when several want the same customer. Default 50.",
        },
        "purpose": {
            "enum": ["marketing", "service"],
            "description": "marketing (default), or service: another consent, outside marketing caps.",
        },
        "trigger": {
            "description": "What starts a run.",
            "anyOf": [_event("The event that starts a run."), _trigger(), _absence(), _every()],
        },
        "audience": _condition("Who may enter, checked once at entry."),
        "reentry": _text(
            "never (default), always (after the last run ended), after 14d (since its end), restart (a trigger begins"
            " anew), or per order.id (one run for each).",
            pattern=r"^(never|always|restart|after .+|per .+)$",
            patternErrorMessage="not a reentry: write never, always, after 14d, restart or per order.id",
            examples=["never", "always", "after 14d", "restart", "per order.id"],
        ),
        "goal": _goal(),
        "exit_when": {
            "description": "Events that end the run without success.",
            "anyOf": [_exit_event(), {"type": "array", "items": _exit_event()}],
        },
        "holdout": _share("Share of customers who run silently, so that the effect can be measured."),
        "cap": _cap("Most messages of this journey to one customer in a rolling time."),
        "quiet_hours": _window("Local time of the customer in which nothing is sent; a message waits until the end."),
        "rollout": _rollout(),
        "start": _text(
            "Whom a trigger on absence takes in when it goes live: new_only (default), or also who fits already.",
            pattern=r"^(new_only|existing at \d+/day)$",
            patternErrorMessage="write new_only or existing at 500/day",
            examples=["new_only", "existing at 500/day"],
        ),
        "steps": _steps("What happens, from top to bottom."),
    }
    return {
        "$schema": DIALECT,
        "title": "Journey",
        **_object(
            properties, ["name", "owner", "trigger", "steps"], "A journey: who enters, what happens, what counts."
        ),
        "$defs": {"step": _step(), "fields": _fields()},
    }


def policy_schema() -> Schema:
    """The schema of `_policy.yaml`."""
    money = {"type": "number", "minimum": 0}
    consent = {"enum": ["opt_in", "opt_out"]}

    def described(form: type[PolicyForm] | type[ChannelForm] | type[ConsentForm], shapes: Schema) -> Schema:
        return {
            key: {**shapes[key], "description": form.model_fields[key].description or ""}
            if form.model_fields[key].description
            else shapes[key]
            for key in keys_of(form)
        }

    channel = _object(
        described(
            ChannelForm,
            {
                "cost": money,
                "consent_loss": money,
                "credit_window": _duration(""),
                "consent": _object(
                    described(ConsentForm, {"marketing": consent, "service": consent}),
                    [],
                    "Who may be written to without having said anything.",
                ),
            },
        ),
        [],
        "The money and the consent rule of one channel.",
    )
    shapes: Schema = {
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "patternErrorMessage": "write a code such as EUR"},
        "margin": _share(""),
        "response_value": money,
        "time_zone": {"type": "string", "examples": ["Europe/London", "Europe/Warsaw"]},
        "cap": _cap(""),
        "quiet_hours": _window(""),
        "holdout": _share(""),
        "credit_window": _duration(""),
        "exploration": _share(""),
        "reply_value": money,
        "choice": {
            "type": "string",
            "pattern": r"^[a-z][a-z0-9_]*(:[a-z0-9_.-]+)?$",
            "examples": ["auto", "fixed:email"],
        },
        "nothing": {"enum": ["never", "allowed"]},
        "repeat_after": _duration(""),
        "channels": {
            "type": "object",
            "properties": dict.fromkeys(CHANNELS, channel),
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
            "additionalProperties": channel,
        },
    }
    return {
        "$schema": DIALECT,
        "title": "Policy",
        **_object(described(PolicyForm, shapes), [], "The organisation's rules over all journeys."),
    }


def stages_schema() -> Schema:
    """The schema of `_stages.yaml`."""
    stage = _condition("Who is in it; 'missing purchase for 3x usual gap'; or 'else', the last. The first that fits.")
    return _groups("Stages", "stages", "Lifecycle stages, the most telling first. A change is a stage_changed.", stage)


def segments_schema() -> Schema:
    """The schema of `_segments.yaml`."""
    segment = _condition("Who is in it.")
    return _groups("Segments", "segments", "Who fits is inside: segment_entered and segment_left.", segment)


def _groups(title: str, key: str, description: str, group: Schema) -> Schema:
    groups = {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
        "additionalProperties": group,
        "minProperties": 1,
    }
    return {
        "$schema": DIALECT,
        "title": title,
        **_object({key: groups}, [key], description),
        "$defs": {"fields": _fields()},
    }


def message_schema() -> Schema:
    """The schema of a message file's front matter."""
    push = _object(
        {key: _text(info.description or "") for key, info in PushForm.model_fields.items()},
        ["title", "body"],
        MessageForm.model_fields["push"].description or "",
    )
    properties = {
        "subject": _text(MessageForm.model_fields["subject"].description or ""),
        "sms": _text(MessageForm.model_fields["sms"].description or ""),
        "push": push,
        "facts": _same(MessageForm.model_fields["facts"].description or ""),
    }
    return {"$schema": DIALECT, "title": "Message", **_object(properties, [], "The front matter of a message.")}
