"""One customer's document: everything the engine remembers of her. Times are ms UTC, 0 where there is none.

Stored as msgpack arrays: a field is added only at the end of its struct, with a default, and never moved or reused;
`schema` counts incompatible changes. Sizes are bounded by the constants below.
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.learning.affinity import Liking
from orchestrator.learning.cells import Cell
from orchestrator.learning.rhythm import Rhythm
from orchestrator.learning.send_time import Hours

SCHEMA = 1
#: Event ids remembered to drop duplicates: the last this many, 8 bytes each.
SEEN_IDS = 32
SEEN_BYTES = 8
#: Orders remembered by id, so that a second event for one updates it.
RECENT_ORDERS = 16
#: What a category's name is kept as in an order, to find its rhythm when the order comes back.
CATEGORY_BYTES = 2
#: Contacts remembered for caps; the longest window of a policy must fit.
RECENT_CONTACTS = 64
#: Sends that may still be credited with an answer.
OPEN_SENDS = 32
#: A provider's last word on a send; it only ever grows.
PLANNED, SENT, DELIVERED, FAILED = range(4)
#: Categories with a rhythm of their own; the least recently bought gives way.
RHYTHMS = 24
#: Windowed trigger counts kept side by side; the one moved longest ago gives way.
COUNTED = 32
#: Runs of one customer side by side, all journeys together.
RUNS = 64
#: Ended runs whose goal or failed send may still count.
PAST_RUNS = 16
#: Failed sends that look for another channel.
RESENDS = 8
#: Values of `reentry: per …` remembered per journey, so that each starts one run.
KEYS = 64


class Order(msgspec.Struct, array_like=True, gc=False):
    """A purchase already counted: hash of its id, when, what it brought; CATEGORY_BYTES for each of its categories."""

    key: bytes
    at: int
    revenue: float
    categories: bytes = b""


class Contact(msgspec.Struct, array_like=True, gc=False):
    """One message to the customer, for caps over all journeys."""

    at: int
    channel: str
    purpose: str
    journey: str
    send_id: str


class OpenSend(msgspec.Struct, array_like=True, gc=False):
    """A send that an answer may still be credited to."""

    send_id: str
    run_id: str
    channel: str
    message: str
    at: int
    #: The first human response came.
    answered: bool = False
    #: Provider's last word: 0 planned, 1 sent, 2 delivered, 3 failed. Never goes back.
    rank: int = 0
    #: When the first human response came.
    answered_at: int = 0
    #: A person opened it.
    opened: bool = False
    #: Step of pressure on its channel when it was decided.
    tired: int = 0
    #: False when its silence means nothing: callbacks of its channel were stale, so neither it nor its answer counts.
    counted: bool = True
    #: Pull of her earlier answers on the rate when it was decided (`priors.lean`): on responses, or where opens are
    #: seen on opens; and on responses after an open.
    lean: int = 0
    lean_after: int = 0
    #: The step it belongs to, until when it may be tried anew, and channels that failed before it.
    step: str = ""
    until: int = 0
    tried: list[str] = []


class Held(msgspec.Struct, array_like=True, gc=False):
    """A send waiting for quiet hours or a cap to pass; skipped after `until`."""

    until: int
    reason: str


class Silence(msgspec.Struct, array_like=True, gc=False):
    """Messages on one channel since the last answer: how many, when the first of them went."""

    sent: int = 0
    since: int = 0


class Run(msgspec.Struct, array_like=True):
    """One passage of the customer through one version of a journey."""

    id: str
    journey: str
    version: str
    entered: int
    #: Index of the instruction it stands at.
    position: int = 0
    #: What it waits for until `due`: "" running, `wait`, `until`, `for`, `send`.
    waiting: str = ""
    due: int = 0
    held: Held | None = None
    #: Values fixed at entry: the product and order that triggered it.
    bound: dict[str, Any] = {}
    #: Events that came while it waited: name → their data (or True).
    came: dict[str, Any] = {}
    silent: bool = False
    #: The first send, or for a holdout the first that would have been.
    first_send: int = 0
    #: Channels used, in order, with the id of each send.
    sends: list[tuple[str, str]] = []
    #: How often each send step was passed: part of the send's id.
    passed: dict[str, int] = {}
    #: The value of `reentry: per …`.
    key: str = ""
    #: Split → arm.
    arms: dict[str, str] = {}
    #: Loop → rounds begun.
    loops: dict[str, int] = {}
    #: When ended: why, and until when its goal still counts.
    outcome: str = ""
    until: int = 0
    #: A failed send that is tried anew: its id, and the channels that failed.
    again: str = ""
    tried: list[str] = []


class Ended(msgspec.Struct, array_like=True, gc=False):
    """Past runs of one journey: for re-entry."""

    times: int = 0
    last: int = 0
    #: Hashes of the values of `reentry: per …` that had their run, newest last.
    keys: list[bytes] = []


class Customer(msgspec.Struct, array_like=True):
    """The document."""

    schema: int = SCHEMA
    first_seen: int = 0
    last_seen: int = 0
    orders: int = 0
    revenue: float = 0.0
    #: Last event ids, SEEN_BYTES each, newest last.
    seen: bytes = b""
    time_zone: str = ""
    attributes: dict[str, Any] = {}
    addresses: dict[str, Any] = {}
    #: channel → purpose → yes or no. What is not there was never stated.
    consents: dict[str, dict[str, bool]] = {}
    segments: list[str] = []
    #: category → rhythm; "" is the customer over all categories.
    rhythms: dict[str, Rhythm] = {}
    recent_orders: list[Order] = []
    runs: list[Run] = []
    ended: dict[str, Ended] = {}
    contacts: list[Contact] = []
    #: channel → decayed sends and responses.
    responses: dict[str, Cell] = {}
    open_sends: list[OpenSend] = []
    #: Windowed counts of triggers: `journey` + value → times of the events.
    counted: dict[str, list[int]] = {}

    #: Ended runs that may still meet their goal, and failed sends that look for another channel.
    past: list[Run] = []
    resends: list[Run] = []
    #: What starts by itself: journey (or `_stages`, `_segments`) → ms at which to look.
    watches: dict[str, int] = {}
    #: Journey → the last coming of the event whose absence has started it.
    missed: dict[str, int] = {}
    #: channel → its silence; "" over all channels.
    silences: dict[str, Silence] = {}
    #: The lifecycle stage, "" before the first look; streaming segments looked at → inside or not.
    stage: str = ""
    inside: dict[str, bool] = {}
    #: Messages and answers by the hour of the day.
    hours: Hours = msgspec.field(default_factory=Hours)
    #: Product → how she is drawn to it, while some message shows picks.
    likings: dict[str, Liking] = {}

    def due(self) -> int:
        """The earliest moment at which something is to be done without an event; 0 when nothing waits."""
        earliest = 0
        for runs in (self.runs, self.resends):
            for run in runs:
                if run.due and (not earliest or run.due < earliest):
                    earliest = run.due
        for due in self.watches.values():
            if not earliest or due < earliest:
                earliest = due
        return earliest

    def live_run(self, journey: str, key: str = "") -> Run | None:
        for run in self.runs:
            if run.journey == journey and run.key == key:
                return run
        return None

    def sent_on(self, channel: str, at: int) -> None:
        """One more message that waits for an answer."""
        for name in (channel, ""):
            silence = self.silences.get(name)
            if silence is None:
                silence = self.silences[name] = Silence()
            silence.sent += 1
            silence.since = silence.since or at

    def unsent_on(self, channel: str) -> None:
        """A message that never reached her cannot go unanswered."""
        for name in (channel, ""):
            silence = self.silences.get(name)
            if silence is not None and silence.sent:
                silence.sent -= 1
                silence.since = silence.since if silence.sent else 0

    def answered_on(self, channel: str) -> None:
        """An answer ends the silence on its channel, and over all."""
        self.silences.pop(channel, None)
        self.silences.pop("", None)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Customer)


def encode(customer: Customer) -> bytes:
    """The stored bytes: equal states give equal bytes."""
    return _encoder.encode(customer)


def decode(raw: bytes) -> Customer:
    """The document of stored bytes. Raises msgspec.DecodeError when they are not ours."""
    return _decoder.decode(raw)
