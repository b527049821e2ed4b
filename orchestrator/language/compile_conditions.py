"""Conditions at their places in a file: compiled, names checked against what is known there, all faults reported."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable

from orchestrator.language.conditions import ConditionFault, both, compile_expression, compile_mapping, parse_name
from orchestrator.language.fields import ALIASES, WORDS, kinds_of, near_field
from orchestrator.language.findings import Findings, did_you_mean, listed, quoted, unknown
from orchestrator.language.load import Document, Path
from orchestrator.language.program import Condition

#: Events of the product itself, for "did you mean"; any other snake_case word is an event of the shop's own.
KNOWN_EVENTS = (
    "purchase", "view", "reply", "customer_updated", "cart_add", "review", "order_cancelled", "order_refunded",
    "stage_changed", "segment_entered", "segment_left",
    "message_sent", "message_delivered", "message_opened", "message_clicked", "message_bounced", "message_failed",
    "message_unsubscribed", "message_complained",
)  # fmt: skip

#: What a condition may read besides the events of the journey itself.
ROOTS = ("product", "order", "customer")
#: Answers to this run's messages. They are known only in a run.
ANSWERS = ("response", "reply")

_KINDS = {"text": "a text", "number": "a number", "flag": "true or false"}
_KIND_FIX = {"text": "write a word: {}: x", "number": "write {}: at least 5", "flag": "write {}: true"}


def event_roots(event: str) -> tuple[str, ...]:
    """The first words of names that an event of this type gives values to."""
    return tuple(dict.fromkeys((*ROOTS, event, ALIASES.get(event, event))))


class Conditions:
    """Compiles the conditions of one file and gathers its findings."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings = Findings()
        #: First words of all names read.
        self.reads: set[str] = set()

    # -- reporting

    def error(self, path: Path, message: str, fix: str = "", *, key: bool = False, offset: int = 0) -> None:
        self.findings.add(self.document.finding(path, message, fix, key=key, offset=offset))

    def warn(self, path: Path, message: str, fix: str = "", *, key: bool = False, offset: int = 0) -> None:
        finding = self.document.finding(path, message, fix, key=key, offset=offset)
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
        if condition is not None:
            self.check_kinds(condition, raw, path)
        return condition

    def check_kinds(self, condition: Condition, raw: object, path: Path) -> None:
        """A comparison that can never hold, by what the event schemas say of the field."""
        for name, kind, texts in condition.asks:
            dotted = ".".join(name)
            at: Path = (*path, dotted) if isinstance(raw, dict) else path
            offset = 0 if isinstance(raw, dict) else max(str(raw).find(dotted), 0)
            known = kinds_of(name)
            if known and kind and kind not in known:
                self.error(
                    at,
                    f"{quoted(dotted)} is {_KINDS[min(known)]}, so it cannot be compared with {_KINDS[kind]}",
                    _KIND_FIX[min(known)].format(dotted),
                    offset=offset,
                )
            words = WORDS.get(name, ())
            for text in texts if words else ():
                if text not in words:
                    self.error(at, f"{dotted}: {unknown('word', text, words)}", f"it is {listed(words)}", offset=offset)

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
        self.reads.add(name[0])
        if name[0] in roots:
            near = near_field(name)
            if near:
                self.warn(
                    path,
                    f"unknown field {quoted('.'.join(name))} — did you mean '{name[0]}.{near}'?",
                    "a field of your own may have any name",
                    key=key,
                    offset=offset,
                )
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


def _close(word: str, near: str) -> bool:
    """So near to a known event that a typing mistake is likelier than an event of one's own."""
    return difflib.SequenceMatcher(None, word, near).ratio() >= 0.88
