"""What adapters make of a message, and what they refuse to make."""

from __future__ import annotations

from dataclasses import replace

import pytest
from channel_tools import CONTENT, Channels, Write

from orchestrator.errors import MessageRefused
from orchestrator.testing.fakes import ProviderFakes


@pytest.mark.parametrize(
    "number", ["030123456", "+0301234567", "+49", "+49 30 123456", "+49301234567890123", "tel:+4930123456"]
)
def test_numbers_that_are_not_e164(number: str, channels: Channels, write: Write) -> None:
    with pytest.raises(MessageRefused, match=r"E\.164") as refused:
        channels["twilio"].build(write(channels["twilio"], to=number))
    assert refused.value.code == "invalid_address"


@pytest.mark.parametrize("provider", ["sendgrid", "smtp"])
def test_subjects_that_are_refused(provider: str, channels: Channels, write: Write) -> None:
    channel = channels[provider]
    for subject in ("Hi\r\nBcc: a@b.example", "Hi\nX", "Hi\rX", "Hi\x00", "", "  "):
        with pytest.raises(MessageRefused) as refused:
            channel.build(write(channel, content=replace(CONTENT, subject=subject)))
        assert refused.value.code == "invalid_content"


@pytest.mark.parametrize("provider", ["sendgrid", "smtp"])
def test_an_international_domain_is_written_in_ascii(provider: str, channels: Channels, write: Write) -> None:
    request = channels[provider].build(write(channels[provider], to="anna@käse.example"))
    sent = request.body["personalizations"][0]["to"][0]["email"] if provider == "sendgrid" else request.to
    assert sent == "anna@xn--kse-qla.example"


@pytest.mark.parametrize("provider", ["sendgrid", "smtp"])
def test_one_click_only_over_https(provider: str, channels: Channels, write: Write) -> None:
    for url, expected in [("https://s.example/u", True), ("http://127.0.0.1/u", False)]:
        request = channels[provider].build(write(channels[provider], unsubscribe_url=url))
        headers = request.body["headers"] if provider == "sendgrid" else dict(request.headers)
        assert headers["List-Unsubscribe"] == f"<{url}>"
        assert ("List-Unsubscribe-Post" in headers) is expected
    request = channels[provider].build(write(channels[provider], unsubscribe_url=""))
    headers = request.body.get("headers", {}) if provider == "sendgrid" else dict(request.headers)
    assert "List-Unsubscribe" not in headers


def test_twilio_names_the_send_in_its_callback(channels: Channels, write: Write) -> None:
    request = channels["twilio"].build(write(channels["twilio"], callback_url="https://h.example/t/status?a=1"))
    assert request.arguments["status_callback"] == "https://h.example/t/status?a=1&send_id=01JABC"
    assert request.arguments["validity_period"] == 36_000


FOREIGN_ENDPOINTS = (
    "https://evil.example/push",
    "http://fcm.googleapis.com/x",
    "https://fcm.googleapis.com@evil.example/x",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evil.example\\@fcm.googleapis.com/x",
    "https://fcm.googleapis.com:8443/x",
    "http://127.0.0.1:1/x",
    "http://169.254.169.254/latest",
    "https://[::1]/x",
    "https://push.apple.com.evil.example/",
    "https://notpush.apple.com/",
    "file:///etc/passwd",
    "https://fcm.googleapis.com:x/",
)
PUSH_SERVICES = (
    "https://fcm.googleapis.com/fcm/send/x",
    "https://fcm.googleapis.com:443/fcm/send/x",
    "https://web.push.apple.com/x",
    "https://wns2-par02p.notify.windows.com/w/?t=x",
    "https://updates.push.services.mozilla.com/wpush/v2/x",
)


def test_only_known_push_services_are_called(channels: Channels, fakes: ProviderFakes, write: Write) -> None:
    channel = channels.make("webpush", allowed_hosts=None)
    for endpoint in FOREIGN_ENDPOINTS:
        with pytest.raises(MessageRefused) as refused:
            channel.build(write(channel, to={**fakes.subscribe(), "endpoint": endpoint}))
        # The dispatcher closes an address for `invalid_address`; here a setting is in the way.
        assert refused.value.code == "not_allowed"
    for endpoint in PUSH_SERVICES:
        assert (
            channel.build(write(channel, to={**fakes.subscribe(), "endpoint": endpoint})).subscription["endpoint"]
            == endpoint
        )


@pytest.mark.parametrize("provider", ["webpush", "fcm"])
def test_a_push_that_is_too_large(provider: str, channels: Channels, write: Write) -> None:
    with pytest.raises(MessageRefused) as refused:
        channels[provider].build(write(channels[provider], content=replace(CONTENT, text="ü" * 2_100)))
    assert refused.value.code == "too_large"


def test_a_provider_s_own_options_pass_but_replace_nothing(channels: Channels, write: Write) -> None:
    sendgrid = channels["sendgrid"]
    request = sendgrid.build(write(sendgrid, extra={"categories": ["refill"]}))
    assert request.body["categories"] == ["refill"]
    for provider, option in [("sendgrid", "custom_args"), ("twilio", "to"), ("fcm", "token"), ("webpush", "send_id")]:
        with pytest.raises(MessageRefused) as refused:
            channels[provider].build(write(channels[provider], extra={option: {}}))
        assert refused.value.code == "invalid_extra"


def test_nothing_personal_stands_in_what_providers_keep(channels: Channels, write: Write) -> None:
    """custom_args and callback addresses stay with the provider for long: opaque ids only."""
    sendgrid = channels["sendgrid"].build(write(channels["sendgrid"]))
    assert sendgrid.body["custom_args"] == {"send_id": "01JABC"}
    twilio = channels["twilio"].build(write(channels["twilio"]))
    assert "4930" not in twilio.arguments["status_callback"]


def test_requests_do_not_show_people_in_a_log(channels: Channels, write: Write) -> None:
    for name in ("sendgrid", "smtp", "twilio", "fcm", "webpush"):
        shown = repr(channels[name].build(write(channels[name])))
        for secret in ("anna@mail.example", "+4930123456", "an-app-token", "überraschend", "p256dh"):
            assert secret not in shown
