"""Sums over all customers are exact: equal to a count from scratch, in any order, over any partitions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from small_company import CHANNELS, T0, announce, company, publish

from orchestrator.engine import state
from orchestrator.learning import pooled
from orchestrator.learning.cells import WIDTH
from orchestrator.testing.simulation import Simulation

LABELS = ("vip", "new", "")
action = st.tuples(
    st.sampled_from(
        ["nudge", "nudge", "click", "open", "machine", "fail", "purchase", "label", "unsubscribe", "reply", "order"]
    ),
    st.integers(0, 3),
    st.integers(0, 5 * 24 * 60),
    st.sampled_from(LABELS),
)


def play(actions: list[tuple[str, int, int, str]], sim: Simulation | None = None) -> Simulation:
    """A company's life: what is done to whom, so many minutes after the last."""
    sim = sim or company()
    sent: dict[str, list[str]] = {}
    now = T0
    for number in range(4):
        announce(sim, f"c{number}", now, *([LABELS[number]] if number < 2 else []))
    for number, (what, who, minutes, label) in enumerate(actions):
        now += timedelta(minutes=minutes)
        customer = f"c{who}"
        last: dict[str, Any] = {"send_id": sent[customer][-1]} if sent.get(customer) else {"send_id": "none"}
        if what == "nudge":
            sent.setdefault(customer, []).extend(one.send_id for one in publish(sim, "nudge", customer, now))
        elif what == "click":
            publish(sim, "message_clicked", customer, now, **last)
        elif what == "open":
            publish(sim, "message_opened", customer, now, **last)
        elif what == "machine":
            publish(sim, "message_opened", customer, now, machine=True, **last)
        elif what == "fail":
            publish(sim, "message_failed", customer, now, **last)
        elif what == "label":
            announce(sim, customer, now, *[part for part in (label, "old") if part])
        elif what == "unsubscribe":
            publish(sim, "message_unsubscribed", customer, now, **last)
        elif what == "reply":
            publish(sim, "reply", customer, now, channel="sms", text="yes", in_reply_to=last["send_id"])
        else:
            publish(sim, "purchase", customer, now, order_id=f"o{number}", total=1e12 if what == "order" else 20)
    return sim


def counted_from_scratch(sim: Simulation) -> dict[str, list[int]]:
    sums: dict[str, list[int]] = {}
    for number in range(4):
        customer = sim.customer(f"c{number}")
        for channel, cell in customer.responses.items():
            key = pooled.cell_key(pooled.group_of(customer.segments), channel)
            cell.add_to(pooled.open_vector(sums, key, WIDTH), 1)
    return sums


@given(st.lists(action, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_sums_equal_the_cells_they_are_made_of(actions: list[tuple[str, int, int, str]]) -> None:
    sim = play(actions)
    cells = {key: vector[:WIDTH] for key, vector in sim.snapshot().sums.items() if key.startswith("cell")}
    again = counted_from_scratch(sim)
    assert {key: vector for key, vector in cells.items() if any(vector)} == {
        key: vector for key, vector in again.items() if any(vector)
    }


@given(st.lists(action, max_size=60))
@settings(max_examples=15, deadline=None)
def test_cells_keep_their_ladder(actions: list[tuple[str, int, int, str]]) -> None:
    """Responses never exceed opens, opens never sends, whatever came in whatever order."""
    sim = play(actions)
    for number in range(4):
        for cell in sim.customer(f"c{number}").responses.values():
            assert 0 <= cell.s <= cell.n + 1e-9
            if cell.sees_opens():
                assert cell.s - 1e-9 <= cell.o <= cell.n + 1e-9


@given(st.lists(action, max_size=40))
@settings(max_examples=15, deadline=None)
def test_the_same_events_give_the_same_bytes(actions: list[tuple[str, int, int, str]]) -> None:
    first, second = play(actions), play(actions)
    assert pooled.encode(first.snapshot()) == pooled.encode(second.snapshot())
    for number in range(4):
        assert state.encode(first.customer(f"c{number}")) == state.encode(second.customer(f"c{number}"))
    assert first.decisions == second.decisions


def test_a_change_of_labels_takes_what_is_known_along() -> None:
    sim = play([("nudge", 0, 5, ""), ("click", 0, 5, ""), ("label", 0, 5, "new"), ("nudge", 0, 90, "")])
    cells = {key: vector[:WIDTH] for key, vector in sim.snapshot().sums.items() if key.startswith("cell")}
    assert {key for key, vector in cells.items() if any(vector)} == set(counted_from_scratch(sim))
    assert sim.customer("c0").segments == ["new", "old"]


vectors = st.dictionaries(
    st.sampled_from([pooled.cell_key(g, c) for g in ("", "vip") for c in CHANNELS]),
    st.lists(st.integers(-(10**12), 10**12), min_size=pooled.CELL_WIDTH, max_size=pooled.CELL_WIDTH),
)


@given(st.lists(vectors, max_size=5), st.randoms())
def test_partitions_may_be_merged_in_any_order(parts: list[dict[str, list[int]]], chance: Any) -> None:
    shuffled = list(parts)
    chance.shuffle(shuffled)
    one, other = pooled.Snapshot(1, pooled.merged(parts)), pooled.Snapshot(1, pooled.merged(shuffled))
    assert pooled.encode(one) == pooled.encode(other)


@given(vectors)
def test_a_hash_of_counters_gives_the_vectors_back(sums: dict[str, list[int]]) -> None:
    fields = {name.encode(): str(by).encode() for name, by in pooled.fields_of(sums)}
    assert pooled.from_fields(fields) == {key: vector for key, vector in sums.items() if any(vector)}


def test_a_snapshot_survives_its_bytes() -> None:
    snapshot = play([("nudge", 0, 5, ""), ("click", 0, 5, "")]).snapshot()
    assert pooled.decode(pooled.encode(snapshot)) == snapshot


def test_no_label_breaks_a_key() -> None:
    assert pooled.group_of(["a\x1fb", "\x1e", "x" * 500, "fourth"]).count("\x1f") == 0
    assert pooled.labels_of(pooled.group_of(["b", "a", "b"])) == ["a", "b"]
