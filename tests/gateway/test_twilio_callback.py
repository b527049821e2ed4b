"""A real adapter behind the gateway: Twilio's own signature, over the public address and not the one we listen on."""

from __future__ import annotations

import pytest
from doors import TWILIO_TOKEN, Door
from httpx import Response
from twilio.request_validator import RequestValidator

PHONE = "+4915112345678"


async def call_back(door: Door, path: str, fields: dict[str, str], base: str = "https://hooks.example.com") -> Response:
    signature = RequestValidator(TWILIO_TOKEN).compute_signature(f"{base}{path}", fields)
    return await door.http.post(path, data=fields, headers={"x-twilio-signature": signature})


async def test_a_status_and_a_stop(door: Door) -> None:
    await door.recipients.remember("s-1", "c-1", PHONE)
    status = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": PHONE, "ZNew": "x y&\u00fc"}
    assert (await call_back(door, "/v1/webhooks/twilio/status?send_id=s-1", status)).status_code == 204
    stop = {"MessageSid": "SM2", "From": PHONE, "To": "+15005550006", "Body": "Stop"}
    assert (await call_back(door, "/v1/webhooks/twilio/inbound", stop)).status_code == 204
    assert [(event.type, event.customer) for event in door.log.events()] == [
        ("message_delivered", "c-1"),
        ("reply", "c-1"),
    ]
    assert await door.suppression.is_suppressed(PHONE) == "stop"


@pytest.mark.parametrize("base", ["http://hooks.example.com", "https://evil.example"])
async def test_a_signature_for_another_address_is_refused(door: Door, base: str) -> None:
    stop = {"MessageSid": "SM2", "From": PHONE, "To": "+15005550006", "Body": "Stop"}
    assert (await call_back(door, "/v1/webhooks/twilio/inbound", stop, base)).status_code == 403
    assert await door.suppression.is_suppressed(PHONE) == ""
