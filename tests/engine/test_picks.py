"""Picks: what she likes, without what she has just bought, what is gone, and what the message is about."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import POLICY, T0, at, event, known

from orchestrator.language.journeys import compile_program
from orchestrator.learning.affinity import PRODUCTS, Liking, note, recommend
from orchestrator.learning.cells import DAY_MS
from orchestrator.testing.simulation import Simulation

JOURNEY = "name: P\nowner: test\ntrigger: nudge\nreentry: always\nsteps:\n  - send: hello\n"
SHOWS = "---\nsubject: For you\n---\n{% for pick in picks %}{{ pick.name }} {% endfor %} and more\n"
PLAIN = "---\nsubject: For you\n---\nHello\n"


def sim(message: str) -> Simulation:
    files = {"_policy.yaml": POLICY, "p.yaml": JOURNEY, "messages/hello.md": message}
    made = Simulation(compile_program(files), seed=1)
    made.publish(known())
    return made


def line(name: str, category: str = "tea", **more: Any) -> dict[str, Any]:
    return {"product_id": name, "name": name.title(), "category": category, "price": 3.0, **more}


def shown(made: Simulation, when: Any) -> list[str]:
    (send,) = made.publish(event("nudge", when=when))
    return [pick["product_id"] for pick in send.facts["picks"]]


def test_what_she_bought_and_saw_is_picked_in_order() -> None:
    made = sim(SHOWS)
    for day in (0, 30, 60):
        made.publish(event("purchase", when=at(days=day), order_id=f"o{day}", total=3.0, products=[line("assam")]))
    made.publish(event("view", when=at(days=61), **line("earl", "cups")))
    made.publish(event("view", when=at(days=61, hours=1), **line("oolong", "cups", stock=0)))
    # A month's rhythm: on the second day after nobody needs tea again, and oolong is gone.
    assert shown(made, at(days=62)) == ["earl"]
    assert shown(made, at(days=95)) == ["assam", "earl"]
    made.publish(event("view", when=at(days=96), **line("oolong", "cups", stock=5)))
    assert "oolong" in shown(made, at(days=97))


def test_nothing_is_kept_while_nobody_asks() -> None:
    made = sim(PLAIN)
    made.publish(event("view", when=at(days=1), **line("earl")))
    assert made.customer("ada").likings == {}
    (send,) = made.publish(event("nudge", when=at(days=2)))
    assert "picks" not in send.facts


def test_views_weigh_a_fifth_and_old_likings_fade() -> None:
    likings: dict[str, Liking] = {}
    start = round(T0.timestamp() * 1000)
    note(likings, line("a"), start, bought=True)
    for _ in range(4):
        note(likings, line("b"), start, bought=False)
    note(likings, {"name": "no id"}, start, bought=True)
    ranked = recommend(likings, start + 400 * DAY_MS, 1.0, lambda _: 0.0)
    assert [one["product_id"] for one in ranked] == ["a", "b"]
    assert ranked[0]["score"] / ranked[1]["score"] == pytest.approx(1 / 0.8, rel=0.05)
    assert recommend(likings, start, 1.0, lambda _: 0.0, without=("a",))[0]["product_id"] == "b"
    for number in range(50):
        note(likings, line(f"p{number}"), start + 200 * DAY_MS, bought=True)
    assert len(likings) == PRODUCTS
    assert "a" not in likings
