"""Checks of provider signatures. Each takes every secret in use (rotation), compares in constant time, and refuses
what is unsigned. A check returns nothing or raises WebhookRefused, which never holds a secret or the body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from twilio.request_validator import (
    HMAC_SHA1,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    add_port,
    get_signature_algorithm,
    remove_port,
)

from orchestrator.contracts.receipts import Callback
from orchestrator.errors import WebhookRefused

#: A clock of a provider may run ahead of ours by this many seconds.
SKEW = 300.0
#: More form fields than any provider sends.
MAX_FIELDS = 1_000


def public_key(base64_der: str) -> ec.EllipticCurvePublicKey:
    """A P-256 key as SendGrid shows it (base64 of DER). Raises ValueError."""
    try:
        key = load_der_public_key(base64.b64decode(base64_der.strip(), validate=True))
    except (ValueError, binascii.Error):
        raise ValueError("is not a public key in base64 as the provider shows it") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("is not an elliptic curve key")
    return key


def check_url_secret(callback: Callback, secrets: Sequence[str]) -> None:
    """A shared secret in the address, `?secret=…`: for callers that cannot sign."""
    (given, *_) = parse_qs(urlsplit(callback.url).query).get("secret", [""])
    # Every secret is compared, so the time does not tell which one fits.
    fits = [hmac.compare_digest(given.encode(), secret.encode()) for secret in secrets if secret]
    if not given or not any(fits):
        raise WebhookRefused("the callback carries no secret of ours", fix="compare the URL given to the provider")


def check_ecdsa(callback: Callback, keys: Iterable[ec.EllipticCurvePublicKey], *, now: float, max_age: float) -> None:
    """SendGrid: ECDSA P-256 with SHA-256 over the timestamp header and the raw body.

    `now` in seconds since 1970, `max_age` in seconds.
    """
    signature = callback.headers.get("x-twilio-email-event-webhook-signature", "")
    timestamp = callback.headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not signature or not timestamp:
        raise WebhookRefused("the callback is not signed", fix="switch on signature verification at SendGrid")
    try:
        signed = base64.b64decode(signature, validate=True)
    except (ValueError, binascii.Error):
        raise WebhookRefused("the signature is not base64") from None
    if base64.b64encode(signed).decode() != signature:
        # The unused bits of the last character would otherwise allow several spellings of one signature.
        raise WebhookRefused("the signature is not base64 in its one spelling")
    if not any(_ecdsa_fits(key, signed, timestamp.encode() + callback.body) for key in keys):
        raise WebhookRefused("the signature does not fit", fix="compare the verification key with SendGrid's settings")
    # Only now, since an unsigned time is anyone's word.
    age = now - float(timestamp) if timestamp.isascii() and timestamp.isdigit() else None
    if age is None or age > max_age or age < -SKEW:
        raise WebhookRefused("the signature is too old or from the future", fix="check this machine's clock")


def _ecdsa_fits(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


class Form(dict[str, list[str]]):
    """Decoded form fields in the shape Twilio's validator reads."""

    def getlist(self, name: str) -> list[str]:
        return self.get(name, [])


def form(callback: Callback) -> Form:
    """The fields of a form body, empty values kept. Raises WebhookRefused when there are absurdly many."""
    fields = Form()
    try:
        pairs = parse_qsl(callback.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise WebhookRefused(f"the callback has more than {MAX_FIELDS} fields") from None
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def is_form(callback: Callback) -> bool:
    return callback.headers.get("content-type", "").partition(";")[0].strip().lower() == (
        "application/x-www-form-urlencoded"
    )


def check_twilio(callback: Callback, tokens: Sequence[str]) -> None:
    """Twilio: HMAC over the public URL and the sorted form fields, or over a URL that carries the body's hash.

    Twilio signs no time, so a repeated callback is harmless only because its event id repeats too.
    """
    signature = callback.headers.get(SIGNATURE_HEADER.lower(), "")
    if not signature:
        raise WebhookRefused("the callback is not signed", fix="only Twilio may call this address")
    algorithm = get_signature_algorithm(callback.headers.get(SIGNATURE_SETTINGS_HEADER.lower()))
    if is_form(callback) or not callback.body:
        fields = form(callback)
    else:
        # The signature covers the URL alone, so the URL must carry the body's hash.
        (given, *_) = parse_qs(urlsplit(callback.url).query).get("bodySHA256", [""])
        if not hmac.compare_digest(given.encode(), hashlib.sha256(callback.body).hexdigest().encode()):
            raise WebhookRefused("the body does not fit the hash in the address")
        fields = Form()
    url = urlsplit(callback.url)
    fits: list[bool] = []
    for token in tokens:
        validator = RequestValidator(token)
        # Twilio is not consistent about naming the default port.
        for spelling in (remove_port(url), add_port(url)):
            try:
                expected = validator.compute_signature(spelling, fields, algorithm)
            except ValueError:
                raise WebhookRefused("the signature uses an unknown algorithm", fix="update this product") from None
            fits.append(hmac.compare_digest(expected.encode(), signature.encode()))
    if not any(fits):
        raise WebhookRefused(
            f"the signature ({algorithm or HMAC_SHA1}) does not fit",
            fix="compare the auth token, and public_url with the address given to Twilio",
        )
