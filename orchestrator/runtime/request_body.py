"""Reads a request body under a limit that holds for what arrives and for what it unpacks to."""

from __future__ import annotations

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from orchestrator.contracts.envelope import MAX_BODY_BYTES
from orchestrator.runtime.problems import Problem

#: Seconds a client may take to send its body.
TIMEOUT = 30.0


async def read_body(request: Request, *, unpack: bool = True, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body, unpacked when it says gzip. Stops reading at `limit` bytes: a gzip bomb never gets further.

    Raises Problem: 400 for a broken body, 408, 413, 415 for another content coding.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower() if unpack else "identity"
    if coding not in ("identity", "gzip"):
        raise Problem(415, "content_encoding", "only gzip and identity are understood", "send gzip or plain JSON")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    unzip = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    body = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT):
            async for chunk in request.stream():
                body += unzip.decompress(chunk, limit + 1 - len(body)) if unzip is not None else chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Problem(408, "timeout", f"the body did not arrive within {TIMEOUT:.0f} s", "send it faster") from None
    except zlib.error:
        raise Problem(400, "gzip", "the body is not valid gzip", "send gzip, or leave Content-Encoding away") from None
    except ClientDisconnect:
        raise Problem(400, "disconnected", "the body ended early") from None
    if unzip is not None and (not unzip.eof or unzip.unused_data):
        raise Problem(400, "gzip", "the gzip body is not whole", "send one complete gzip member")
    return bytes(body)


def require_json(request: Request) -> None:
    """Raise Problem 415 unless the body is said to be JSON in UTF-8. A request that says nothing is taken for JSON."""
    given = request.headers.get("content-type", "application/json")
    media, _, parameters = given.lower().partition(";")
    charset = parameters.partition("charset=")[2].split(";")[0].strip(" \"'")
    media = media.strip()
    if not (media == "application/json" or (media.startswith("application/") and media.endswith("+json"))):
        raise Problem(415, "content_type", "the body is not JSON", "send Content-Type: application/json")
    if charset not in ("", "utf-8", "utf8"):
        raise Problem(415, "charset", "JSON is sent in UTF-8", "send Content-Type: application/json")


def _too_large(limit: int) -> Problem:
    return Problem(413, "size", f"the body is larger than {limit} bytes", "send fewer events at once")
