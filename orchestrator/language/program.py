"""What journey files compile to: immutable values the engine runs. Durations and times are integer milliseconds.

A journey's tree of steps becomes a flat tuple of instructions; a run's position is an index into it. Instruction
`path` is the place in the file (`steps[3].then[0]`), stable words for people and part of a send's id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, Protocol

from orchestrator.contracts.messages import OnUnknown


class Missing(Enum):
    """The value of a name that is not there. Every comparison with it is false, so is the name by itself."""

    MISSING = "missing"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing.MISSING


class Scope(Protocol):
    """What a condition sees. The engine gives one for each evaluation."""

    def get(self, path: tuple[str, ...]) -> object:
        """The value at a dotted name such as ('customer', 'orders') or ('product', 'category'); MISSING when absent."""
        ...

    def call(self, name: str, args: tuple[object, ...]) -> object:
        """The value of a function of the language, such as bought(category, '30d')."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition. `names` are the dotted names it reads; `text` is as written."""

    text: str
    holds: Callable[[Scope], bool]
    names: frozenset[tuple[str, ...]] = frozenset()
    #: Canonical form: equal for conditions that mean the same in other spacing or order of lines. Part of a version.
    meaning: str = ""
    #: What each comparison with a written value asks of its name: (name, `number`, `text` or `flag`, texts it is
    #: compared with). For checks against the event schemas at load.
    asks: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = ()
    #: True when it may change by the mere passing of time, such as `bought(category, '30d')`.
    timed: bool = False

    def needs(self, root: str) -> bool:
        return any(name[0] == root for name in self.names)


@dataclass(frozen=True, slots=True)
class EventMatch:
    """An event type and a condition on it. In a purchase, `product` is each line in turn; the first that fits."""

    type: str
    where: Condition | None = None
    #: Dotted names that must equal the run's own value (`same`), e.g. ('product', 'category').
    same: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that is looked up when a step is carried out: `reply.choice` in `set`, `emit` and `with`."""

    name: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event that starts a run; with `times`/`within` only when it came that often, counted per value of `same`."""

    match: EventMatch
    times: int = 1
    within: int = 0
    same: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.match.type


@dataclass(frozen=True, slots=True)
class Absence:
    """An event that has not come for a time since it came last: `lasting` ms, or `gaps` times her usual gap.

    `response` means answers to our messages, on `channel` or any; it is missed when `sent` messages went unanswered.
    """

    event: str
    lasting: int = 0
    gaps: float = 0.0
    where: Condition | None = None
    channel: str = ""
    sent: int = 1

    @property
    def text(self) -> str:
        return f"missing {self.event}"


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of the customer's own day, in minutes after midnight; on one weekday (0 = Monday) or on all (None)."""

    minute: int
    weekday: int | None = None

    @property
    def text(self) -> str:
        day = "day" if self.weekday is None else WEEKDAYS[self.weekday]
        return f"every {day} {self.minute // 60:02}:{self.minute % 60:02}"


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Start:
    """Whom a trigger on absence takes in when it goes live: only who comes to fit later, or also who fits already,
    spread over days."""

    existing: bool = False
    per_day: int = 0


@dataclass(frozen=True, slots=True)
class Reentry:
    """`never`, `always` (after the last run ended), `after` a time since the last end, `restart` (a trigger
    while inside ends the run and starts another), `per` (one run for each value of `key`, side by side)."""

    mode: Literal["never", "always", "after", "restart", "per"] = "never"
    after: int = 0
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """Limits of a proof of concept. `until` is the last day of it, in the policy's zone; `budget` in its currency."""

    share: float = 1.0
    only: Condition | None = None
    channels: tuple[str, ...] = ()
    until: str = ""
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """Success: the run leaves at once; a conversion when within `within` of the first (would-be) send."""

    match: EventMatch
    within: int
    #: Dotted name of the money it brings, e.g. ('order', 'revenue'); empty when only counted.
    value: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `count` messages in a rolling window."""

    count: int
    window: int


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Local minutes of the day [start, end); start > end spans midnight. A send inside is held until `end`."""

    start: int
    end: int


# --- instructions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Hand one of `messages` to one of `channels`. `channels` is ('auto',), ('same',), ('other',) or names."""

    path: str
    messages: tuple[str, ...]
    channels: tuple[str, ...] = ("auto",)
    expires: int = 172_800_000
    #: Values for the template: texts and numbers, or references.
    literals: Mapping[str, object] = field(default_factory=dict)
    on_unknown: OnUnknown | None = None
    #: `now`, `best` (the hour this customer answers), or `clock`: the next time her clock shows `minute`.
    at: Literal["now", "best", "clock"] = "now"
    minute: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """Elapsed time; with `after_last` it restarts at each such event."""

    path: str
    duration: int
    after_last: str = ""
    same: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """A moment: `next_due` or the date at `name`, plus `offset` ms (negative = before); or the customer's `clock`."""

    path: str
    anchor: Literal["next_due", "name", "clock"]
    offset: int = 0
    name: tuple[str, ...] = ()
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class WaitFor:
    """The first of `events`, or `up_to`. `response` and `reply` mean answers to this run's messages."""

    path: str
    events: tuple[str, ...]
    up_to: int
    same: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """Go to the target of the first case that holds, else to `otherwise`."""

    path: str
    cases: tuple[tuple[Condition, int], ...]
    otherwise: int


@dataclass(frozen=True, slots=True)
class Jump:
    path: str
    target: int


@dataclass(frozen=True, slots=True)
class Exit:
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """Go to the target of the customer's arm: (arm, share 0..1, target). Sticky for the customer and `name`."""

    path: str
    name: str
    arms: tuple[tuple[str, float, int], ...]


@dataclass(frozen=True, slots=True)
class Set:
    """Write customer attributes: (path below `customer`, text, number or reference)."""

    path: str
    values: tuple[tuple[tuple[str, ...], object], ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """Publish an event about this customer; worth nothing `expires` ms later (0: never expires)."""

    path: str
    event: str
    values: Mapping[str, object] = field(default_factory=dict)
    expires: int = 0


@dataclass(frozen=True, slots=True)
class Repeat:
    """The head of a loop: while `condition` holds and it was passed less than `at_most` times go on, else to `end`."""

    path: str
    condition: Condition
    at_most: int
    end: int


Instruction = Send | Wait | WaitUntil | WaitFor | Branch | Jump | Exit | Split | Set | Emit | Repeat


@dataclass(frozen=True, slots=True)
class Journey:
    """One immutable version of a journey. `version` is the hash of what it means; `slug` the file's stem."""

    slug: str
    version: str
    name: str
    owner: str
    trigger: Trigger | Absence | Clock
    steps: tuple[Instruction, ...]
    status: Literal["draft", "live", "draining", "stopped"] = "draft"
    priority: int = 50
    purpose: Literal["marketing", "service"] = "marketing"
    audience: Condition | None = None
    reentry: Reentry = Reentry()
    goal: Goal | None = None
    exit_when: tuple[EventMatch, ...] = ()
    #: Sticky share 0..1 that runs silently.
    holdout: float = 0.0
    cap: Cap | None = None
    quiet_hours: QuietHours | None = None
    rollout: Rollout | None = None
    start: Start = Start()
    #: First words of the names it reads: what of the trigger's event a run must keep.
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stage:
    """A lifecycle stage, from `_stages.yaml`: the first that fits is the customer's. Without both it fits everybody."""

    name: str
    condition: Condition | None = None
    absence: Absence | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A streaming segment, from `_segments.yaml`: who fits is inside."""

    name: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """Money of one channel, in the policy's currency."""

    #: Price of one message (SMS: of one part).
    cost: float = 0.0
    #: What losing the customer's consent on this channel costs.
    consent_loss: float = 3.0
    #: Whether marketing / service may be sent without a stated consent.
    marketing_default: bool = False
    service_default: bool = True
    #: How long a response is credited to a send on this channel; 0 means the policy's.
    credit_window: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The organisation's rules, from `_policy.yaml`. Journeys can only tighten them."""

    channels: Mapping[str, ChannelPolicy]
    currency: str = "EUR"
    #: Share of revenue that is margin.
    margin: float = 0.3
    #: What a response without a purchase is worth, before anything is learned.
    response_value: float = 1.0
    #: The zone of a customer who has none.
    time_zone: str = "UTC"
    cap: Cap | None = None
    quiet_hours: QuietHours | None = None
    #: Global sticky holdout share 0..1.
    holdout: float = 0.0
    #: How long a response is credited to a send.
    credit_window: int = 7 * 86_400_000
    #: How the learned choice explores: uniform floor over the reachable channels.
    exploration: float = 0.03
    #: What a reply is worth besides a purchase that follows it.
    reply_value: float = 0.0
    #: The policy that chooses among reachable channels: `auto`, or one to compare it with.
    choice: str = "auto"
    #: Whether the choice may be to send nothing now, when no channel is worth its cost.
    nothing: bool = False
    #: A step with several messages never repeats one to a customer within this time.
    repeat_after: int = 30 * 86_400_000

    @property
    def longest_window(self) -> int:
        """The longest time any channel's responses are credited, in ms."""
        return max(self.credit_window, *(channel.credit_window for channel in self.channels.values()), 0)

    def credit_window_of(self, channel: str) -> int:
        """How long a response on the channel is credited, in ms."""
        own = self.channels.get(channel)
        return own.credit_window if own is not None and own.credit_window else self.credit_window


@dataclass(frozen=True, slots=True)
class MessageTemplate:
    """One message file: the source templates per channel. A channel without content cannot carry the message."""

    name: str
    version: str
    #: channel → part → template source; email: subject, body (Markdown); sms: text; push: title, body, link.
    channels: Mapping[str, Mapping[str, str]]
    file: str = ""
    #: `channel.part` → line of the file at which its source starts, for errors.
    lines: Mapping[str, int] = field(default_factory=dict)
    #: Dotted names that every channel must show, as declared by `facts:`.
    facts: tuple[str, ...] = ()
    #: The language this text is in, when it is a translation: `de`, `pt-BR`.
    locale: str = ""
    #: locale → the message in that language.
    locales: Mapping[str, MessageTemplate] = field(default_factory=dict)

    def spoken(self, locale: str, channel: str) -> MessageTemplate:
        """The text for a customer of this locale: `de-AT`, else `de`, else the message's own language.

        A translation without content for the channel is passed over.
        """
        wanted = locale.replace("_", "-").lower()
        by_name = {name.lower(): template for name, template in self.locales.items()} if wanted else {}
        while wanted:
            found = by_name.get(wanted)
            if found is not None and channel in found.channels:
                return found
            wanted = wanted.rpartition("-")[0]
        return self


@dataclass(frozen=True, slots=True)
class Program:
    """All journeys, messages and the policy at one position of the log. `version` addresses its content."""

    version: str
    journeys: Mapping[str, Journey]
    messages: Mapping[str, MessageTemplate]
    policy: Policy
    #: event type → live journeys it may start, in a fixed order.
    triggers: Mapping[str, tuple[Journey, ...]]
    #: Live journeys that start by an absence or by the clock, in a fixed order, and those of an event type's absence.
    watchers: tuple[Journey, ...] = ()
    absences: Mapping[str, tuple[Journey, ...]] = field(default_factory=dict)
    #: Those among the watchers that start by the clock.
    clocks: tuple[Journey, ...] = ()
    stages: tuple[Stage, ...] = ()
    segments: tuple[Segment, ...] = ()
