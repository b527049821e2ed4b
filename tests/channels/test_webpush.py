"""The push as a browser and its push service see it, without the library that made it."""

from __future__ import annotations

import json
import time

import http_ece
import jwt
from channel_tools import Channels, Shop, Write
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from orchestrator.testing.fakes import ProviderFakes
from orchestrator.testing.fakes.accounts import public_point
from orchestrator.testing.fakes.webpush import Browser


def derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


def decrypt(body: bytes, browser: Browser) -> bytes:
    """RFC 8291 and RFC 8188 by hand: one record of aes128gcm."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    sender, record = body[21 : 21 + length], body[21 + length :]
    assert len(record) <= size
    shared = browser.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    key = derive(browser.auth, shared, b"WebPush: info\x00" + public_point(browser.key) + sender, 32)
    content_key = derive(salt, key, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = derive(salt, key, b"Content-Encoding: nonce\x00", 12)
    plain = AESGCM(content_key).decrypt(nonce, record, None).rstrip(b"\x00")
    assert plain.endswith(b"\x02"), "the last record ends with this mark"
    return plain[:-1]


async def test_the_browser_reads_it(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    subscription = fakes.subscribe()
    browser = fakes.webpush.browser(subscription)
    channel = channels.make("webpush", allowed_hosts=[shop.url.removeprefix("http://")])
    to = {**subscription, "endpoint": f"{shop.url}/push/abc"}
    await channel.send(channel.build(write(channel, to=to, ttl=3_600)))
    callback = await shop.next()
    expected = {
        "send_id": "01JABC",
        "title": "Coffee",
        "body": "Your coffee, überraschend fresh.",
        "link": "https://shop.example/coffee",
    }
    assert json.loads(decrypt(callback.body, browser)) == expected
    by_library = http_ece.decrypt(callback.body, private_key=browser.key, auth_secret=browser.auth, version="aes128gcm")
    assert json.loads(by_library) == expected
    # Nothing readable on the way.
    assert b"01JABC" not in callback.body
    assert callback.headers["content-encoding"] == "aes128gcm"
    assert callback.headers["ttl"] == "3600"
    assert callback.headers["urgency"] == "normal"
    assert len(callback.headers["topic"]) == 32


async def test_the_push_service_knows_us(channels: Channels, fakes: ProviderFakes, write: Write, shop: Shop) -> None:
    channel = channels.make("webpush", allowed_hosts=[shop.url.removeprefix("http://")])
    to = {**fakes.subscribe(), "endpoint": f"{shop.url}/push/abc"}
    await channel.send(channel.build(write(channel, to=to)))
    authorization = (await shop.next()).headers["authorization"]
    scheme, _, parameters = authorization.partition(" ")
    given = dict(part.strip().partition("=")[::2] for part in parameters.split(","))
    assert scheme == "vapid"
    key = channel._vapid.public_key
    claims = jwt.decode(given["t"], key, algorithms=["ES256"], audience=shop.url)
    assert claims["sub"] == "mailto:operator@shop.example"
    # RFC 8292: no claim may last longer than a day.
    assert 0 < claims["exp"] - time.time() < 24 * 3_600


async def test_a_repeat_has_the_same_topic_and_another_send_has_not(channels: Channels, write: Write) -> None:
    channel = channels["webpush"]
    topics = [dict(channel.build(write(channel, send_id)).headers)["Topic"] for send_id in ("a", "a", "b")]
    assert topics[0] == topics[1] != topics[2]
