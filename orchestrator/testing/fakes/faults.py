"""Rules by which the fakes misbehave. The first rule that fits is used and counted down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import TypeAdapter

#: The token endpoint of FCM, which is called beside the sends.
LOGIN = "fcm-login"
Kind = Literal["refuse", "drop", "slow", "duplicate"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule.

    - `refuse`: answer `status` (429, 500, 400 …; for SMTP a number such as 451 or 550), with `retry_after` and the
      provider's own `code` (Twilio `21610`, FCM `UNREGISTERED`, SMTP `5.1.1`). Accepted only if `accept` is true:
      a gateway's 500 that hides a message which went out.
    - `drop`: close the connection without an answer, after accepting, unless `accept` is false.
    - `slow`: answer after `delay` seconds; accepted before the pause, unless `accept` is false.
    - `duplicate`: make each of the next callbacks `copies` times.
    """

    kind: Kind
    #: `twilio`, `sendgrid`, `fcm`, `webpush`, `smtp`; empty: every one. `fcm-login` is Google's token endpoint, which
    #: an empty name does not mean.
    provider: str = ""
    #: A part of the address; empty: every one.
    match: str = ""
    #: How many requests it meets; None: all.
    times: int | None = 1
    status: int = 500
    code: str = ""
    #: Seconds, sent as `Retry-After`.
    retry_after: int | None = None
    #: Seconds.
    delay: float = 0.0
    accept: bool | None = None
    copies: int = 2

    @property
    def accepts(self) -> bool:
        return self.kind != "refuse" if self.accept is None else self.accept

    def meets(self, provider: str, address: str) -> bool:
        every = not self.provider and provider != LOGIN
        return (every or self.provider == provider) and self.match in address


#: Reads a rule that came as JSON.
FAULT = TypeAdapter(Fault)


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._rules.append(fault)

    def clear(self) -> None:
        self._rules.clear()

    def take(self, provider: str, address: str) -> Fault | None:
        """The rule for this request, counted down."""
        return self._take(provider, address, callbacks=False)

    def copies(self, provider: str, address: str) -> int:
        """How many times a callback is to be made."""
        fault = self._take(provider, address, callbacks=True)
        return fault.copies if fault is not None else 1

    def _take(self, provider: str, address: str, *, callbacks: bool) -> Fault | None:
        for index, rule in enumerate(self._rules):
            if (rule.kind == "duplicate") is callbacks and rule.meets(provider, address):
                if rule.times is not None:
                    if rule.times > 1:
                        self._rules[index] = replace(rule, times=rule.times - 1)
                    else:
                        del self._rules[index]
                return rule
        return None
