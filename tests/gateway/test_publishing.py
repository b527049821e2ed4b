"""POST /v1/events over real HTTP: what is taken, what is refused and how, and that neighbours never suffer."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any

import pytest
from doors import KEY, NOW, PARTITIONS, Door

from orchestrator.partitioning import partition_of


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"e-{number}",
        "type": "purchase",
        "time": "2026-03-01T11:00:00Z",
        "customer": f"c-{number}",
        "data": {"order_id": f"o-{number}", "total": 19.9},
    } | fields


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "shape", [lambda e: e, lambda e: [e], lambda e: {"events": [e]}], ids=["one", "array", "object"]
)
async def test_one_event_in_every_shape(door: Door, shape: Any) -> None:
    answer = await door.publish(body(shape(event())))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "rejected": [], "warnings": []})
    (stored,) = door.log.events()
    assert (stored.id, stored.customer, stored.received) == ("e-1", "c-1", NOW)
    assert stored.data == {"order_id": "o-1", "total": 19.9}


async def test_customers_land_on_their_partition_in_order(door: Door) -> None:
    events = [event(number, customer=f"c-{number % 7}") for number in range(50)]
    assert (await door.publish(body(events))).json()["accepted"] == 50
    for sent in events:
        assert door.log.partition_of(sent["id"]) == partition_of(sent["customer"], PARTITIONS)
    for customer in {sent["customer"] for sent in events}:
        wanted = [sent["id"] for sent in events if sent["customer"] == customer]
        assert [stored.id for stored in door.log.events() if stored.customer == customer] == wanted


async def test_a_bad_event_gets_its_verdict_and_its_neighbours_theirs(door: Door) -> None:
    bad = event(2, data={"order_id": "o-2", "products": [{"price": "free"}], "total": "19.90"})
    answer = await door.publish(body([event(1), bad, event(3)]))
    assert answer.status_code == 200
    verdict = answer.json()
    assert verdict["accepted"] == 2
    (rejected,) = verdict["rejected"]
    assert (rejected["index"], rejected["id"], rejected["code"]) == (1, "e-2", "type")
    told = {fault["field"]: (fault["message"], fault["fix"]) for fault in rejected["faults"]}
    assert told == {
        "data.products[0].price": (
            "expected a number, got 'free'",
            "send a number such as 0, or leave the field away",
        ),
        "data.total": ("expected a number, got '19.90'", "send 19.90 without quotes"),
    }
    assert {stored.id for stored in door.log.events()} == {"e-1", "e-3"}
    (letter,) = door.log.dead()
    assert (letter.origin, letter.at, letter.faults) == ("http:shop", NOW, 2)
    assert json.loads(letter.original() or b"") == bad


DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000


@pytest.mark.parametrize(
    ("bad", "field", "code"),
    [
        pytest.param(b"{broken}", "", "json", id="no JSON"),
        pytest.param(b'{"id":"x","data":{"v":NaN}}', "data.v", "number", id="NaN"),
        pytest.param(b'{"id":"x","data":{"v":[-Infinity]}}', "data.v[0]", "number", id="Infinity"),
        pytest.param(b'{"id":"x","data":{"v":1e999}}', "data.v", "number", id="a number without end"),
        pytest.param(b'{"id":"x","data":{"v":123456789012345678901}}', "data.v", "number", id="beyond 64 bits"),
        pytest.param(b'{"id":"x","data":{"v":"\xff\xfe"}}', "", "encoding", id="invalid UTF-8"),
        pytest.param(b'{"id":"x","data":{"v":"\\ud800"}}', "data.v", "encoding", id="half a surrogate pair"),
        pytest.param(b'{"id":"x","data":' + DEEP + b"}", "", "depth", id="a nesting bomb"),
        pytest.param(b'{"id":"x","data":' + b"[" * 40 + b"]" * 40 + b"}", "data[0][0]", "depth", id="too deep"),
        pytest.param(b'{"id":"x","data":{"v":"' + b"a" * 70_000 + b'"}}', "", "size", id="more than 64 KiB"),
        pytest.param(b"[]", "", "type", id="a list for an event"),
        pytest.param(b"null", "", "type", id="nothing for an event"),
        pytest.param(body(event(9, type="Purchase")), "type", "format", id="type not snake_case"),
        pytest.param(body(event(9, type="$tick")), "type", "format", id="a type of the system"),
        pytest.param(body(event(9, time="1999-12-31T23:59:59Z")), "time", "ancient", id="ancient"),
        pytest.param(body(event(9, time=1772366400)), "time", "time", id="time as a number"),
        pytest.param(body(event(9, time="2026-03-01T11:00:00")), "time", "time", id="time without offset"),
        pytest.param(body(event(9, customer=None)), "customer", "missing", id="nobody"),
        pytest.param(body(event(9, id=None)), "id", "type", id="id null"),
        pytest.param(body({k: v for k, v in event(9).items() if k != "id"}), "id", "missing", id="no id"),
        pytest.param(body(event(9, id="a\nb")), "id", "format", id="a control character"),
        pytest.param(body(event(9, customerId="c")), "customerId", "unknown_field", id="unknown envelope field"),
        pytest.param(body(event(9, data={})), "data.order_id", "missing", id="no order id"),
        pytest.param(body(event(9, data=[1])), "data", "type", id="data a list"),
    ],
)
async def test_bad_input_has_a_clear_error_and_the_next_event_is_taken(
    door: Door, bad: bytes, field: str, code: str
) -> None:
    answer = await door.publish(b"[" + body(event(1)) + b",\n" + bad + b"," + body(event(2)) + b"]")
    assert answer.status_code == 200, answer.text
    verdict = answer.json()
    assert verdict["accepted"] == 2
    (rejected,) = verdict["rejected"]
    assert rejected["index"] == 1
    assert (field, code) in [(fault["field"], fault["code"]) for fault in rejected["faults"]], rejected
    assert all(fault["message"] and fault["fix"] for fault in rejected["faults"]), rejected
    assert {stored.id for stored in door.log.events()} == {"e-1", "e-2"}
    (letter,) = door.log.dead()
    assert letter.size == len(bad)
    assert letter.original() == (None if len(bad) > 64 * 1024 else bad)
    assert (await door.publish(body(event(3)))).json()["accepted"] == 1


async def test_unknown_fields_of_data_are_kept_as_they_came(door: Door) -> None:
    data = {"order_id": "o", "gift": {"wrap": True, "lines": [1, 2.5, None, "x"]}, "total": 3}
    assert (await door.publish(body(event(data=data)))).json()["accepted"] == 1
    assert (await door.publish(body(event(2, type="tea_tasted", data={"cups": 3})))).json()["accepted"] == 1
    assert {stored.id: stored.data for stored in door.log.events()} == {"e-1": data, "e-2": {"cups": 3}}


async def test_a_future_time_is_clamped_flagged_and_told(door: Door) -> None:
    answer = await door.publish(body([event(1, time="2027-01-01T00:00:00Z"), event(2, time="2026-03-01T12:04:59Z")]))
    (warning,) = answer.json()["warnings"]
    assert (warning["index"], warning["field"], warning["code"]) == (0, "time", "future")
    stored = {found.id: found for found in door.log.events()}
    assert (stored["e-1"].time, stored["e-1"].flags) == (NOW + 300_000, ("future",))
    assert (stored["e-2"].time, stored["e-2"].flags) == (NOW + 299_000, ())


async def test_a_visitor_and_a_customer_of_one_id_are_two(door: Door) -> None:
    visitor = event(1, type="view", data={}, customer=None, anonymous="7")
    forged = event(3, customer="anonymous:7")
    answer = await door.publish(body([visitor, event(2, customer="7"), forged]))
    assert [found["index"] for found in answer.json()["rejected"]] == [2]
    assert {(e.customer, e.anonymous) for e in door.log.events()} == {("anonymous:7", True), ("7", False)}


async def test_dry_run_judges_and_writes_nothing(door: Door) -> None:
    content = body([event(1), event(2, data={})])
    headers = {"authorization": f"Bearer {KEY}"}
    answer = await door.http.post("/v1/events?dry_run=1", content=content, headers=headers)
    assert (answer.json()["accepted"], len(answer.json()["rejected"]), answer.json()["dry_run"]) == (1, 1, True)
    assert not door.log.appended
    assert (await door.http.post("/v1/events?dry_run=maybe", content=content, headers=headers)).status_code == 400


async def test_no_2xx_while_the_log_is_away_and_the_retry_succeeds(door: Door) -> None:
    door.log.fails = True
    answer = await door.publish(body(event()))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["error"]["code"] == "unavailable"
    door.log.fails = False
    assert (await door.publish(body(event()))).json()["accepted"] == 1


@pytest.mark.parametrize(
    "offered",
    ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \u00fc"],
    ids=["none", "empty", "wrong", "basic", "longer", "not ASCII"],
)
async def test_without_a_key_nothing_is_told(door: Door, offered: str) -> None:
    headers = [(b"authorization", offered.encode())] if offered else []
    answer = await door.http.post("/v1/events", content=b"{not even JSON", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == {"error": {"code": "unauthorized", "message": "unauthorized"}}
    assert not door.log.appended


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, "json"),
        (b"", {}, 400, "json"),
        (b"5", {}, 400, "json"),
        (b'[{"id":"a"}', {}, 400, "json"),
        (b'\xff{"id":"a"}', {}, 400, "json"),
        (b'{"id":"\xff"}', {}, 400, "encoding"),
        (b'{"events":5}', {}, 400, "type"),
        (b'{"events":[],"dry_run":true}', {}, 400, "unknown_field"),
        (b"[" * 200_000, {}, 400, "depth"),
        (b"a=b", {"content_type": "application/x-www-form-urlencoded"}, 415, "content_type"),
        (b"{}", {"content_type": "application/json; charset=latin-1"}, 415, "charset"),
        (b"{}", {"content_encoding": "br"}, 415, "content_encoding"),
        (b"no gzip", {"content_encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"{}")[:-5], {"content_encoding": "gzip"}, 400, "gzip"),
        (b" " * (5 * 1024 * 1024), {}, 413, "size"),
        (b"[" + b"1," * 60_000 + b"1]", {}, 413, "size"),
    ],
)
async def test_a_body_that_cannot_be_read(
    door: Door, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await door.publish(content, **headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]
    assert not door.log.appended
    assert (await door.publish(body(event()))).json()["accepted"] == 1


async def test_the_limit_holds_without_a_declared_length(door: Door) -> None:
    async def endless() -> Any:
        for _ in range(80):
            yield b" " * 65_536

    headers = {"authorization": f"Bearer {KEY}"}
    answer = await door.http.post("/v1/events", content=endless(), headers=headers)
    assert answer.status_code == 413


async def test_gzip(door: Door) -> None:
    answer = await door.publish(gzip.compress(body([event(1), event(2)])), content_encoding="gzip")
    assert answer.json()["accepted"] == 2


async def test_answers_hold_no_server_name_no_cors_no_trace(door: Door) -> None:
    found = [
        await door.publish(body(event()), origin="https://evil.example"),
        await door.http.get("/v1/events"),
        await door.http.get("/nowhere"),
        await door.http.options("/v1/events", headers={"origin": "https://evil.example"}),
    ]
    assert [answer.status_code for answer in found] == [200, 405, 404, 405]
    for answer in found:
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert [answer.json()["error"]["code"] for answer in found[1:]] == [
        "method_not_allowed",
        "not_found",
        "method_not_allowed",
    ]


async def test_a_gzip_bomb_is_never_unpacked(door: Door) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    tracemalloc.start()
    try:
        assert (await door.publish(bomb, content_encoding="gzip")).status_code == 413
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * 1024 * 1024
