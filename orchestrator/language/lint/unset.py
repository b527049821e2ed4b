"""Values that some path leaves unset: what a step reads although not every way to it has brought it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.errors import Finding
from orchestrator.language.findings import quoted
from orchestrator.language.flow import predecessors, reachable, started_by
from orchestrator.language.lint.checked import Checked
from orchestrator.language.messages import LINKS, ROOTS
from orchestrator.language.program import Branch, Journey, MessageTemplate, Send, WaitFor
from orchestrator.language.reads import Shown, shown

#: What the events of the contract bring along for the run, of what a message may show.
_BRINGS: Mapping[str, frozenset[str]] = {
    "purchase": frozenset({"product", "order"}),
    "order_cancelled": frozenset({"product", "order"}),
    "order_refunded": frozenset({"product", "order"}),
    "view": frozenset({"product"}),
    "cart_add": frozenset({"product"}),
    "customer_updated": frozenset(),
    "reply": frozenset(),
}
_ANSWERS = ("response", "reply")


def findings(checked: Checked) -> Iterator[Finding]:
    """Conditions on events that only some ways waited for, and facts that the trigger does not bring."""
    for journey in checked.journeys():
        yield from _awaited(checked, journey)
        for _, send in checked.sends(journey):
            yield from _facts(checked, journey, send)


def _awaited(checked: Checked, journey: Journey) -> Iterator[Finding]:
    """Conditions that read an event's name which was not waited for on every way."""
    steps = journey.steps
    known = _certainly_awaited(journey)
    some = {event for step in steps if isinstance(step, WaitFor) for event in step.events} - set(_ANSWERS)
    for index in sorted(reachable(steps)):
        step = steps[index]
        if not isinstance(step, Branch):
            continue
        for number, (condition, _) in enumerate(step.cases):
            if (started_by(journey),) in condition.names:
                yield checked.places.at(
                    journey.slug,
                    step.path if step.path.endswith(".if") else f"{step.path}.branch[{number}].if",
                    f"{quoted(started_by(journey))} is what set the journey off, so it has always come",
                    "ask for another event, or for one of its fields",
                )
            read = {name[0] for name in condition.names} & some
            for event in sorted(read - known[index] - {started_by(journey)}):
                place = step.path if step.path.endswith(".if") else f"{step.path}.branch[{number}].if"
                yield checked.places.at(
                    journey.slug,
                    place,
                    f"on some ways to this step nothing has waited for {quoted(event)}: there it counts as not come",
                    f"wait for '{event}' before the ways part, or ask inside the case that waits",
                )


def _certainly_awaited(journey: Journey) -> dict[int, frozenset[str]]:
    """Instruction → the events that every way to it has waited for."""
    steps = journey.steps
    sources = predecessors(steps)
    everything = frozenset(event for step in steps if isinstance(step, WaitFor) for event in step.events)
    known = {index: (frozenset() if index == 0 else everything) for index in (*range(len(steps)), len(steps))}
    changed = True
    while changed:
        changed = False
        for index in sorted(sources):
            arriving = frozenset.intersection(*(_after(journey, known, one) for one in sources[index]))
            if index == 0:
                arriving = frozenset()
            if arriving != known[index]:
                known[index] = arriving
                changed = True
    return known


def _after(journey: Journey, known: dict[int, frozenset[str]], index: int) -> frozenset[str]:
    step = journey.steps[index]
    return known[index] | frozenset(step.events) if isinstance(step, WaitFor) else known[index]


def _facts(checked: Checked, journey: Journey, send: Send) -> Iterator[Finding]:
    brings = _BRINGS.get(started_by(journey))
    for name in send.messages:
        template = checked.program.messages.get(name)
        if template is None:
            continue
        told: set[str] = set()
        for part, one in bare(template):
            root = one.name.split(".", 1)[0].removesuffix("[]")
            if root in told or root in (*LINKS, "customer", "run", "loop") or root in send.literals:
                continue
            if root in ROOTS and root in ("product", "order") and brings is not None and root not in brings:
                told.add(root)
                yield checked.places.at(
                    journey.slug,
                    send.path,
                    f"message {quoted(name)} shows {quoted(one.name)} ({part}), and the trigger"
                    f" {quoted(started_by(journey))} brings no {root}: it would fail for everybody",
                    f"put it inside '{{% if {root} %}}', or choose another message",
                    level="error",
                    key="send",
                )


def bare(template: MessageTemplate) -> Iterator[tuple[str, Shown]]:
    """(place, value) of everything a message shows without a fallback or a condition that asks for it."""
    for channel, parts in template.channels.items():
        for part, source in parts.items():
            for one in shown(source):
                root = one.name.split(".", 1)[0]
                if not one.safe and root not in one.guards:
                    yield f"{channel} {part}", one
