"""The laws every channel adapter keeps, ours and anybody's. Subclass in a test file and say how yours is made:

    class TestMine(ChannelLaws):
        def make(self, host, port, timeout):
            return Mine(MineSettings(url=f"http://{host}:{port}", timeout=timeout))

        def message(self):
            return OutgoingMessage("s1", "sms", "+4930123456", Content("Hello"))

        def signed(self):
            return Callback("POST", url, headers, body)   # signed with the secret that `make` uses

Needs pytest, and no plugin of it.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused, WebhookRefused
from orchestrator.ports import Channel

#: Addresses nobody should have, of every shape that JSON can bring.
HOSTILE_ADDRESSES: Sequence[Any] = (
    None, 0, True, "", " ", "\x00", "a\r\nBcc: b@c.example", "a@b.example\r\nX: y", "@", "a@", "+", "+0123", [], {},
    {"endpoint": 5}, {"endpoint": "http://169.254.169.254/", "keys": {}}, "x" * 100_000,
)  # fmt: skip

GARBAGE_BODIES = (
    b"",
    b"\x00",
    b"\xff\xfe\xfd",
    b"null",
    b"[]",
    b"[null, 1, [], {}]",
    b"{}",
    b"{",
    b"a=b&a=c",
    b"%ZZ=%",
)
CONTENT_TYPES = (
    "",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "a/b\r\n",
)


class ChannelLaws:
    """See the module's text. A law that does not apply is switched off by what the subclass leaves out."""

    #: False for adapters that call nobody: `make` then ignores its arguments.
    network: ClassVar[bool] = True
    #: Seconds; how long an attempt may take in the laws about silence.
    timeout: ClassVar[float] = 1.0
    #: The headers a signature lives in, each byte of which is flipped.
    signature_headers: ClassVar[Sequence[str]] = ()
    #: Whether the signature covers the address as well as the body.
    signs_url: ClassVar[bool] = False

    def make(self, host: str, port: int, timeout: float) -> Channel[Any]:
        """An adapter whose provider lives at this address, with this total timeout in seconds."""
        raise NotImplementedError

    def message(self) -> OutgoingMessage:
        """A message the adapter can send."""
        raise NotImplementedError

    def signed(self) -> Callback | None:
        """A callback as the provider signs it; None when it makes none."""
        return None

    def unknown_word(self) -> Callback | None:
        """A callback that says something the adapter has never heard of; its signature is not looked at."""
        return None

    # What it is.

    def test_it_says_what_it_is(self) -> None:
        channel = self._make()
        for word in (channel.name, channel.channel, channel.address):
            assert word
            assert word == word.strip().lower()
        assert issubclass(channel.Settings, BaseModel)

    # build

    def test_build_is_pure(self) -> None:
        channel, message = self._make(), self.message()
        before = copy.deepcopy(message)
        assert channel.build(message) == channel.build(message)
        assert message == before

    def test_build_refuses_hostile_addresses_in_its_own_words(self) -> None:
        channel = self._make()
        for address in HOSTILE_ADDRESSES:
            refused = self._refusal(channel, replace(self.message(), to=address))
            if refused is not None:
                assert refused.code
                shown = str(address)
                assert len(shown) < 4 or shown[:50] not in str(refused), "an address has no place in a log"

    def test_build_refuses_line_breaks_in_headers_or_carries_none(self) -> None:
        channel = self._make()
        message = self.message()
        hostile = replace(message, content=replace(message.content, subject="Hello\r\nBcc: all@shop.example"))
        if self._refusal(channel, hostile) is None:
            assert "\r\nBcc" not in str(channel.build(hostile))

    # send

    def test_nobody_there_is_not_sent(self) -> None:
        if self.network:
            receipt = self._send_to(None)
            assert (receipt.outcome, receipt.next) == (Outcome.NOT_SENT, Next.RETRY)

    def test_silence_ends_in_time(self) -> None:
        if self.network:
            began = time.monotonic()
            receipt = self._send_to(_silent)
            assert receipt.outcome is not Outcome.SENT
            assert time.monotonic() - began < self.timeout + 1.0

    def test_a_slow_drip_ends_in_time(self) -> None:
        if self.network:
            began = time.monotonic()
            receipt = self._send_to(_dripping)
            assert receipt.outcome is not Outcome.SENT
            assert time.monotonic() - began < self.timeout + 1.0

    def test_a_closed_connection_never_raises(self) -> None:
        if self.network:
            assert self._send_to(_closing).outcome is not Outcome.SENT

    def test_garbage_never_raises(self) -> None:
        if self.network:
            assert self._send_to(_garbage).outcome is not Outcome.SENT

    # verify

    def test_verify_refuses_what_is_unsigned(self) -> None:
        channel, signed = self._make(), self.signed()
        callback = signed or Callback("POST", f"https://hooks.example/v1/webhooks/{channel.name}", {}, b"{}")
        bare = {"content-type": callback.headers.get("content-type", "application/json")}
        for headers in ({}, bare, bare | dict.fromkeys(self.signature_headers, "")):
            with pytest.raises(WebhookRefused):
                channel.verify(replace(callback, headers=headers))

    def test_verify_takes_what_is_signed(self) -> None:
        signed = self.signed()
        if signed is not None:
            self._make().verify(signed)

    def test_verify_refuses_every_flipped_byte(self) -> None:
        channel, signed = self._make(), self.signed()
        if signed is not None:
            for flipped in flips(signed, self.signature_headers, url=self.signs_url):
                with pytest.raises(WebhookRefused):
                    channel.verify(flipped)

    # parse

    def test_parse_keeps_unknown_words(self) -> None:
        callback = self.unknown_word()
        if callback is not None:
            (feedback,) = self._make().parse(callback)
            assert feedback.kind is FeedbackKind.UNKNOWN
            assert feedback.id
            assert feedback.raw

    def test_parse_is_pure_and_repeats_its_ids(self) -> None:
        channel = self._make()
        for callback in (self.signed(), self.unknown_word()):
            if callback is not None:
                assert list(channel.parse(callback)) == list(channel.parse(callback))

    def test_parse_never_raises(self) -> None:
        channel = self._make()
        signed = self.signed()
        url = signed.url if signed is not None else f"https://hooks.example/v1/webhooks/{channel.name}"
        for address in (url, f"https://hooks.example/v1/webhooks/{channel.name}/inbound"):
            for kind in CONTENT_TYPES:
                for body in GARBAGE_BODIES:
                    for feedback in channel.parse(Callback("POST", address, {"content-type": kind}, body)):
                        assert isinstance(feedback, Feedback)

    @staticmethod
    def _refusal(channel: Channel[Any], message: OutgoingMessage) -> MessageRefused | None:
        """How `build` refuses a message; None when it takes it. Any other error is the adapter's fault."""
        try:
            channel.build(message)
        except MessageRefused as refused:
            return refused
        return None

    def _make(self) -> Channel[Any]:
        return self.make("127.0.0.1", 9, self.timeout)

    def _send_to(self, behaviour: _Behaviour | None) -> Receipt:
        """One attempt against a server that behaves so; None: nobody listens."""

        writers: list[asyncio.StreamWriter] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await (behaviour or _closing)(reader, writer)

        async def attempt() -> Receipt:
            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            if behaviour is None:
                server.close()
            channel = self.make("127.0.0.1", port, self.timeout)
            try:
                return await channel.send(channel.build(self.message()))
            finally:
                await channel.close()
                server.close()
                for writer in writers:
                    writer.transport.abort()
                # One turn of the loop, in which the connections are let go.
                await asyncio.sleep(0)

        return asyncio.run(attempt())


def flips(callback: Callback, headers: Sequence[str], *, url: bool = False) -> Iterator[Callback]:
    """The callback with one byte changed, for each byte of the body, of the named headers, and of the address."""
    for index in range(len(callback.body)):
        body = bytearray(callback.body)
        body[index] ^= 1
        yield replace(callback, body=bytes(body))
    for name in headers:
        for text in _flipped(callback.headers[name]):
            yield replace(callback, headers={**callback.headers, name: text})
    if url:
        for text in _flipped(callback.url):
            yield replace(callback, url=text)


def _flipped(text: str) -> Iterator[str]:
    for index, character in enumerate(text):
        yield f"{text[:index]}{chr(ord(character) ^ 1)}{text[index + 1 :]}"


_Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _until_gone(reader, writer)


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff garbage \r\n\r\n")
    writer.close()


async def _dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, each in time, the whole never: what a timeout per read does not notice."""
    reading = asyncio.ensure_future(_until_gone(reader, writer))
    while not reading.done():
        writer.write(b"H")
        await asyncio.wait({reading}, timeout=0.1)
