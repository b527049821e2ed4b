"""What an HTTP answer, or its absence, says about a send. Each adapter lays its provider's own rules over this table.

The question is always the same: can the message have gone out? `NOT_SENT` is said only where it cannot.
"""

from __future__ import annotations

import socket
import ssl
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx
import requests
import urllib3.exceptions

from orchestrator.contracts.receipts import Next, Outcome, Receipt


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an answer is read: a row of a classification table."""

    outcome: Outcome
    next: Next = Next.FAIL
    code: str = "ok"

    def receipt(self, *, provider_id: str = "", retry_after: float | None = None, detail: str = "") -> Receipt:
        return Receipt(self.outcome, provider_id, self.next, self.code, retry_after, detail)


SENT = Verdict(Outcome.SENT)
#: Nothing left the house: name not found, refused, no TLS.
CONNECT = Verdict(Outcome.NOT_SENT, Next.RETRY, "connect")
#: The request was written, or may have been, and no answer came.
TIMEOUT = Verdict(Outcome.UNKNOWN, code="timeout")
RESET = Verdict(Outcome.UNKNOWN, code="reset")
#: The base URL or another setting makes a call impossible.
MISCONFIGURED = Verdict(Outcome.NOT_SENT, Next.PARK, "misconfigured")
#: Something no table knows, after the call began.
UNEXPECTED = Verdict(Outcome.UNKNOWN, code="unexpected")

#: The common reading of HTTP statuses. A status that is not here is read by its hundred, see `of_status`.
HTTP: Mapping[int, Verdict] = {
    401: Verdict(Outcome.NOT_SENT, Next.PARK, "auth"),
    402: Verdict(Outcome.NOT_SENT, Next.PARK, "account"),
    403: Verdict(Outcome.NOT_SENT, Next.PARK, "auth"),
    # The server says that it never got the whole request.
    408: Verdict(Outcome.NOT_SENT, Next.RETRY, "http_408"),
    413: Verdict(Outcome.NOT_SENT, Next.FAIL, "too_large"),
    429: Verdict(Outcome.NOT_SENT, Next.RETRY, "rate_limited"),
}


def of_status(status: int, table: Mapping[int, Verdict] = HTTP) -> Verdict:
    """The verdict on an HTTP status: the table's row, else 2xx sent, 3xx parked, 4xx failed, anything else unknown."""
    if status in table:
        return table[status]
    code = f"http_{status}"
    if 200 <= status < 300:
        return SENT
    if 300 <= status < 400:
        # No provider redirects a send: the base URL is wrong.
        return Verdict(Outcome.NOT_SENT, Next.PARK, code)
    if 400 <= status < 500:
        return Verdict(Outcome.NOT_SENT, Next.FAIL, code)
    # A gateway's 502 or 504 may hide a send that went through.
    return Verdict(Outcome.UNKNOWN, code=code)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the provider asks us to wait, from `Retry-After` (seconds or a date) or SendGrid's reset time; else None.

    `now` in seconds since 1970.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    value = lowered.get("retry-after", "").strip()
    if value:
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    reset = lowered.get("x-ratelimit-reset", "").strip()
    return max(0.0, float(reset) - now) if reset.isdigit() else None


def of_error(error: BaseException) -> Verdict:
    """The verdict on an exception of requests, urllib or httpx."""
    if isinstance(error, requests.RequestException):
        return _of_requests(error)
    if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
        return _of_httpx(error)
    if isinstance(error, urllib.error.URLError):
        return _of_urllib(error)
    if isinstance(error, TimeoutError):
        return TIMEOUT
    if isinstance(error, OSError):
        return RESET
    return UNEXPECTED


def _of_requests(error: requests.RequestException) -> Verdict:
    if isinstance(error, requests.ConnectTimeout):
        return CONNECT
    if isinstance(error, requests.Timeout):
        return TIMEOUT
    if isinstance(error, requests.TooManyRedirects | ValueError):
        return MISCONFIGURED
    # NewConnectionError covers refused connections and unknown names.
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) or _before_tls(cause) for cause in _causes(error)):
        return CONNECT
    return RESET


def _of_httpx(error: httpx.HTTPError | httpx.InvalidURL) -> Verdict:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return CONNECT
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return MISCONFIGURED
    return TIMEOUT if isinstance(error, httpx.TimeoutException) else RESET


def _of_urllib(error: urllib.error.URLError) -> Verdict:
    # urllib wraps only what happens until the last byte of the request is written; what comes later it lets through as
    # it is. So a timeout in here means that no complete request exists on the other side. A reset is left in doubt.
    reason = error.reason
    if isinstance(reason, socket.gaierror | ConnectionRefusedError | TimeoutError) or _before_tls(reason):
        return CONNECT
    if isinstance(reason, ConnectionError | ssl.SSLError):
        return RESET
    return CONNECT if isinstance(reason, OSError) else MISCONFIGURED


#: TLS faults that can only happen while hands are shaken; any other TLS error leaves the outcome open.
_HANDSHAKE = ("HANDSHAKE_FAILURE", "WRONG_VERSION_NUMBER", "UNKNOWN_CA", "PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


def _before_tls(error: object) -> bool:
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    return isinstance(error, ssl.SSLError) and any(word in (error.reason or "") for word in _HANDSHAKE)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything wrapped in it: requests and urllib3 keep the cause in `args` or `reason`."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        one = queue.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
