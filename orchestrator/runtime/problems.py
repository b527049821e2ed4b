"""How the gateway says no: `{"error": {"code", "message", "fix"}}` with the right status, never a stack trace."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from orchestrator.errors import BadEvent, DependencyUnreachable

#: Seconds after which a publisher or provider should try again when a part of ours is away.
RETRY_AFTER = 5

_logger = logging.getLogger(__name__)


class Problem(Exception):
    """An answer that is not 2xx."""

    def __init__(
        self, status: int, code: str, message: str, fix: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fix = fix
        self.headers = dict(headers or {})

    @classmethod
    def too_many(cls, wait: float) -> Problem:
        """429: the key has used up its rate; `wait` is in seconds."""
        seconds = max(1, math.ceil(wait))
        return cls(
            429,
            "rate_limited",
            "this key sends more events than it may",
            f"send the same again after {seconds} s",
            headers={"Retry-After": str(seconds)},
        )

    @classmethod
    def of_body(cls, error: BadEvent) -> Problem:
        """400, or 413 for size: the body as a whole cannot be read."""
        return cls(413 if error.code == "size" else 400, error.code, error.message, error.fix)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(
        msgspec.json.encode(value),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _answer(status: int, code: str, message: str, fix: str, headers: Mapping[str, str] | None = None) -> Response:
    error = {"code": code, "message": message} | ({"fix": fix} if fix else {})
    return json_response({"error": error}, status, headers)


async def on_problem(_: Request, error: Exception) -> Response:
    """Answer for Problem."""
    assert isinstance(error, Problem)
    return _answer(error.status, error.code, error.message, error.fix, error.headers)


async def on_http(_: Request, error: Exception) -> Response:
    """Answer for what the router refuses: no such path, wrong method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return _answer(error.status_code, code, str(error.detail), "", error.headers)


async def on_away(_: Request, error: Exception) -> Response:
    """503 for a log or Redis that does not answer: nothing is promised, the same request may succeed later."""
    assert isinstance(error, DependencyUnreachable | RedisError)
    _logger.warning("answered 503: %s", type(error).__name__)
    headers = {"Retry-After": str(RETRY_AFTER)}
    return _answer(503, "unavailable", "try again later", f"send the same again after {RETRY_AFTER} s", headers)


async def on_crash(_: Request, error: Exception) -> Response:
    """500: a fault of ours. The log has the details, the answer has none."""
    _logger.error("request failed", exc_info=error)
    return _answer(500, "internal", "a fault on our side", "send the same again later")
