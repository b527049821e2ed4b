"""What comes back from providers, in closed vocabularies: the answer to a send, and later feedback by webhook."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a provider attempt ended. `NOT_SENT` is certain; everything that could have gone out is `UNKNOWN`."""

    SENT = "sent"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class Next(StrEnum):
    """What follows a `NOT_SENT`."""

    #: Try again after a pause (429, connect error): nothing left the house.
    RETRY = "retry"
    #: This send can never succeed (bad address, content refused).
    FAIL = "fail"
    #: The address is dead or said no: fail and suppress it.
    SUPPRESS = "suppress"
    #: Our credentials or account are refused: park the send and open the breaker; a person must act.
    PARK = "park"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's answer to one attempt."""

    outcome: Outcome
    provider_id: str = ""
    next: Next = Next.FAIL
    #: One stable word: `ok`, `rate_limited`, `timeout`, `connect`, `invalid_address`, `unsubscribed`, `auth` …
    code: str = "ok"
    #: Seconds to wait before the next attempt, as the provider asked.
    retry_after: float | None = None
    #: For people; never holds an address or content.
    detail: str = ""


class FeedbackKind(StrEnum):
    """What a provider callback says. `UNKNOWN` keeps a new word of a provider from being lost."""

    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    BOUNCED = "bounced"
    FAILED = "failed"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    REPLY = "reply"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One fact from a callback. `id` is the provider's own, so a repeated callback gives the same event id."""

    kind: FeedbackKind
    id: str
    send_id: str = ""
    provider_id: str = ""
    #: ms UTC, 0 where the provider does not say.
    time: int = 0
    #: True for opens and clicks made by a scanner or a privacy proxy.
    machine: bool = False
    #: True when the address will never work (hard bounce).
    permanent: bool = False
    reason: str = ""
    #: Replies: who wrote, to which of our addresses, and what.
    sender: str = ""
    recipient: str = ""
    text: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Callback:
    """A provider's HTTP call to us, as received. `url` is the public one, rebuilt from settings, never from Host."""

    method: str
    url: str
    #: Lower-case names.
    headers: dict[str, str]
    body: bytes
