"""A compiled journey in plain sentences, to be read aloud, and as a drawing for a pull request.

It tells what was compiled, not what was typed: whoever reads it hears what will happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.language.findings import listed
from orchestrator.language.program import (
    Branch,
    Condition,
    EventMatch,
    Exit,
    Instruction,
    Journey,
    Jump,
    Policy,
    Program,
    Send,
    Wait,
    WaitFor,
    WaitUntil,
)

_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. `depth` is how many conditions it stands under, `step` the place in the file, if it is a step."""

    text: str
    depth: int = 0
    step: str = ""


def explain(journey: Journey, program: Program) -> list[Line]:
    """What the journey does, sentence by sentence, in the order in which it happens."""
    return [*_head(journey), *_limits(journey, program.policy), Line("What happens:"), *_steps(journey)]


# --- the head -----------------------------------------------------------------------------------------------------


def _head(journey: Journey) -> Iterator[Line]:
    status = {
        "draft": "It is a draft: it runs in simulations only.",
        "live": "It is live.",
        "draining": "It is draining: nobody enters any more, those inside go on to the end.",
        "stopped": "It is stopped: nothing of it goes out.",
    }[journey.status]
    yield Line(f"{journey.name}. {journey.owner} answers for it. {status}")
    yield Line(_starts(journey))
    if journey.audience is not None:
        yield Line(f"She enters only if {condition_words(journey.audience)}.")
    yield Line(_reentry(journey))
    if journey.goal is not None:
        goal = journey.goal
        money = f", with {name_words(goal.value)}," if goal.value else ""
        yield Line(
            f"Success is {event_words(goal.match)}: she leaves at once, and it counts as a conversion{money} when it"
            f" comes within {span(goal.within)} of the first message."
        )
    if journey.exit_when:
        yield Line(f"She also leaves at once after {listed(event_words(match) for match in journey.exit_when)}.")


def trigger_words(journey: Journey) -> str:
    """What starts a run, in a word or two."""
    return journey.trigger.match.type


def _starts(journey: Journey) -> str:
    trigger = journey.trigger
    if trigger.times > 1:
        each = f" (each {name_words(trigger.same)} by itself)" if trigger.same else ""
        return (
            f"It starts when {event_words(trigger.match)} came {trigger.times} times in {span(trigger.within)}{each}."
        )
    return f"It starts with {event_words(trigger.match)}."


def _reentry(journey: Journey) -> str:
    reentry = journey.reentry
    if reentry.mode == "never":
        return "Each customer enters once in her life."
    if reentry.mode == "after":
        return f"She may enter again {span(reentry.after)} after the last time ended."
    return "She may enter again as soon as the last time has ended."


def _limits(journey: Journey, policy: Policy) -> Iterator[Line]:
    kind = (
        "Its messages are service: they go to who has not refused service messages, outside the marketing cap."
        if journey.purpose == "service"
        else "Its messages are marketing: they go only where she agreed to it."
    )
    yield Line(kind)
    caps = []
    if journey.cap is not None:
        caps.append(f"{_messages(journey.cap.count)} of this journey in {span(journey.cap.window)}")
    if policy.cap is not None and journey.purpose == "marketing":
        caps.append(f"{_messages(policy.cap.count)} of all journeys together in {span(policy.cap.window)}")
    if caps:
        yield Line(f"She gets at most {' and '.join(caps)}.")
    windows = [hours for hours in (journey.quiet_hours, policy.quiet_hours) if hours is not None]
    if windows:
        said = " and ".join(f"between {clock(hours.start)} and {clock(hours.end)}" for hours in windows)
        yield Line(f"Nothing goes out {said} of her own time: a message waits until then.")
    held = [
        f"{share:.0%} of customers get nothing {where}"
        for share, where in ((journey.holdout, "from it"), (policy.holdout, "from any journey"))
        if share and (where == "from it" or journey.purpose == "marketing")
    ]
    if held:
        yield Line(f"{' and '.join(held)}, so that its effect can be measured.")
    yield Line(
        f"Its priority is {journey.priority}: when several journeys want the same customer, the higher goes first."
    )


def _messages(count: int) -> str:
    return "one message" if count == 1 else f"{count} messages"


# --- the steps ----------------------------------------------------------------------------------------------------

_NESTED = re.compile(r"\.(branch)\[(\d+)\]\.(then|else)\[")


def _steps(journey: Journey) -> Iterator[Line]:
    guard = ""
    said: set[str] = set()
    branches = {step.path: step for step in journey.steps if isinstance(step, Branch) and not step.path.endswith(".if")}
    for step in journey.steps:
        if isinstance(step, Jump):
            continue
        yield from _cases(step.path, branches, said)
        depth = len(_NESTED.findall(step.path)) * 2
        if isinstance(step, Branch) and step.path.endswith(".if"):
            guard = condition_words(step.cases[0][0])
            continue
        sentence = step_words(step)
        if guard:
            sentence = f"If {guard}: {sentence[0].lower()}{sentence[1:]}"
            guard = ""
        yield Line(sentence, depth + 1, step.path)
    yield Line("Then it is over.", 1)


def _cases(path: str, branches: dict[str, Branch], said: set[str]) -> Iterator[Line]:
    """The headings of the cases this step stands in, each said once."""
    for depth, match in enumerate(_NESTED.finditer(path)):
        case = path[: match.end()].rpartition("[")[0]
        if case in said:
            continue
        said.add(case)
        branch = branches[path[: match.start()]]
        number = int(match[2])
        if match[3] == "else":
            yield Line("Otherwise:", depth * 2 + 2, case)
        else:
            yield Line(f"If {condition_words(branch.cases[number][0])}:", depth * 2 + 2, case)


def step_words(step: Instruction) -> str:
    """One step in a sentence."""
    if isinstance(step, Send):
        return _send(step)
    if isinstance(step, Wait):
        again = f", counted anew from each {step.after_last}" if step.after_last else ""
        return f"Wait {span(step.duration)}{again}."
    if isinstance(step, WaitUntil):
        if step.offset == 0:
            return "Wait until she is due to buy again, by her own rhythm."
        side = "before" if step.offset < 0 else "after"
        return f"Wait until {span(abs(step.offset))} {side} she is due to buy again, by her own rhythm."
    if isinstance(step, WaitFor):
        return f"Wait for {listed(_awaited(event) for event in step.events)}, {span(step.up_to)} at most."
    if isinstance(step, Branch):
        return "Then it depends:"
    if isinstance(step, Exit):
        return f"Leave, with the reason '{step.reason}'."
    return ""


def _send(send: Send) -> str:
    what = f"'{send.messages[0]}'" if len(send.messages) == 1 else (
        f"one of {listed(repr(name) for name in send.messages)}, whichever proves to work"
    )  # fmt: skip
    where = {
        "auto": "on the channel she answers",
        "same": "on the same channel as the message before",
        "other": "on another channel than those she ignored",
    }.get(send.channels[0])
    if where is None:
        where = f"by {send.channels[0]}" if len(send.channels) == 1 else (
            f"by {listed(send.channels)}, whichever she answers"
        )  # fmt: skip
    given = ""
    if send.literals:
        given = f" with {listed(f'{name} {value}' for name, value in send.literals.items())}"
    return f"Send {what}{given} {where}; give up when it could not go within {span(send.expires)}."


def _awaited(event: str) -> str:
    return {"response": "a response to our message", "reply": "a reply"}.get(event, with_article(event))


# --- words --------------------------------------------------------------------------------------------------------


def span(ms: int) -> str:
    """A duration in words: `2 days and 3 hours`."""
    parts = []
    for unit, size in _UNITS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count} {unit}" + ("s" if count != 1 else ""))
    return " and ".join(parts) or "no time"


def clock(minute: int) -> str:
    """A time of the day: 21:00."""
    return f"{minute // 60:02}:{minute % 60:02}"


def with_article(event: str) -> str:
    """`a purchase`, `an order cancelled`: an event as people say it."""
    words = event.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def event_words(match: EventMatch) -> str:
    """An event with its conditions: `a purchase in which the product's category is coffee`."""
    text = with_article(match.type)
    if match.where is not None:
        text += f" in which {condition_words(match.where)}"
    if match.same:
        text += f" with the same {listed(name_words(name, bare=True) for name in match.same)}"
    return text


#: What people say for facts whose names do not read aloud.
_NAMED = {
    ("customer", "orders"): "the number of her orders",
    ("customer", "revenue"): "what she has spent",
    ("customer", "days_since_order"): "the number of days since her last order",
}


def name_words(name: tuple[str, ...], *, bare: bool = False) -> str:
    """`product.category` as `the product's category`, or without the article."""
    words = [part.replace("_", " ") for part in name]
    if len(words) == 1:
        return words[0]
    if name in _NAMED and not bare:
        return _NAMED[name]
    owner = words[0]
    if owner == "customer":
        return f"{'' if bare else 'her '}{' '.join(words[1:])}"
    if bare and words[1:] == ["id"]:
        return owner
    return f"{'' if bare else 'the '}{owner}'s {' '.join(words[1:])}"


_LINE = re.compile(r"(?:^|, )(?=[a-z_][\w.]*: )")
_SAID = {"response": "she responded", "reply": "she replied"}
_NOT_SAID = {"response": "she did not respond", "reply": "she did not reply"}


def condition_words(condition: Condition) -> str:
    """A condition as a clause. Expressions keep their own words."""
    text = condition.text
    if condition.meaning.startswith("both "):
        return " and ".join(_clause(part) for part in re.split(r"\) and \(", text.strip("()")))
    return _clause(text)


def _clause(text: str) -> str:
    if not re.match(r"[a-z_][\w.]*: ", text):
        return _expression(text)
    return " and ".join(_line(part) for part in _LINE.split(text) if part)


def _line(text: str) -> str:
    name, _, value = text.partition(": ")
    if value == "true":
        return _SAID.get(name, f"{name_words(tuple(name.split('.')))} is true")
    if value == "false":
        return _NOT_SAID.get(name, f"{name_words(tuple(name.split('.')))} is false")
    if value.startswith("[") and value.endswith("]"):
        value = listed(item.strip() for item in value[1:-1].split(","))
    return f"{name_words(tuple(name.split('.')))} is {value}"


def _expression(text: str) -> str:
    """`response or cart_add` → she responded or a cart add came; anything with an operator is quoted as written."""
    parts = re.split(r" (or|and) ", text)
    said = []
    for part in parts:
        negated, name = part.startswith("not "), part.removeprefix("not ")
        if part in ("or", "and"):
            said.append(part)
        elif bought := re.fullmatch(r"bought\(([\w.]+)(?:, '([^']+)')?\)", name):
            window = f" in the last {bought[2]}" if bought[2] else ""
            verb = "did not buy" if negated else "bought"
            said.append(f"she {verb} of {name_words(tuple(bought[1].split('.')))}{window}")
        elif re.fullmatch(r"[a-z_]+", name):
            known = (_NOT_SAID if negated else _SAID).get(name)
            said.append(known or f"{'no' if negated else with_article(name).split()[0]} {name.replace('_', ' ')} came")
        else:
            said.append(f"“{part}”")
    return " ".join(said)


# --- the drawing --------------------------------------------------------------------------------------------------


def mermaid(journey: Journey) -> str:
    """The journey as a Mermaid flowchart. Conditions stand on the arrows."""
    lines = ["flowchart TD", f'  start(["{_label(_starts(journey))}"])', '  done(["over"])']
    steps = journey.steps
    for index, step in enumerate(steps):
        if isinstance(step, Jump):
            continue
        shape = ("{", "}") if isinstance(step, Branch) else ("[", "]")
        text = "?" if isinstance(step, Branch) else step_words(step).split(";")[0].rstrip(".")
        lines.append(f'  s{index}{shape[0]}"{_label(text)}"{shape[1]}')
    lines.append(f"  start --> {_node(journey, 0)}")
    for index, step in enumerate(steps):
        if isinstance(step, Jump):
            continue
        if isinstance(step, Branch):
            lines += [
                f'  s{index} -->|"{_label(condition_words(condition))}"| {_node(journey, target)}'
                for condition, target in step.cases
            ]
            lines.append(f'  s{index} -->|"otherwise"| {_node(journey, step.otherwise)}')
        elif isinstance(step, Exit):
            lines.append(f"  s{index} --> done")
        else:
            lines.append(f"  s{index} --> {_node(journey, index + 1)}")
    return "\n".join(lines) + "\n"


def _node(journey: Journey, index: int) -> str:
    """The node a run really comes to: jumps are walked through."""
    seen = 0
    while index < len(journey.steps) and seen <= len(journey.steps):
        step = journey.steps[index]
        if not isinstance(step, Jump):
            return f"s{index}"
        index, seen = step.target, seen + 1
    return "done"


def _label(text: str) -> str:
    return text.replace('"', "#quot;").replace("\n", " ")
