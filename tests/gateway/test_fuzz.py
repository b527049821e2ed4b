"""Whatever is posted, the gateway answers below 500, in JSON, and takes the next event."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest
from doors import KEY, Door, settings_of
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from orchestrator.contracts.events import TYPES
from orchestrator.settings import Settings

GOOD = {"id": "good", "type": "view", "time": "2026-03-01T11:00:00Z", "customer": "c", "data": {}}


@pytest.fixture
def settings() -> Settings:
    return settings_of(rate=1e9, burst=1e9)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_events = st.just(GOOD) | st.fixed_dictionaries(
    {name: st.just(value) | _json for name, value in GOOD.items() if name not in ("type", "data")},
    optional={
        "type": st.sampled_from([*TYPES, "own"]) | _json,
        "data": st.dictionaries(st.sampled_from(["order_id", "products", "price", "send_id", "consents"]), _json)
        | _json,
        "more": _json,
    },
)
_documents = _events | st.lists(_events | _json, max_size=4) | st.fixed_dictionaries({"events": _json}) | _json
_bodies = _documents.map(lambda document: json.dumps(document).encode()) | st.binary(max_size=200)


@st.composite
def _broken(draw: st.DrawFn) -> bytes:
    """A body with a few bytes put in, taken out or exchanged."""
    body = bytearray(draw(_bodies))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 3))] = draw(
            st.sampled_from([b"", b'"', b"\\", b"[", b"}", b"\xff", b"NaN", b","])
        )
    return bytes(body)


_headers = st.just(dict[str, str]()) | st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["application/json", "application/cloudevents+json", "text/plain", ";", ""]),
        "content-encoding": st.sampled_from(["gzip", "identity", "br", "gzip, gzip", ""]),
    },
)


async def test_no_body_is_a_fault_of_ours(door: Door) -> None:
    url = str(door.http.base_url)
    accepted: list[int] = []

    def fuzz() -> None:
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}) as http:

            @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
            @given(
                _broken() | _bodies, _headers, st.booleans(), st.sampled_from(["", "?dry_run=1", "?dry_run=\xfc", "?x"])
            )
            def post(body: bytes, headers: dict[str, str], packed: bool, query: str) -> None:
                content = gzip.compress(body) if packed else body
                headers = {"content-encoding": "gzip"} | headers if packed else headers
                answer = http.post(f"/v1/events{query}", content=content, headers=headers)
                assert answer.status_code < 500, answer.text
                told: dict[str, Any] = answer.json()
                assert ("accepted" in told) == (answer.status_code == 200)
                accepted.append(told.get("accepted", 0))

            post()
            assert http.post("/v1/events", json=GOOD).json()["accepted"] == 1

    await asyncio.to_thread(fuzz)
    # A fuzz whose every body is refused at the door would prove little.
    assert sum(accepted) > 0
