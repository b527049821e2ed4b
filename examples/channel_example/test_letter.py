"""The adapter under the laws of all adapters. Run with `pytest examples/channel_example`."""

from __future__ import annotations

import asyncio
import hmac
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from letter_channel import Letter, LetterSettings

from orchestrator.contracts.messages import Content, OutgoingMessage
from orchestrator.contracts.receipts import Callback, Outcome
from orchestrator.testing.channel_laws import ChannelLaws


class TestLetter(ChannelLaws):
    network = False
    signature_headers = ("x-letter-signature",)

    @pytest.fixture(autouse=True)
    def _folder(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            yield

    def make(self, host: str, port: int, timeout: float) -> Letter:
        return Letter(LetterSettings(folder=self.folder, secrets=["print-shop"]))

    def message(self) -> OutgoingMessage:
        to = {"name": "Anna", "street": "Weg 1", "city": "10115 Berlin"}
        return OutgoingMessage("s1", "letter", to, Content("Your coffee", subject="Coffee"))

    def signed(self) -> Callback:
        return self._signed(b'{"send_id": "s1", "word": "posted"}')

    def unknown_word(self) -> Callback:
        return self._signed(b'{"send_id": "s1", "word": "eaten by the dog"}')

    def _signed(self, body: bytes) -> Callback:
        signature = hmac.new(b"print-shop", body, sha256).hexdigest()
        return Callback("POST", "https://h.example/v1/webhooks/letter", {"x-letter-signature": signature}, body)

    def test_a_letter_is_written_once(self) -> None:
        letter = self._make()
        for _ in range(2):
            receipt = asyncio.run(letter.send(letter.build(self.message())))
            assert receipt.outcome is Outcome.SENT
        (file,) = self.folder.iterdir()
        assert file.read_text().startswith("Anna\nWeg 1\n10115 Berlin\n")
