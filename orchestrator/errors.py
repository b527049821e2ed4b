"""Every error this product raises on purpose, in one tree.

OrchestratorError
├── BadEvent                 publisher   an event breaks the contract: field, code, fix
├── JourneysInvalid          marketer    a set of findings, each with file:line:column
├── TemplateFailed           marketer    a message does not render for one customer
├── MessageRefused           publisher   a provider could never take this message: bad address, forbidden characters
├── SettingsInvalid          operator    a setting is missing or wrong
├── DependencyUnreachable    operator    Kafka, Redis or a provider does not answer; retrying helps
├── PartitionCountChanged    operator    the log has another number of partitions than the state
├── PositionTooOld           operator    the stored offset is older than the log's retention
├── LogReplaced              operator    the log ends before the stored offset: it is another log, or lost records
├── TooManyPoison            us          so many bad records in a row that the deploy is the suspect
├── Fenced                   nobody      another owner took the partition: stop writing, drop the cache
└── WebhookRefused           provider    a callback's signature does not fit

Each says whose fault it is, what to do, and whether trying again helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Fault = Literal["publisher", "marketer", "operator", "provider", "us", "nobody"]


class OrchestratorError(Exception):
    """Base of the tree. `fix` is a sentence that tells what to do; `retry` whether the same call may succeed later."""

    fault: ClassVar[Fault] = "us"
    retry: ClassVar[bool] = False
    #: The exit code of a command that ends with this error.
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}" if self.fix else self.message


@dataclass(frozen=True, slots=True)
class EventFault:
    """One fault of an event. `field` is a path such as `data.products[0].price`, `code` one stable word."""

    field: str
    code: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.field}: {self.message}" if self.field else self.message
        return f"{text}; {self.fix}" if self.fix else text


class BadEvent(OrchestratorError):
    """An event breaks the contract. `field` is a dotted path such as `data.products[0].price`; `code` one stable word.

    `faults` holds every fault of the event; `field`, `code`, `message` and `fix` repeat the first.
    """

    fault = "publisher"

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        code: str = "invalid",
        fix: str = "",
        faults: tuple[EventFault, ...] = (),
    ) -> None:
        super().__init__(message, fix=fix)
        self.field = field
        self.code = code
        self.faults = faults or (EventFault(field, code, message, fix),)

    @classmethod
    def of(cls, faults: Sequence[EventFault]) -> BadEvent:
        """The error of one or more faults; the first speaks for all."""
        first = faults[0]
        return cls(first.message, field=first.field, code=first.code, fix=first.fix, faults=tuple(faults))


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault in a journey, message or policy file. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    fix: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.fix})" if self.fix else text


class JourneysInvalid(OrchestratorError):
    """Files do not load. All findings come at once."""

    fault = "marketer"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class TemplateFailed(OrchestratorError):
    """A message does not render for one customer; the send ends as failed, the next customer is not affected."""

    fault = "marketer"


class MessageRefused(OrchestratorError):
    """An adapter's `build` cannot make a request of a message: the address or the content can never be sent.

    The send ends as failed; the next one is not affected. `code` is one stable word, as in `Receipt.code`:
    `invalid_address`, `invalid_content`, `too_large`, `invalid_extra`, `not_allowed`. The text never holds the address
    or the content.
    """

    fault = "publisher"

    def __init__(self, message: str, *, code: str, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


class SettingsInvalid(OrchestratorError):
    """A setting is missing or wrong."""

    fault = "operator"
    exit_code = 2


class DependencyUnreachable(OrchestratorError):
    """Kafka, Redis or a provider does not answer."""

    fault = "operator"
    retry = True
    exit_code = 3


class PartitionCountChanged(OrchestratorError):
    """The log has another number of partitions than the state was written with: customers would move unseen."""

    fault = "operator"


class PositionTooOld(OrchestratorError):
    """The stored offset is older than what the log still holds: going on would skip events silently."""

    fault = "operator"


class LogReplaced(OrchestratorError):
    """The log ends before the stored offset: it was created anew, or lost acknowledged records."""

    fault = "operator"


class TooManyPoison(OrchestratorError):
    """So many records in a row could not be applied that a bad deploy is likelier than bad data."""

    fault = "us"


class Fenced(OrchestratorError):
    """Another owner took the partition, or a commit of ours already landed. Nothing was written."""

    fault = "nobody"


class WebhookRefused(OrchestratorError):
    """A provider callback is unsigned, forged, or not for us."""

    fault = "provider"
