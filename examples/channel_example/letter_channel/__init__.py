"""Letters on paper: one file per letter in a folder; the print shop calls back when it has posted one."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, FeedbackKind, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused, WebhookRefused

#: The print shop's words, in ours. Any other word becomes UNKNOWN.
WORDS = {
    "printed": FeedbackKind.SENT,
    "posted": FeedbackKind.DELIVERED,
    "returned": FeedbackKind.BOUNCED,
}


class LetterSettings(BaseModel):
    """Settings of the provider `letter`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path = Field(description="Where letters are written.")
    secrets: list[SecretStr] = Field(default=[], description="Secrets the print shop signs with; two allow a rotation.")


@dataclass(frozen=True, slots=True)
class Request:
    """One letter, ready to be written."""

    file: str
    text: str


class Letter:
    """The channel adapter `letter`."""

    name: ClassVar[str] = "letter"
    channel: ClassVar[str] = "letter"
    address: ClassVar[str] = "postal"
    Settings: ClassVar[type[BaseModel]] = LetterSettings

    def __init__(self, settings: LetterSettings) -> None:
        self._settings = settings

    def build(self, message: OutgoingMessage) -> Request:
        """Pure: the same message gives the same letter, and nothing is touched."""
        to = message.to
        if not isinstance(to, Mapping) or not all(isinstance(to.get(line), str) for line in ("name", "street", "city")):
            raise MessageRefused(
                "not a postal address", code="invalid_address", fix="store name, street and city as addresses.postal"
            )
        lines = [to["name"], to["street"], to["city"], "", message.content.subject, "", message.content.text, ""]
        # The file's name is made of the send's id: a letter that is written twice is still one letter.
        return Request(f"{sha256(message.send_id.encode()).hexdigest()}.txt", "\n".join(lines))

    async def send(self, request: Request) -> Receipt:
        """The only function that does anything. It never raises: it says how the attempt ended."""
        try:
            await asyncio.to_thread(self._write, request)
        except OSError as error:
            return Receipt(Outcome.NOT_SENT, next=Next.RETRY, code="disk", detail=type(error).__name__)
        return Receipt(Outcome.SENT, provider_id=request.file)

    def _write(self, request: Request) -> None:
        half = self._settings.folder / f"{request.file}.part"
        half.write_text(request.text, encoding="utf-8")
        half.replace(self._settings.folder / request.file)

    def verify(self, callback: Callback) -> None:
        given = callback.headers.get("x-letter-signature", "")
        fits = [
            hmac.compare_digest(
                hmac.new(secret.get_secret_value().encode(), callback.body, sha256).hexdigest().encode(), given.encode()
            )
            for secret in self._settings.secrets
        ]
        if not any(fits):
            raise WebhookRefused("the print shop's signature does not fit", fix="compare the secret")

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        try:
            report = json.loads(callback.body)
        except ValueError:
            report = callback.body.decode("utf-8", "replace")
        fields = report if isinstance(report, dict) else {"body": report}
        word, send_id = str(fields.get("word", "")), str(fields.get("send_id", ""))
        kind = WORDS.get(word, FeedbackKind.UNKNOWN)
        return [Feedback(kind, id=f"{send_id}:{word}", send_id=send_id, permanent=word == "returned", raw=fields)]

    async def close(self) -> None:
        """Nothing is kept open."""
