"""The one envelope publishers send, checked field by field. JSON Schemas in `schemas/` are generated from here.

`Envelope.data` is checked by the event type's own model (`contracts.events`); unknown fields are kept, for they may
matter to a journey.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

#: The largest event, and the largest request body, in bytes.
MAX_EVENT_BYTES = 64 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
#: A time further ahead of the receipt than this is clamped to it and flagged.
FUTURE_TOLERANCE_MS = 5 * 60 * 1000
#: How deep `data` may nest.
MAX_DEPTH = 32

#: A time before this is a mistake: an empty date of the publisher, seconds taken for milliseconds.
MIN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
#: Put before an anonymous id, so that visitor `7` and customer `7` are not one person.
ANONYMOUS_PREFIX = "anonymous:"


def _written_time(value: Any) -> Any:
    """Only ISO 8601 text: a bare number does not say whether it counts seconds or milliseconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise PydanticCustomError("time_text", "expected an ISO 8601 time")


#: No control characters: ids travel in log lines, key names and headers.
Identifier = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
EventType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}(\.v[0-9]+)?$")]


class Envelope(BaseModel):
    """One event of one customer."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, title="Event")

    id: Identifier = Field(description="Unique with `source`; a retry repeats it, so that it counts once.")
    type: EventType = Field(description="`purchase`, `view`, `reply`, `customer_updated` or your own snake_case word.")
    time: Annotated[AwareDatetime, BeforeValidator(_written_time)] = Field(
        description="When it happened, with an offset: 2026-03-01T09:30:00Z.",
        json_schema_extra={"pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,]{5,}([Zz]|[+-][0-9]{2}:?[0-9]{2})$"},
    )
    customer: Identifier | None = Field(default=None, description="Your id of the customer.")
    anonymous: Identifier | None = Field(default=None, description="The id of a visitor who is not known yet.")
    source: str = Field(default="", max_length=128, description="Which system says so.")
    data: dict[str, Any] = Field(default_factory=dict, description="The event's own fields.")


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return round(moment.timestamp() * 1000)
