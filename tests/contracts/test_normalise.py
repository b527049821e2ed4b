"""The road in, without HTTP: what normalising keeps, changes and refuses, and that it never raises anything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts import records
from orchestrator.contracts.batches import split
from orchestrator.contracts.envelope import MAX_DEPTH, MAX_EVENT_BYTES
from orchestrator.contracts.events import TYPES
from orchestrator.contracts.normalise import MAX_FAULTS, normalise
from orchestrator.errors import BadEvent

NOW = 1_772_366_400_000

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_fields = st.sampled_from(
    [
        *{name for model in TYPES.values() for name in model.model_fields},
        "extra",
        "email",
        "phone",
        "price",
        "marketing",
    ]
)
_data = st.recursive(
    _json, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_fields, inner, max_size=4), max_leaves=12
)
_times = st.sampled_from(
    ["2026-03-01T09:30:00Z", "2026-03-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
events = st.fixed_dictionaries(
    {},
    optional={
        "id": st.just("e-1") | _json,
        "type": st.sampled_from([*TYPES, "own", "$tick"]) | _json,
        "time": _times | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | _json,
        "customer": st.just("c-1") | _json,
        "anonymous": _json,
        "source": _json,
        "data": st.dictionaries(_fields, _data, max_size=5) | _json,
        "else": _json,
    },
)


def event(**fields: Any) -> dict[str, Any]:
    return {"id": "e", "type": "own", "time": "2026-03-01T09:30:00Z", "customer": "c", "data": {}} | fields


def faults(value: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(BadEvent) as caught:
        normalise(value, received=NOW, **options)
    return [(fault.field, fault.code) for fault in caught.value.faults]


@given(events)
def test_any_object_becomes_a_record_or_a_bad_event(value: dict[str, Any]) -> None:
    for form in (value, json.dumps(value).encode()):
        try:
            record = normalise(form, received=NOW)
        except BadEvent as error:
            found = error.faults
        else:
            assert records.decode(records.encode(record)) == record
            assert record.customer
            assert record.time <= NOW + 300_000
            continue
        assert found
        assert all(fault.code and fault.message for fault in found)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_become_a_bad_event(value: bytes) -> None:
    with pytest.raises(BadEvent):
        normalise(value, received=NOW)


@given(
    st.lists(
        st.sampled_from([b'{"a":1}', b"{", b"}", b"[", b"]", b",", b'"', b"\\", b" ", b"NaN", b'"events":', b"\xff"])
    )
)
def test_any_body_is_split_or_refused(parts: list[bytes]) -> None:
    body = b"".join(parts)
    try:
        found = split(body)
    except BadEvent:
        return
    assert all(part in body for part in found)


@given(st.lists(st.dictionaries(st.text(max_size=5), _json, max_size=3), max_size=6), st.booleans())
def test_a_split_gives_the_items_back_even_next_to_what_is_no_json(items: list[Any], wrapped: bool) -> None:
    texts = [json.dumps(item) for item in items] + ["{no: json}"]
    body = f" [{' , '.join(texts)}] "
    if wrapped:
        body = f'{{"events": {body} }}'
    assert split(body.encode()) == [text.encode() for text in texts]


def test_numbers_stay_what_they_are() -> None:
    data = normalise(
        b'{"id":"e","type":"own","time":"2026-03-01T09:30:00Z","customer":"c","data":{"a":1,"b":1.0}}', received=NOW
    ).data
    assert [(type(value), value) for value in data.values()] == [(int, 1), (float, 1.0)]


def test_times_become_ms_utc() -> None:
    expected = 1_772_357_400_123
    for given_time in ("2026-03-01T09:30:00.123Z", "2026-03-01T15:00:00.123+05:30", "2026-03-01 01:30:00.123-0800"):
        assert normalise(event(time=given_time), received=NOW).time == expected
    moment = datetime(2026, 3, 1, 10, 30, 0, 123_000, timezone(timedelta(hours=1)))
    assert normalise(event(time=moment), received=NOW).time == expected
    assert faults(event(time=moment.replace(tzinfo=None))) == [("time", "time")]


def test_the_future_begins_after_five_minutes() -> None:
    on_edge = normalise(event(time=datetime.fromtimestamp(NOW / 1000 + 300, UTC)), received=NOW)
    beyond = normalise(event(time=datetime.fromtimestamp(NOW / 1000 + 300.001, UTC)), received=NOW)
    assert (on_edge.time, on_edge.flags) == (NOW + 300_000, ())
    assert (beyond.time, beyond.flags) == (NOW + 300_000, ("future",))


def test_a_fallback_id_names_only_events_without_one() -> None:
    without = {name: value for name, value in event().items() if name != "id"}
    assert normalise(without, received=NOW, fallback_id="events/0/7").id == "events/0/7"
    assert normalise(event(), received=NOW, fallback_id="events/0/7").id == "e"
    assert faults(event(id=5), fallback_id="events/0/7") == [("id", "type")]
    assert faults(without) == [("id", "missing")]
    assert "id" not in without


def test_depth_ends_at_the_limit() -> None:
    def nested(levels: int) -> dict[str, Any]:
        value: Any = 1
        for _ in range(levels):
            value = {"d": value}
        return event(data=value)

    for deepest in (nested(MAX_DEPTH), json.dumps(nested(MAX_DEPTH)).encode()):
        normalise(deepest, received=NOW)
    for too_deep in (nested(MAX_DEPTH + 1), json.dumps(nested(MAX_DEPTH + 1)).encode()):
        assert faults(too_deep) == [("data.d.d", "depth")]


def test_size_ends_at_the_limit() -> None:
    frame = len(json.dumps(event(data={"t": ""}), separators=(",", ":")))
    largest = event(data={"t": "a" * (MAX_EVENT_BYTES - frame)})
    larger = event(data={"t": "a" * (MAX_EVENT_BYTES - frame + 1)})
    for form in (largest, json.dumps(largest, separators=(",", ":")).encode()):
        normalise(form, received=NOW)
    for form in (larger, json.dumps(larger, separators=(",", ":")).encode()):
        assert faults(form) == [("", "size")]


def test_shared_parts_do_not_explode() -> None:
    bomb: list[Any] = []
    for _ in range(MAX_DEPTH - 2):
        bomb = [bomb, bomb]
    assert faults(event(data={"bomb": bomb})) == [("", "size")]


def test_what_json_cannot_hold_is_refused_in_python_objects() -> None:
    data = {"when": datetime(2026, 1, 1, tzinfo=UTC), "set": {1}, "nan": float("nan"), "big": 2**70}
    assert sorted(faults(event(data=data))) == [
        ("data.big", "number"),
        ("data.nan", "number"),
        ("data.set", "type"),
        ("data.when", "type"),
    ]


def test_faults_have_an_end() -> None:
    data = {"order_id": "o", "products": [{"price": "x"}] * 100}
    assert len(faults(event(type="purchase", data=data))) == MAX_FAULTS


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (event(type="purchase", data={"order_id": "o", "total": "free"}), "data.total: expected a number, got 'free'; "
         "send a number such as 0, or leave the field away"),
        (event(type="purchase", data={"order_id": 7}), 'data.order_id: expected text, got 7; send it in quotes: "7"'),
        (event(customerid="c"), "customerid: an event has no field 'customerid'; did you mean customer?"),
        (event(colour="red"), "colour: an event has no field 'colour'; move it into data: data.colour"),
        (event(time="2026-03-01T09:30:00"), "time: expected an offset, got '2026-03-01T09:30:00' without one; "
         "write an ISO 8601 time with an offset, like 2026-03-01T09:30:00Z"),
        (event(type="customer_updated", data={"time_zone": "Berlin"}), "data.time_zone: no time zone 'Berlin'; "
         "did you mean Europe/Berlin?"),
    ],
)  # fmt: skip
def test_faults_read_as_sentences(value: dict[str, Any], told: str) -> None:
    with pytest.raises(BadEvent) as caught:
        normalise(value, received=NOW)
    assert str(caught.value.faults[0]) == told
