"""What the demo counts: sends, answers, and where the messages of each group of customers went. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.demo.customers import CHANNELS

#: How groups are called; "" prefers nothing.
GROUPS = {"email": "like email", "sms": "like sms", "push": "like push", "": "like none"}


@dataclass(slots=True)
class Message:
    """One message that went out, in the order of time. `likes` is the hidden preference of its customer."""

    send_id: str
    customer: str
    journey: str
    channel: str
    likes: str
    at: int
    #: Whether the liked channel was open and not the only one: only then is the channel a choice.
    choice: bool = True
    answered: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `count`."""

    hits: int
    count: int

    @property
    def share(self) -> float:
        return self.hits / self.count if self.count else 0.0


@dataclass(slots=True)
class Tally:
    """Filled while the demo runs, read by the screen at any time."""

    entered: int = 0
    replies: int = 0
    withheld: int = 0
    messages: list[Message] = field(default_factory=list)
    _by_id: dict[str, Message] = field(default_factory=dict, repr=False)

    def sent(self, message: Message) -> None:
        self.messages.append(message)
        self._by_id[message.send_id] = message

    def find(self, send_id: str) -> Message | None:
        return self._by_id.get(send_id)

    def shares(self, likes: str, last: int = 150) -> dict[str, float]:
        """Channel → share of a group's most recent `last` messages with a choice."""
        recent = [message for message in self.messages if message.likes == likes and message.choice][-last:]
        return {c: _rate(message.channel == c for message in recent).share for c in CHANNELS}

    def thirds(self) -> tuple[Sequence[Message], Sequence[Message]]:
        """The first third of every customer's messages, and the last: before and after we got to know her."""
        own: dict[str, list[Message]] = {}
        for message in self.messages:
            own.setdefault(message.customer, []).append(message)
        first = [message for messages in own.values() for message in messages[: len(messages) // 3]]
        last = [message for messages in own.values() for message in messages[len(messages) - len(messages) // 3 :]]
        return first, last


def on_liked(messages: Iterable[Message], likes: str) -> Rate:
    """How many messages of a group went out on the channel it likes, of those where there was a choice."""
    return _rate(message.channel == likes for message in messages if message.likes == likes and message.choice)


def answered(messages: Iterable[Message], channel: str | None = None) -> Rate:
    """How many messages were answered, on one channel or on all."""
    return _rate(message.answered for message in messages if channel in (None, message.channel))


def _rate(hits: Iterable[bool]) -> Rate:
    all_hits = list(hits)
    return Rate(sum(all_hits), len(all_hits))
