"""The data of every event type the product knows, checked field by field. JSON Schemas in `schemas/` come from here.

Purchases and views use the property names of Segment's ecommerce spec, so a shop that speaks it maps nothing. Unknown
fields are kept, for they may matter to a journey. Types are strict: a number in quotes is refused, because `"9" > "10"`
is true for text and a journey that compares prices would be wrong in silence; the error names the number to send.
A type that is not listed here takes any object.
"""

from __future__ import annotations

import difflib
import zoneinfo
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

#: Money and counts beyond this are mistakes, and their sums would not be finite.
MAX_NUMBER = 1e12


def _push(value: Any) -> Any:
    """A push address: a device token, or a Web Push subscription with its endpoint."""
    if value is None or (isinstance(value, str) and 0 < len(value) <= 4096):
        return value
    if isinstance(value, dict) and isinstance(value.get("endpoint"), str) and value["endpoint"].startswith("https://"):
        return value
    raise PydanticCustomError(
        "push_address", "expected a device token or a Web Push subscription with an https endpoint"
    )


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _time_zone(value: str) -> str:
    if value not in _time_zones():
        near = difflib.get_close_matches(value, sorted(_time_zones()), n=1)
        raise PydanticCustomError("time_zone", "no such time zone", {"near": near[0] if near else "Europe/Berlin"})
    return value


Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=MAX_NUMBER, allow_inf_nan=False)]
Identifier = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=1024)]
Label = Annotated[str, Field(min_length=1, max_length=64)]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$")]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]
PushAddress = Annotated[
    Any,
    AfterValidator(_push),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 4096},
                {
                    "type": "object",
                    "required": ["endpoint"],
                    "properties": {"endpoint": {"type": "string", "pattern": "^https://"}},
                },
                {"type": "null"},
            ]
        }
    ),
]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


class Data(BaseModel):
    """What all data models share: no coercion, unknown fields kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class Product(Data):
    """One product, as Segment's ecommerce spec names its properties."""

    product_id: Identifier | None = Field(default=None, description="Your id of the product.")
    sku: Identifier | None = Field(default=None, description="Stock keeping unit.")
    category: Text | None = Field(default=None, description="What purchase rhythms and affinities are learned by.")
    name: Text | None = Field(default=None, description="As the customer knows it; messages may show it.")
    brand: Text | None = None
    variant: Text | None = None
    price: Amount | None = Field(default=None, description="Of one piece, in the order's currency.")
    quantity: Amount | None = Field(default=None, description="Pieces, or a measure such as kilograms.")
    coupon: Text | None = None
    position: Number | None = None
    url: Text | None = Field(default=None, description="Where the product is shown.")
    image_url: Text | None = None


class Order(Data):
    """What all events of an order share."""

    order_id: Identifier = Field(
        description="Key of the order: a second event for it updates and is not counted twice."
    )
    total: Amount | None = Field(default=None, description="What the customer pays, shipping and tax included.")
    revenue: Amount | None = Field(default=None, description="Without shipping and tax.")
    subtotal: Amount | None = None
    shipping: Amount | None = None
    tax: Amount | None = None
    discount: Amount | None = None
    coupon: Text | None = None
    affiliation: Text | None = None
    currency: Currency | None = Field(default=None, description="ISO 4217: EUR, USD.")
    products: list[Product] = Field(default_factory=list)


class Purchase(Order):
    """A customer bought something (Segment: Order Completed)."""


class OrderRefunded(Order):
    """An order came back, in whole or in the products named (Segment: Order Refunded). Amounts are positive."""


class OrderCancelled(Order):
    """An order was called off (Segment: Order Cancelled)."""


class View(Product):
    """A customer looked at a product (Segment: Product Viewed)."""

    currency: Currency | None = Field(default=None, description="ISO 4217: EUR, USD.")
    value: Amount | None = None


class Reply(Data):
    """A customer answered."""

    channel: Word = Field(description="`email`, `sms`, `push` or a channel of yours.")
    text: Annotated[str, Field(max_length=20_000)] = Field(default="", description="What the customer wrote.")
    in_reply_to: Identifier | None = Field(default=None, description="The send this answers, where it is known.")


class Addresses(Data):
    """Where a customer can be reached. null removes an address; a field that is left away stays as it was."""

    email: Email | None = None
    phone: Phone | None = Field(default=None, description="E.164: +4915112345678.")
    push: PushAddress = Field(default=None, description="A device token, or a Web Push subscription object.")


class CustomerUpdated(Data):
    """Facts about a customer. What is left away stays as it was."""

    attributes: dict[str, Any] | None = Field(default=None, description="Anything journeys may ask for.")
    addresses: Addresses | None = None
    time_zone: TimeZone | None = Field(default=None, description="IANA name: Europe/Berlin.")
    segments: Annotated[list[Label], Field(max_length=256)] | None = Field(
        default=None, description="All labels of the customer; replaces those known before."
    )
    consents: dict[Word, dict[Literal["marketing", "service"], bool]] | None = Field(
        default=None, description="Channel, then purpose: true allows, false forbids."
    )


class MessageFact(Data):
    """What became of a send. Published by the dispatcher and by provider callbacks; your own systems may too."""

    send_id: Identifier = Field(description="The send this is about.")
    channel: Word | None = None
    provider: Annotated[str, Field(max_length=64)] | None = None
    provider_id: Annotated[str, Field(max_length=256)] | None = Field(
        default=None, description="The provider's own id."
    )
    reason: Text | None = None


class MessageSent(MessageFact):
    """The provider took the message."""


class MessageDelivered(MessageFact):
    """The message reached the mailbox or the device."""


class MessageOpened(MessageFact):
    """The message was opened, by a person or by a machine that fetches images ahead."""

    machine: bool | None = Field(default=None, description="True for scanners and privacy proxies.")


class MessageClicked(MessageFact):
    """A link of the message was followed."""

    machine: bool | None = Field(default=None, description="True for scanners and privacy proxies.")
    url: Annotated[str, Field(max_length=4096)] | None = None


class MessageBounced(MessageFact):
    """The message could not be delivered."""

    permanent: bool | None = Field(default=None, description="True when the address will never work.")


class MessageFailed(MessageFact):
    """The message was not sent, or the provider gave it up."""

    permanent: bool | None = Field(default=None, description="True when the address will never work.")


class MessageUnsubscribed(MessageFact):
    """The customer wants no more of these messages on this channel."""


class MessageComplained(MessageFact):
    """The customer called the message spam."""


#: Every known event type and the model of its data. Any other word takes any object.
TYPES: dict[str, type[Data]] = {
    "purchase": Purchase,
    "order_refunded": OrderRefunded,
    "order_cancelled": OrderCancelled,
    "view": View,
    "reply": Reply,
    "customer_updated": CustomerUpdated,
    "message_sent": MessageSent,
    "message_delivered": MessageDelivered,
    "message_opened": MessageOpened,
    "message_clicked": MessageClicked,
    "message_bounced": MessageBounced,
    "message_failed": MessageFailed,
    "message_unsubscribed": MessageUnsubscribed,
    "message_complained": MessageComplained,
}
