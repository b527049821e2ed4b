"""Messages printed to the terminal, for writing journeys without any provider. One class per channel, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Outcome, Receipt
from orchestrator_channels import _building


class ConsoleSettings(BaseModel):
    """Settings of the console providers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=100, ge=40, description="Characters of the text that are shown.")


class Console:
    """The channel adapter `console`: e-mail, printed."""

    name: ClassVar[str] = "console"
    channel: ClassVar[str] = "email"
    address: ClassVar[str] = "email"
    Settings: ClassVar[type[BaseModel]] = ConsoleSettings

    def __init__(self, settings: ConsoleSettings) -> None:
        self._settings = settings

    def build(self, message: OutgoingMessage) -> str:
        content = message.content
        words = " ".join(f"{content.subject or content.title} {content.text}".split())
        shown = words if len(words) <= self._settings.width else f"{words[: self._settings.width - 1]}…"
        # What a customer typed may hold terminal commands.
        return "".join(
            c if c.isprintable() else "?" for c in f"{self.channel} → {message.to} [{message.send_id}] {shown}"
        )

    async def send(self, request: str) -> Receipt:
        # A closed output means that nobody reads it.
        with suppress(OSError, ValueError):
            print(request, flush=True)
        return Receipt(Outcome.SENT)

    def verify(self, callback: Callback) -> None:
        raise _building.no_callbacks(self.name)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return ()

    async def close(self) -> None:
        """Nothing to close."""


class ConsoleSms(Console):
    """The channel adapter `console_sms`."""

    name = "console_sms"
    channel = "sms"
    address = "phone"


class ConsolePush(Console):
    """The channel adapter `console_push`."""

    name = "console_push"
    channel = "push"
    address = "push"
