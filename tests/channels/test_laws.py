"""Every adapter of ours under the laws of all adapters."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from twilio.request_validator import RequestValidator

from orchestrator.contracts.messages import Content, OutgoingMessage
from orchestrator.contracts.receipts import Callback
from orchestrator.ports import Channel
from orchestrator.runtime.channels import load_channels
from orchestrator.testing.channel_laws import ChannelLaws
from orchestrator.testing.fakes.accounts import Accounts, base64url, public_point

ACCOUNTS = Accounts()
CONTENT = Content("Hello", subject="Hello", title="Hello")
NOW = 1_700_000_000


def made(provider: str, host: str, port: int, timeout: float, **more: Any) -> Channel[Any]:
    settings = ACCOUNTS.channel_settings(f"http://{host}:{port}", host, port)[provider]
    return load_channels({provider: {**settings, "timeout": timeout, **more}})[provider]


class TestSendGrid(ChannelLaws):
    signature_headers = ("x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp")

    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        return made("sendgrid", host, port, timeout, event_max_age=1e12)

    def message(self) -> OutgoingMessage:
        return OutgoingMessage("s1", "email", "anna@mail.example", CONTENT)

    def signed(self) -> Callback:
        event = {"event": "delivered", "sg_event_id": "e1", "email": "a@b.example", "timestamp": NOW, "send_id": "s1"}
        return self._signed(event)

    def unknown_word(self) -> Callback:
        return self._signed({"event": "teleported", "sg_event_id": "e2", "timestamp": NOW, "send_id": "s1"})

    def _signed(self, event: dict[str, Any]) -> Callback:
        body = json.dumps([event]).encode()
        signature = ACCOUNTS.sendgrid_event_key.sign(str(NOW).encode() + body, ec.ECDSA(SHA256()))
        headers = {
            "content-type": "application/json",
            "x-twilio-email-event-webhook-signature": base64.b64encode(signature).decode(),
            "x-twilio-email-event-webhook-timestamp": str(NOW),
        }
        return Callback("POST", "https://hooks.example/v1/webhooks/sendgrid/events", headers, body)


class TestTwilio(ChannelLaws):
    signature_headers = ("x-twilio-signature",)
    signs_url = True

    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        return made("twilio", host, port, timeout)

    def message(self) -> OutgoingMessage:
        return OutgoingMessage("s1", "sms", "+4930123456", CONTENT)

    def signed(self) -> Callback:
        return self._signed("delivered")

    def unknown_word(self) -> Callback:
        return self._signed("teleported")

    def _signed(self, word: str) -> Callback:
        url = "https://hooks.example/v1/webhooks/twilio?send_id=s1"
        fields = {"MessageSid": f"SM{'0' * 32}", "MessageStatus": word, "To": "+4930123456", "X": "a b&ü"}
        signature = RequestValidator(ACCOUNTS.twilio_token).compute_signature(url, fields)
        headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
        return Callback("POST", url, headers, urlencode(fields).encode())


class TestSmtp(ChannelLaws):
    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        return made("smtp", host, port, timeout)

    def message(self) -> OutgoingMessage:
        return OutgoingMessage("s1", "email", "anna@mail.example", CONTENT)


class TestFcm(ChannelLaws):
    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        return made("fcm", host, port, timeout)

    def message(self) -> OutgoingMessage:
        return OutgoingMessage("s1", "push", "an-app-token", CONTENT)


class TestWebPush(ChannelLaws):
    key = ec.generate_private_key(ec.SECP256R1())
    port = 9

    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        # The address is the subscription's, not a setting.
        self.port = port
        return made("webpush", host, port, timeout)

    def message(self) -> OutgoingMessage:
        keys = {"p256dh": base64url(public_point(self.key)), "auth": base64url(b"0123456789abcdef")}
        to = {"endpoint": f"http://127.0.0.1:{self.port}/webpush/1", "keys": keys}
        return OutgoingMessage("s1", "push", to, CONTENT)


@pytest.mark.parametrize("provider", ["console", "console_sms", "console_push"])
class TestConsole(ChannelLaws):
    network = False

    @pytest.fixture(autouse=True)
    def _provider(self, provider: str) -> None:
        self.provider = provider

    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        return load_channels({self.provider: {}})[self.provider]

    def message(self) -> OutgoingMessage:
        return OutgoingMessage("s1", "email", "anna@mail.example", CONTENT)
