"""What we really send, judged by another validator than the fakes use; and what the fakes send us."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from channel_tools import Channels, Shop, Write
from jsonschema import Draft202012Validator
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from starlette.datastructures import Headers, ImmutableMultiDict

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback
from orchestrator.testing.fakes import ProviderFakes, contract

CONTRACTS = files("orchestrator.testing.fakes") / "contracts"


def contract_file(name: str) -> Any:
    return json.loads((CONTRACTS / name).read_text())


class Captured:
    """A request as openapi-core wants to see it."""

    def __init__(self, callback: Callback, host: str) -> None:
        parts = urlsplit(callback.url)
        self.host_url = host
        self.path = parts.path
        self.full_url_pattern = host + parts.path
        self.method = callback.method.lower()
        self.content_type = callback.headers["content-type"]
        self.body = callback.body
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(parts.query)),
            header=Headers(callback.headers),
            cookie=ImmutableMultiDict([]),
        )


@pytest.fixture
def provider(shop: Shop) -> Shop:
    """Something that takes every request and keeps it: the adapters are led here instead of to the fakes."""
    return shop


async def capture(channels: Channels, write: Write, provider: Shop, name: str, **changes: Any) -> Callback:
    channel = channels.make(name, base_url=provider.url, timeout=5.0)
    message: OutgoingMessage = write(channel, **changes)
    await channel.send(channel.build(message))
    return await provider.next()


async def test_sendgrid_requests_fit_the_openapi_contract(channels: Channels, write: Write, provider: Shop) -> None:
    api = OpenAPI.from_dict(contract_file("sendgrid_mail_send.json"))
    for changes in ({}, {"unsubscribe_url": ""}, {"extra": {"categories": ["refill"]}}):
        callback = await capture(channels, write, provider, "sendgrid", **changes)
        api.validate_request(Captured(callback, "https://api.sendgrid.com"))
    # The validator can fail.
    broken = Callback(callback.method, callback.url, callback.headers, callback.body.replace(b'"from"', b'"form"'))
    with pytest.raises(OpenAPIError):
        api.validate_request(Captured(broken, "https://api.sendgrid.com"))


async def test_twilio_requests_fit_the_openapi_contract(channels: Channels, write: Write, provider: Shop) -> None:
    api = OpenAPI.from_dict(contract_file("twilio_messages_create.json"))
    callback = await capture(channels, write, provider, "twilio")
    api.validate_request(Captured(callback, "https://api.twilio.com"))
    broken = Callback(callback.method, callback.url, callback.headers, callback.body.replace(b"To=", b"Too="))
    with pytest.raises(OpenAPIError):
        api.validate_request(Captured(broken, "https://api.twilio.com"))


async def test_the_fakes_own_check_finds_faults() -> None:
    """The check behind every other test: it must refuse what the provider would."""
    mail = {"personalizations": [{"to": [{"email": "a@b.example"}]}], "from": {"email": "a@b.example"}}
    assert contract.sendgrid_mail(mail) is None
    assert contract.sendgrid_mail({"from": {"email": "a"}}) is not None
    assert contract.sendgrid_mail({**mail, "custom_args": {"send_id": 5}}) is not None
    assert contract.sendgrid_mail([]) is not None
    sms = {"To": ["+4930"], "Body": ["x"], "ValidityPeriod": ["60"]}
    assert contract.twilio_message(sms) is None
    assert contract.twilio_message({**sms, "ValidityPeriod": ["soon"]}) is not None
    assert contract.twilio_message({**sms, "Colour": ["red"]}) is not None
    assert contract.twilio_message({"Body": ["x"]}) is not None
    push: dict[str, Any] = {"message": {"token": "t", "android": {"ttl": "60s", "collapse_key": "x"}}}
    assert contract.fcm_message(push) is None
    assert contract.fcm_message({"message": {"token": "t", "android": {"ttl": "60"}}}) is not None
    assert contract.fcm_message({"message": {"token": "t", "data": {"n": 5}}}) is not None
    assert contract.fcm_message({"message": {"token": "t", "colour": "red"}}) is not None


async def test_the_fakes_callbacks_fit_the_webhook_schemas(
    channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop
) -> None:
    events = Draft202012Validator(contract_file("sendgrid_event_webhook.schema.json"))
    sms = Draft202012Validator(contract_file("twilio_messaging_webhooks.schema.json"))
    fakes.app_url = shop.url
    for name in ("sendgrid", "twilio"):
        await channels[name].send(channels[name].build(write(channels[name], name)))
    for kind in ("sent", "delivered", "opened", "clicked", "bounced", "failed", "unsubscribed", "complained"):
        await fakes.report(fakes.ledger.one("sendgrid"), kind)  # type: ignore[arg-type]
        events.validate(json.loads((await shop.next()).body))
    for kind in ("sent", "delivered", "bounced", "failed"):
        await fakes.report(fakes.ledger.one("twilio"), kind)  # type: ignore[arg-type]
        sms.validate(dict(parse_qsl((await shop.next()).body.decode())))
    await fakes.reply(fakes.ledger.one("twilio"), "Yes")
    sms.validate(dict(parse_qsl((await shop.next()).body.decode())))
