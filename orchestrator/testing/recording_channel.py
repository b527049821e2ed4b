"""A channel that sends nothing and remembers everything: for tests of journeys and of whatever calls a channel.

channel = RecordingChannel(channel="sms")
channel.answer_with(Receipt(Outcome.NOT_SENT, next=Next.RETRY, code="rate_limited", retry_after=2))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import BaseModel

from orchestrator.contracts.messages import ADDRESS_OF_CHANNEL, OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Outcome, Receipt

Answer = Receipt | Exception | Callable[[OutgoingMessage], Awaitable[Receipt]]


class RecordingChannel:
    """Takes every message and answers SENT, unless told otherwise. `sent` holds all attempts in order.

    `name` is the provider's name, `channel` the channel it serves.
    """

    # Class variables in the port; here each instance may serve another channel.
    name: Any
    channel: Any
    address: Any

    class Settings(BaseModel):
        """Nothing to set."""

    def __init__(self, *, name: str = "recording", channel: str = "email") -> None:
        self.name = name
        self.channel = channel
        self.address = ADDRESS_OF_CHANNEL.get(channel, channel)
        self.sent: list[OutgoingMessage] = []
        self._answers: deque[Answer] = deque()

    def answer_with(self, *answers: Answer) -> None:
        """Answers to the next attempts: a receipt, an exception to raise, or a function of the message."""
        self._answers.extend(answers)

    def attempts(self, send_id: str) -> int:
        """How often a send was attempted."""
        return sum(message.send_id == send_id for message in self.sent)

    def build(self, message: OutgoingMessage) -> OutgoingMessage:
        return message

    async def send(self, request: OutgoingMessage) -> Receipt:
        self.sent.append(request)
        answer = self._answers.popleft() if self._answers else None
        if answer is None:
            return Receipt(Outcome.SENT, provider_id=f"recorded-{len(self.sent)}")
        if isinstance(answer, Receipt):
            return answer
        if isinstance(answer, Exception):
            raise answer
        return await answer(request)

    def verify(self, callback: Callback) -> None:
        """Accepts every callback: this provider is in the same process."""

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return ()

    async def close(self) -> None:
        """Nothing to close."""
