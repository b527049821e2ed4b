"""Throw-away credentials of the fake providers, made anew for each set of fakes."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The uncompressed point, 65 bytes: how browsers and VAPID write a key."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@cache
def _service_key() -> rsa.RSAPrivateKey:
    # Slow to make, and one for all fakes of a process does no harm.
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def _curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Accounts:
    """One account at each fake provider."""

    twilio_sid: str = field(default_factory=lambda: f"AC{secrets.token_hex(16)}")
    twilio_token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    twilio_number: str = "+15005550006"
    sendgrid_key: str = field(default_factory=lambda: f"SG.{secrets.token_urlsafe(24)}", repr=False)
    sendgrid_event_key: ec.EllipticCurvePrivateKey = field(default_factory=_curve_key, repr=False)
    sendgrid_inbound_key: ec.EllipticCurvePrivateKey = field(default_factory=_curve_key, repr=False)
    vapid_key: ec.EllipticCurvePrivateKey = field(default_factory=_curve_key, repr=False)
    service_key: rsa.RSAPrivateKey = field(default_factory=_service_key, repr=False)
    smtp_user: str = "shop"
    smtp_password: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    sender: str = "shop@shop.example"
    reply_to: str = "replies@answers.shop.example"
    project: str = "fake-project"

    def channel_settings(self, url: str, smtp_host: str, smtp_port: int) -> dict[str, dict[str, Any]]:
        """Provider → settings that lead an adapter to the fakes at `url`."""
        letter = {"sender": self.sender, "sender_name": "The Shop", "reply_to": self.reply_to}
        raw = self.vapid_key.private_numbers().private_value.to_bytes(32, "big")
        return {
            "sendgrid": {
                **letter,
                "api_key": self.sendgrid_key,
                "event_public_keys": [_public_der(self.sendgrid_event_key)],
                "inbound_public_keys": [_public_der(self.sendgrid_inbound_key)],
                "base_url": url,
            },
            "smtp": {
                **letter,
                "host": smtp_host,
                "port": smtp_port,
                "security": "none",
                "username": self.smtp_user,
                "password": self.smtp_password,
            },
            "twilio": {
                "account_sid": self.twilio_sid,
                "auth_token": self.twilio_token,
                "sender": self.twilio_number,
                "base_url": url,
            },
            "webpush": {
                "private_key": base64url(raw),
                "subject": "mailto:operator@shop.example",
                "allowed_hosts": [url.partition("://")[2]],
            },
            "fcm": {"service_account": json.dumps(self.service_account(url)), "base_url": url},
        }

    def service_account(self, url: str) -> dict[str, str]:
        """A key file as Google writes it, with the fakes' token endpoint."""
        key = self.service_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "fake",
            "private_key": key.decode(),
            "client_email": f"sender@{self.project}.iam.gserviceaccount.example",
            "client_id": "1",
            "token_uri": f"{url}/oauth2/token",
        }


def _public_der(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()
