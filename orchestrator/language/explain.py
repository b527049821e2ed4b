"""A compiled journey in plain sentences, to be read aloud, and as a drawing for a pull request.

It tells what was compiled, not what was typed: whoever reads it hears what will happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.language.findings import listed
from orchestrator.language.program import (
    WEEKDAYS,
    Absence,
    Branch,
    Clock,
    Condition,
    Emit,
    EventMatch,
    Exit,
    Instruction,
    Journey,
    Jump,
    Policy,
    Program,
    Reference,
    Repeat,
    Send,
    Set,
    Split,
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
    head = (*_head(journey), *_rollout(journey), *_limits(journey, program.policy))
    return [*head, Line("What happens:"), *_steps(journey)]


# --- the head -----------------------------------------------------------------------------------------------------


def _head(journey: Journey) -> Iterator[Line]:
    status = {
        "draft": "It is a draft: it runs in simulations only.",
        "live": "It is live.",
        "draining": "It is draining: nobody enters any more, those inside go on to the end.",
        "stopped": "It is stopped: nothing of it goes out.",
    }[journey.status]
    yield Line(f"{journey.name}{'' if journey.name[-1] in '.?!' else '.'} {journey.owner} answers for it. {status}")
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
    return journey.trigger.text


def _starts(journey: Journey) -> str:
    trigger = journey.trigger
    if isinstance(trigger, Absence):
        return _absence(trigger) + _start(journey)
    if isinstance(trigger, Clock):
        return f"It starts {clock_words(trigger)}, by the customer's own clock."
    if trigger.times > 1:
        each = f" (each {name_words(trigger.same)} by itself)" if trigger.same else ""
        many = f"{trigger.times} times in {span(trigger.within)}{each}"
        return f"It starts when {event_words(trigger.match)} came {many}."
    return f"It starts with {event_words(trigger.match)}."


def _absence(trigger: Absence) -> str:
    long = span(trigger.lasting) if trigger.lasting else f"{trigger.gaps:g} times as long as is usual for her"
    if trigger.event == "response":
        where = f" on {trigger.channel}" if trigger.channel else ""
        return f"It starts when {_messages(trigger.sent)}{where} went unanswered and she has not responded for {long}."
    which = f" in which {condition_words(trigger.where)}" if trigger.where is not None else ""
    return f"It starts when there has been no {trigger.event.replace('_', ' ')}{which} for {long}."


def _start(journey: Journey) -> str:
    if not journey.start.existing:
        return ""
    pace = f", {journey.start.per_day} a day" if journey.start.per_day else ""
    return f" Who fits already when it goes live is taken in too{pace}."


def clock_words(trigger: Clock) -> str:
    """`every Monday at 09:00`."""
    day = "day" if trigger.weekday is None else WEEKDAYS[trigger.weekday].capitalize()
    return f"every {day} at {clock(trigger.minute)}"


def _reentry(journey: Journey) -> str:
    reentry = journey.reentry
    if reentry.mode == "never":
        return "Each customer enters once in her life."
    if reentry.mode == "after":
        return f"She may enter again {span(reentry.after)} after the last time ended."
    if reentry.mode == "restart":
        return "When it is set off again while she is inside, it begins anew."
    if reentry.mode == "per":
        return f"She goes through it once for each {name_words(reentry.key, bare=True)}, side by side."
    return "She may enter again as soon as the last time has ended."


def _rollout(journey: Journey) -> Iterator[Line]:
    rollout = journey.rollout
    if rollout is None:
        return
    limits = []
    if rollout.share < 1:
        limits.append(f"for {rollout.share:.0%} of customers")
    if rollout.only is not None:
        limits.append(f"only where {condition_words(rollout.only)}")
    if rollout.channels:
        limits.append(f"only by {listed(rollout.channels)}")
    if rollout.until:
        limits.append(f"until {rollout.until}")
    if rollout.budget is not None:
        limits.append(f"until {rollout.budget:g} are spent")
    if limits:
        yield Line(f"For now it is a trial: {', '.join(limits)}.")


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

_NESTED = re.compile(r"\.(?:(branch|split)\[(\d+)\]\.(then|else)|(repeat)\.steps)\[")


def _steps(journey: Journey) -> Iterator[Line]:
    guard = ""
    said: set[str] = set()
    heads = {step.path: step for step in journey.steps if isinstance(step, Branch | Split)}
    for step in journey.steps:
        if isinstance(step, Jump):
            continue
        yield from _cases(step.path, heads, said)
        depth = sum(1 if match[4] else 2 for match in _NESTED.finditer(step.path))
        if isinstance(step, Branch) and step.path.endswith(".if"):
            guard = condition_words(step.cases[0][0])
            continue
        sentence = step_words(step)
        if guard:
            sentence = f"If {guard}: {sentence[0].lower()}{sentence[1:]}"
            guard = ""
        yield Line(sentence, depth + 1, step.path)
        if isinstance(step, Split):
            silent = [arm for arm, _, target in step.arms if not _has_steps(journey, step, arm, target)]
            if silent:
                yield Line(f"{listed(map(repr, silent))} gets nothing here, to compare with.", depth + 2, step.path)
    yield Line("Then it is over.", 1)


def _has_steps(journey: Journey, split: Split, arm: str, target: int) -> bool:
    if target >= len(journey.steps):
        return False
    number = [name for name, _, _ in split.arms].index(arm)
    return journey.steps[target].path.startswith(f"{split.path}.split[{number}].then[")


def _cases(path: str, heads: dict[str, Branch | Split], said: set[str]) -> Iterator[Line]:
    """The headings of the cases and arms this step stands in, each said once."""
    depth = 0
    for match in _NESTED.finditer(path):
        if match[4]:
            depth += 1
            continue
        case = path[: match.end()].rpartition("[")[0]
        head = heads.get(path[: match.start()])
        if case not in said and head is not None:
            said.add(case)
            yield Line(_heading(head, int(match[2]), match[3]), depth + 2, case)
        depth += 2


def _heading(head: Branch | Split, number: int, word: str) -> str:
    if isinstance(head, Split):
        arm, share, _ = head.arms[number]
        return f"{share:.0%} of customers, called '{arm}':"
    return "Otherwise:" if word == "else" else f"If {condition_words(head.cases[number][0])}:"


def step_words(step: Instruction) -> str:
    """One step in a sentence."""
    if isinstance(step, Send):
        return _send(step)
    if isinstance(step, Wait):
        again = f", counted anew from each {step.after_last}" if step.after_last else ""
        return f"Wait {span(step.duration)}{again}."
    if isinstance(step, WaitUntil):
        return f"Wait until {_moment(step)}."
    if isinstance(step, WaitFor):
        return f"Wait for {listed(_awaited(event) for event in step.events)}, {span(step.up_to)} at most."
    if isinstance(step, Branch):
        return "Then it depends:"
    if isinstance(step, Exit):
        return f"Leave, with the reason '{step.reason}'."
    if isinstance(step, Split):
        return "Customers are divided by lot, each stays where she is put:"
    if isinstance(step, Set):
        return f"Note for her: {_all(f'{_dotted(name)} is {_value(value)}' for name, value in step.values)}."
    if isinstance(step, Emit):
        given = _all(f"{name} {_value(value)}" for name, value in step.values.items())
        what = f" with {given}" if given else ""
        until = f", worth something for {span(step.expires)}" if step.expires else ""
        return f"Tell the others: '{step.event}'{what}{until}."
    if isinstance(step, Repeat):
        return f"As long as {condition_words(step.condition)}, {step.at_most} times at most:"
    return ""


def _moment(step: WaitUntil) -> str:
    if step.anchor == "clock" and step.clock is not None:
        day = "" if step.clock.weekday is None else f"{WEEKDAYS[step.clock.weekday].capitalize()} "
        return f"{day}{clock(step.clock.minute)}, by her own clock"
    what = "she is due to buy again, by her own rhythm" if step.anchor == "next_due" else name_words(step.name)
    if step.offset == 0:
        return what
    return f"{span(abs(step.offset))} {'before' if step.offset < 0 else 'after'} {what}"


def _value(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    return name_words(value.name) if isinstance(value, Reference) else f"'{value}'"


def _all(parts: Iterable[str]) -> str:
    """a, b and c"""
    words = tuple(parts)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _dotted(name: tuple[str, ...]) -> str:
    return " ".join(part.replace("_", " ") for part in name)


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
        given = f" with {_all(f'{name} {_value(value)}' for name, value in send.literals.items())}"
    when = {"best": " at the hour she answers", "clock": f" at {clock(send.minute)} by her own clock"}.get(send.at, "")
    return f"Send {what}{given} {where}{when}; give up when it could not go within {span(send.expires)}."


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
    for index, step in enumerate(journey.steps):
        if isinstance(step, Branch | Split | Repeat):
            word = {Branch: "?", Split: "by lot", Repeat: "again?"}[type(step)]
            lines.append(f'  s{index}{{"{word}"}}')
        elif not isinstance(step, Jump):
            lines.append(f'  s{index}["{_label(step_words(step).split(";")[0].rstrip("."))}"]')
    lines.append(f"  start --> {_node(journey, 0)}")
    for index, step in enumerate(journey.steps):
        if not isinstance(step, Jump):
            lines += [f"  s{index} {arrow} {_node(journey, target)}" for arrow, target in _arrows(index, step)]
    return "\n".join(lines) + "\n"


def _arrows(index: int, step: Instruction) -> Iterator[tuple[str, int]]:
    if isinstance(step, Branch):
        for condition, target in step.cases:
            yield f'-->|"{_label(condition_words(condition))}"|', target
        yield '-->|"otherwise"|', step.otherwise
    elif isinstance(step, Split):
        for arm, share, target in step.arms:
            yield f'-->|"{share:.0%} {_label(arm)}"|', target
    elif isinstance(step, Repeat):
        yield f'-->|"{_label(condition_words(step.condition))}"|', index + 1
        yield '-->|"otherwise"|', step.end
    elif isinstance(step, Exit):
        yield "-->", 10**9
    else:
        yield "-->", index + 1


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
