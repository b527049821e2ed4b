"""Signatures of Twilio and SendGrid against known-good vectors, made with the providers' own libraries."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from orchestrator_channels._signatures import check_twilio
from orchestrator_channels.email.sendgrid import SendGrid, SendGridSettings
from orchestrator_channels.sms.twilio import Twilio, TwilioSettings
from twilio.request_validator import RequestValidator

from orchestrator.contracts.receipts import Callback
from orchestrator.errors import WebhookRefused
from orchestrator.testing.channel_laws import flips
from orchestrator.testing.fakes.accounts import Accounts

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "signature_vectors.json").read_text())
FORM, JSON = VECTORS["twilio"]["form"], VECTORS["twilio"]["json"]
SIGNED_AT = int(VECTORS["sendgrid"]["X-Twilio-Email-Event-Webhook-Timestamp"])


def twilio(*tokens: str) -> Twilio:
    first, *others = tokens or (VECTORS["twilio"]["auth_token"],)
    settings = {"account_sid": f"AC{'0' * 32}", "auth_token": first, "other_auth_tokens": others, "sender": "+1500"}
    return Twilio(TwilioSettings.model_validate(settings))


def sendgrid(now: float = SIGNED_AT, **settings: Any) -> SendGrid:
    given = {"api_key": "k", "sender": "a@b.example", "event_public_keys": [VECTORS["sendgrid"]["public_key_der_b64"]]}
    return SendGrid(SendGridSettings.model_validate({**given, **settings}), now=lambda: now)


def form() -> Callback:
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": FORM["X-Twilio-Signature"],
    }
    return Callback("POST", FORM["url"], headers, urlencode(FORM["params"]).encode())


def json_body() -> Callback:
    headers = {"content-type": "application/json", "x-twilio-signature": JSON["X-Twilio-Signature"]}
    # The vector's path ends in /json, which is no kind of ours, so the check itself is asked.
    return Callback("POST", JSON["url"], headers, JSON["body"].encode())


def event() -> Callback:
    vector = VECTORS["sendgrid"]
    headers = {name.lower(): vector[name] for name in vector if name.startswith("X-")}
    return Callback("POST", "https://h.example/v1/webhooks/sendgrid", headers, vector["raw_body"].encode())


def test_twilio_form() -> None:
    twilio().verify(form())
    for flipped in flips(form(), ["x-twilio-signature"], url=True):
        with pytest.raises(WebhookRefused):
            twilio().verify(flipped)


def test_twilio_json() -> None:
    tokens = [VECTORS["twilio"]["auth_token"]]
    check_twilio(json_body(), tokens)
    for flipped in flips(json_body(), ["x-twilio-signature"], url=True):
        with pytest.raises(WebhookRefused):
            check_twilio(flipped, tokens)


def test_twilio_json_without_the_body_s_hash_is_refused() -> None:
    """Its signature covers the address alone, so any body would do."""
    url = "https://hooks.example.com/v1/webhooks/twilio/status"
    signature = RequestValidator(VECTORS["twilio"]["auth_token"]).compute_signature(url, {})
    headers = {"content-type": "application/json", "x-twilio-signature": signature}
    with pytest.raises(WebhookRefused, match="hash"):
        twilio().verify(Callback("POST", url, headers, b'{"MessageStatus": "delivered"}'))
    # Nor does another content type turn such a signature into one for a form.
    with pytest.raises(WebhookRefused):
        twilio().verify(replace(json_body(), headers=form().headers | {"x-twilio-signature": signature}, url=url))


def test_twilio_added_parameters_are_covered() -> None:
    with pytest.raises(WebhookRefused):
        twilio().verify(replace(form(), body=form().body + b"&New=1"))


def test_twilio_rotation() -> None:
    token = VECTORS["twilio"]["auth_token"]
    twilio("new", token).verify(form())
    twilio(token, "old").verify(form())
    with pytest.raises(WebhookRefused):
        twilio("new", "old").verify(form())


def test_twilio_sha256() -> None:
    """Webhooks signed with a shared key name their algorithm; an unknown one is refused."""
    fields = {"MessageSid": "SM1"}
    url = "https://h.example/v1/webhooks/twilio/status"
    signature = RequestValidator("shared").compute_signature(url, fields, "HMAC_SHA256")
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature}
    named = headers | {"x-twilio-webhooks-signature-settings": "key=k1,algorithm=HMAC_SHA256"}
    callback = Callback("POST", url, named, urlencode(fields).encode())
    twilio("token", "shared").verify(callback)
    for settings in ("", "key=k1,algorithm=HMAC_MD5"):
        with pytest.raises(WebhookRefused):
            twilio("token", "shared").verify(
                replace(callback, headers=named | {"x-twilio-webhooks-signature-settings": settings})
            )


def test_sendgrid() -> None:
    sendgrid().verify(event())
    names = ["x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"]
    for flipped in flips(event(), names):
        with pytest.raises(WebhookRefused):
            sendgrid().verify(flipped)


def test_sendgrid_signature_has_one_spelling() -> None:
    """The unused bits of base64's last character must not make a second valid spelling."""
    name = "x-twilio-email-event-webhook-signature"
    signature = event().headers[name]
    decoded = base64.b64decode(signature)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = signature.rstrip("=")
    spellings = [body[:-1] + letter + signature[len(body) :] for letter in alphabet]
    same = [text for text in spellings if base64.b64decode(text) == decoded and text != signature]
    assert same, "the vector has padding, so other spellings exist"
    for text in [*same, f"{signature}\n", f" {signature}"]:
        with pytest.raises(WebhookRefused):
            sendgrid().verify(replace(event(), headers={**event().headers, name: text}))


def test_sendgrid_age() -> None:
    day, skew = 25 * 3_600, 300
    sendgrid(SIGNED_AT + day).verify(event())
    sendgrid(SIGNED_AT - skew).verify(event())
    for now in (SIGNED_AT + day + 1, SIGNED_AT - skew - 1):
        with pytest.raises(WebhookRefused, match="old"):
            sendgrid(now).verify(event())


def test_sendgrid_rotation() -> None:
    known = VECTORS["sendgrid"]["public_key_der_b64"]
    other = Accounts().channel_settings("http://x", "x", 1)["sendgrid"]["event_public_keys"][0]
    sendgrid(event_public_keys=[other, known]).verify(event())
    for keys in ([other], []):
        with pytest.raises(WebhookRefused):
            sendgrid(event_public_keys=keys).verify(event())


def test_inbound_letters_have_keys_of_their_own() -> None:
    """The event key does not open the inbound address."""
    inbound = replace(event(), url="https://h.example/v1/webhooks/sendgrid/inbound")
    with pytest.raises(WebhookRefused):
        sendgrid().verify(inbound)
    sendgrid(inbound_public_keys=[VECTORS["sendgrid"]["public_key_der_b64"]]).verify(inbound)


def test_inbound_letters_by_secret() -> None:
    channel = sendgrid(inbound_secrets=["s3cret-one", "s3cret-two"])
    url = "https://h.example/v1/webhooks/sendgrid/inbound"
    for secret in ("s3cret-one", "s3cret-two"):
        channel.verify(Callback("POST", f"{url}?secret={secret}", {}, b""))
    for query in ("", "?secret=", "?secret=s3cret-on", "?secret=s3cret-one2", "?other=s3cret-one"):
        with pytest.raises(WebhookRefused):
            channel.verify(Callback("POST", url + query, {}, b""))
    # Where a signature can be asked for, the secret is no second door.
    strict = sendgrid(inbound_secrets=["s3cret-one"], inbound_public_keys=[VECTORS["sendgrid"]["public_key_der_b64"]])
    with pytest.raises(WebhookRefused):
        strict.verify(Callback("POST", f"{url}?secret=s3cret-one", {}, b""))
    # An empty secret in the settings opens nothing.
    with pytest.raises(WebhookRefused):
        sendgrid(inbound_secrets=[""]).verify(Callback("POST", f"{url}?secret=", {}, b""))


def test_kinds_that_do_not_exist_are_refused() -> None:
    with pytest.raises(WebhookRefused, match="no callback"):
        sendgrid().verify(replace(event(), url="https://h.example/v1/webhooks/sendgrid/other"))
    with pytest.raises(WebhookRefused, match="no callback"):
        twilio().verify(replace(form(), url="https://h.example/v1/webhooks/twilio/other"))
