"""Push to apps through Firebase Cloud Messaging, HTTP v1, with google-auth for the login.

FCM has no idempotency key and no look-up. The send id is the message's tag and collapse key, so a repeated push
replaces the first one on the device, and the app publishes `message_clicked` with the `send_id` found in `data`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import google.auth.transport
import httpx
from google.auth.exceptions import GoogleAuthError, RefreshError, TransportError
from google.oauth2.service_account import Credentials
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator

from orchestrator.contracts.messages import OutgoingMessage
from orchestrator.contracts.receipts import Callback, Feedback, Next, Outcome, Receipt
from orchestrator.errors import MessageRefused
from orchestrator_channels import _answers, _building
from orchestrator_channels._answers import Verdict
from orchestrator_channels._threads import CONNECT_SHARE, READ_SHARE, Threads

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
#: FCM's limit on notification and data together, in bytes.
MAX_PAYLOAD = 4_096
#: FCM keeps a push four weeks at most, in seconds.
MAX_TTL = 28 * 24 * 3_600

#: How HTTP statuses are read when FCM's own code is not in CODES.
ANSWERS: Mapping[int, Verdict] = {
    **_answers.HTTP,
    400: Verdict(Outcome.NOT_SENT, Next.FAIL, "invalid_request"),
    404: Verdict(Outcome.NOT_SENT, Next.PARK, "misconfigured"),
}
#: FCM's `errorCode`s that say more than the HTTP status.
CODES: Mapping[str, Verdict] = {
    "UNREGISTERED": Verdict(Outcome.NOT_SENT, Next.SUPPRESS, "unsubscribed"),
    # The token is another project's. Not suppressed: with a wrong service account every token would be.
    "SENDER_ID_MISMATCH": Verdict(Outcome.NOT_SENT, Next.FAIL, "wrong_sender"),
    "QUOTA_EXCEEDED": _answers.HTTP[429],
    # The certificate for Apple's devices is missing or old.
    "THIRD_PARTY_AUTH_ERROR": Verdict(Outcome.NOT_SENT, Next.PARK, "auth"),
}
#: The login failed before anything was sent.
NO_TOKEN = Verdict(Outcome.NOT_SENT, Next.RETRY, "login")
REFUSED_LOGIN = Verdict(Outcome.NOT_SENT, Next.PARK, "auth")
#: A cached token was withdrawn early; the next attempt fetches a new one.
STALE_TOKEN = Verdict(Outcome.NOT_SENT, Next.RETRY, "stale_token")


class FcmSettings(BaseModel):
    """Settings of the provider `fcm`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service_account: SecretStr = Field(
        default=SecretStr(""), description="The service account's key file, as JSON text."
    )
    service_account_file: Path | None = Field(default=None, description="Or the file itself.")
    project: str = Field(default="", description="Firebase project id, if it is not the service account's.")
    base_url: str = Field(default="https://fcm.googleapis.com", description="Another address for tests and proxies.")
    timeout: float = Field(default=10.0, gt=0, description="Seconds one attempt may take in all, login included.")
    connections: int = Field(default=16, gt=0, description="Attempts at a time.")

    _credentials: Credentials = PrivateAttr()

    @field_validator("base_url")
    @classmethod
    def _is_private(cls, value: str) -> str:
        return _building.base_url(value)

    @model_validator(mode="after")
    def _has_account(self) -> FcmSettings:
        if bool(self.service_account.get_secret_value()) == bool(self.service_account_file):
            raise ValueError("set exactly one of service_account and service_account_file")
        try:
            if self.service_account_file is not None:
                text = self.service_account_file.read_text()
            else:
                text = self.service_account.get_secret_value()
        except OSError:
            raise ValueError("service_account_file cannot be read") from None
        # Google's library has types in part only; none of them leaves this method.
        make: Callable[..., Credentials] = Credentials.from_service_account_info
        try:
            self._credentials = make(json.loads(text), scopes=[SCOPE])
        except (ValueError, TypeError, AttributeError, GoogleAuthError):
            # What was read is not shown: it may be a private key.
            raise ValueError("the service account is not a key file of Google's") from None
        return self

    @property
    def credentials(self) -> Credentials:
        """The service account, read once."""
        return self._credentials


@dataclass(frozen=True, slots=True)
class Request:
    """The `message` of FCM's `messages:send`, and how long it is worth delivering, in seconds."""

    message: dict[str, Any] = field(repr=False)
    ttl: int


class Fcm:
    """The channel adapter `fcm`. The customer's push address is the app's registration token, a string."""

    name: ClassVar[str] = "fcm"
    channel: ClassVar[str] = "push"
    address: ClassVar[str] = "push"
    Settings: ClassVar[type[BaseModel]] = FcmSettings

    def __init__(self, settings: FcmSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now
        self._credentials = settings.credentials
        project = settings.project or self._credentials.project_id
        self._url = f"{settings.base_url}/v1/projects/{project}/messages:send"
        self._login = asyncio.Lock()
        # One at a time, so one thread.
        self._threads = Threads("fcm-login", 1)
        limits = httpx.Limits(max_connections=settings.connections, max_keepalive_connections=settings.connections)
        timeout = httpx.Timeout(settings.timeout * READ_SHARE, connect=settings.timeout * CONNECT_SHARE)
        self._client = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    def build(self, message: OutgoingMessage) -> Request:
        if not isinstance(message.to, str) or not message.to.strip() or not message.to.isascii():
            raise MessageRefused(
                "not an FCM registration token", code="invalid_address", fix="store the app's token as push"
            )
        content = message.content
        ttl = max(0, min(message.ttl, MAX_TTL))
        data = {"send_id": message.send_id} | ({"link": content.link} if content.link else {})
        notification = {"title": content.title, "body": content.text}
        size = len(json.dumps([notification, data], ensure_ascii=False).encode())
        if size > MAX_PAYLOAD:
            raise MessageRefused(
                f"the push has {size} bytes", code="too_large", fix=f"shorten it to {MAX_PAYLOAD} bytes"
            )
        body: dict[str, Any] = {
            "token": message.to,
            "notification": notification,
            "data": data,
            "android": {"ttl": f"{ttl}s", "notification": {"tag": message.send_id}},
            # Apple takes 64 bytes.
            "apns": {"headers": {"apns-collapse-id": message.send_id[:64]}},
            "webpush": {"headers": {"TTL": str(ttl)}, "notification": {"tag": message.send_id}},
        }
        return Request(_building.with_extra(body, message.extra), ttl)

    async def send(self, request: Request) -> Receipt:
        token_ready = False
        try:
            async with asyncio.timeout(self._settings.timeout):
                fresh = await self._log_in()
                token_ready = True
                answer = await self._client.post(
                    self._url,
                    json={"message": self._with_expiry(request)},
                    headers={"Authorization": f"Bearer {self._credentials.token}"},
                )
            return self._read(answer, fresh)
        except RefreshError as error:
            return (NO_TOKEN if error.retryable else REFUSED_LOGIN).receipt(detail="Google refused the login")
        except GoogleAuthError as error:
            return NO_TOKEN.receipt(detail=type(error).__name__)
        except Exception as error:
            verdict = _answers.of_error(error) if token_ready else NO_TOKEN
            return verdict.receipt(detail=type(error).__name__)

    async def _log_in(self) -> bool:
        """Fetch a token if the one at hand is missing or nearly over. True when it is new."""
        async with self._login:
            if self._credentials.valid:
                return False
            await self._threads.call(self._refresh, self._settings.timeout)
            return True

    def _refresh(self) -> None:
        with httpx.Client(timeout=self._settings.timeout / 2, trust_env=False) as client:
            refresh: Callable[[_TokenTransport], None] = self._credentials.refresh
            refresh(_TokenTransport(client))

    def _with_expiry(self, request: Request) -> dict[str, Any]:
        """Apple wants the moment after which a push is stale, which only the attempt knows."""
        apns = request.message["apns"]
        headers = {**apns["headers"], "apns-expiration": str(int(self._now()) + request.ttl)}
        return {**request.message, "apns": {**apns, "headers": headers}}

    def _read(self, answer: httpx.Response, fresh: bool) -> Receipt:
        body = _object(answer)
        if answer.is_success:
            return Receipt(Outcome.SENT, provider_id=str(body.get("name", "")))
        code = _error_code(body)
        verdict = CODES.get(code) if answer.status_code < 500 else None
        if verdict is None and answer.status_code == 401:
            # Drop the token. If it was new, Google refuses the account, not the token.
            self._credentials.token = None
            verdict = REFUSED_LOGIN if fresh else STALE_TOKEN
        return (verdict or _answers.of_status(answer.status_code, ANSWERS)).receipt(
            retry_after=_answers.retry_after(answer.headers, self._now()),
            detail=f"FCM answered {answer.status_code} {code}".strip(),
        )

    def verify(self, callback: Callback) -> None:
        raise _building.no_callbacks(self.name)

    def parse(self, callback: Callback) -> Sequence[Feedback]:
        return ()

    async def close(self) -> None:
        self._threads.close()
        await self._client.aclose()


class _TokenAnswer(google.auth.transport.Response):
    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    @property
    def status(self) -> int:
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def data(self) -> bytes:
        return self._answer.content


class _TokenTransport(google.auth.transport.Request):
    """google-auth's way to the token endpoint, over httpx, with our timeout instead of its two minutes."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Any = None,
        timeout: Any = None,
        **options: Any,
    ) -> _TokenAnswer:
        try:
            return _TokenAnswer(self._client.request(method, url, content=body, headers=headers))
        except httpx.HTTPError as error:
            unreachable: Callable[..., Exception] = TransportError
            raise unreachable(type(error).__name__) from None


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _error_code(body: Mapping[str, Any]) -> str:
    """FCM's own code among the details of an error, else the general status word."""
    error = body.get("error")
    if not isinstance(error, dict):
        return ""
    for detail in error.get("details") or ():
        if isinstance(detail, dict) and isinstance(detail.get("errorCode"), str):
            return str(detail["errorCode"])
    return str(error.get("status") or "")
