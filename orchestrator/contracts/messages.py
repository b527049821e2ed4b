"""Messages on their way out: the row the engine decided, the content that was rendered, what an adapter gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

#: What to do with a send whose outcome nobody can tell: never again (default for SMS and promotion), once more
#: (service mail), or wait for a person.
OnUnknown = Literal["drop", "retry", "park"]

#: The kind of address each built-in channel needs, as named in `customer_updated.addresses`.
ADDRESS_OF_CHANNEL = {"email": "email", "sms": "phone", "push": "push"}


class OutboxRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One send that may go now. Written by the engine's commit, read by the dispatcher. Times in ms UTC."""

    send_id: str
    customer: str
    run_id: str
    journey: str
    #: Version of the journey the run is on, and of the program whose message text was decided on.
    version: str
    program: str
    step: str
    message: str
    channel: str
    #: Where it goes: an e-mail address, an E.164 number, or a push token or subscription.
    address: Any
    purpose: str
    #: Facts bound by the engine when it decided; templates see nothing else.
    facts: dict[str, Any]
    decided_at: int
    not_before: int
    not_after: int
    locale: str = ""
    on_unknown: OnUnknown = "drop"


@dataclass(frozen=True, slots=True)
class Content:
    """A rendered message: SMS uses `text`; push `title`, `text`, `link`; email `subject`, `text`, `html`."""

    text: str
    subject: str = ""
    html: str = ""
    title: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """What an adapter turns into a provider's request. Nothing here but `to` and the content may identify a person."""

    send_id: str
    channel: str
    to: Any
    content: Content
    purpose: str = "marketing"
    #: HTTPS address for RFC 8058 one-click unsubscribe; empty for service mail.
    unsubscribe_url: str = ""
    #: Public address at which the provider reports on this send.
    callback_url: str = ""
    #: Seconds the message is worth delivering.
    ttl: int = 172_800
    #: A provider's own options, passed through untouched.
    extra: dict[str, Any] = field(default_factory=dict)
