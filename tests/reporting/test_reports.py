"""Reports over records of the production engine: nothing counted twice, holdouts, sentences, the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.engine import decision as decisions
from orchestrator.errors import OrchestratorError
from orchestrator.language.journeys import compile_program
from orchestrator.learning.policies import make_policy
from orchestrator.reporting.outcomes import outcomes_of
from orchestrator.reporting.report import report
from orchestrator.reporting.what_if import what_if
from orchestrator.testing.simulation import Simulation

DAY_MS = 86_400_000
T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
POLICY = "currency: EUR\nmargin: 50%\nchannels:\n  email: {cost: 0.01}\n  sms: {cost: 0.05}\n"
JOURNEY = """
name: Nudge
owner: test
status: live
trigger: nudge
reentry: always
holdout: 30%
goal: {event: purchase, within: 7d, value: order.revenue}
steps:
  - send: hello
  - wait: 2d
  - send: again
"""
SECOND = JOURNEY.replace("Nudge", "Other").replace("holdout: 30%\n", "")
HELLO = "---\nsubject: Hello\nsms: Hello\n---\nHello.\n"


def world(effect: float, customers: int = 400, *, seed: int = 1, **more: str) -> Simulation:
    """Everybody is nudged once; who buys within a week does so with 20 %, and more when a message came."""
    files = {"_policy.yaml": POLICY, "nudge.yaml": JOURNEY, "messages/hello.md": HELLO, "messages/again.md": HELLO}
    sim = Simulation(compile_program(files | more), seed=seed)
    chance = np.random.default_rng(seed)
    known = {
        "addresses": {"email": "c@example.com", "phone": "+15005550006"},
        "consents": {"email": {"marketing": True}, "sms": {"marketing": True}},
    }
    orders: list[tuple[datetime, int]] = []
    for person in range(customers):
        name, when = f"c{person}", T0 + timedelta(minutes=person)
        _publish(sim, "customer_updated", name, when, **known)
        sends = _publish(sim, "nudge", name, when)
        luck = chance.random(3)
        for send in sends:
            if luck[0] < 0.3:
                _publish(sim, "message_clicked", name, when, send_id=send.send_id)
        if luck[1] < 0.2 + (effect if sends else 0.0):
            orders.append((when + timedelta(days=1 + 5 * float(luck[2])), person))
    for when, person in sorted(orders):
        _publish(sim, "purchase", f"c{person}", when, order_id=f"o{person}", total=20.0)
    sim.advance(T0 + timedelta(days=20))
    return sim


def _now(sim: Simulation) -> int:
    return round(sim.now.timestamp() * 1000)


def _publish(sim: Simulation, kind: str, customer: str, when: datetime, **data: Any) -> Any:
    return sim.publish({"type": kind, "customer": customer, "time": when, "data": data})


def test_no_purchase_is_counted_twice_over_two_journeys() -> None:
    sim = world(0.3, 120, **{"other.yaml": SECOND})
    bought = sum(sim.customer(f"c{person}").orders for person in range(120))
    # Both journeys have the purchase as their goal, and each record comes twice: the relay is at least once.
    found = outcomes_of([*sim.decisions, *sim.decisions], _now(sim))
    ended = [one for one in sim.decisions if one.converted]
    assert len(ended) == 2 * bought
    assert found.goals == bought
    assert found.value == pytest.approx(20.0 * bought)
    assert sum(row.value for row in found.rows.values()) == pytest.approx(found.value)
    assert sum(row.converted for row in found.rows.values()) == bought
    # For its own lift every journey sees all of its goals.
    assert sum(unit.conversions for unit in found.units["nudge"].values()) == bought
    assert sum(unit.conversions for unit in found.units["other"].values()) == bought


def test_an_effect_is_told_and_so_is_its_price() -> None:
    made = report((sim := world(0.35)).decisions, _now(sim), margin=0.5, currency="EUR").journeys[0]
    assert made.treated.exposed + made.held_out.exposed == 400
    assert 80 < made.held_out.exposed < 160
    assert made.lift_converted is not None
    assert made.lift_converted.low < 0.35 < made.lift_converted.high
    assert "more customers convert" in made.says
    assert not made.ratio_alarm
    assert made.margin_per_cost is not None
    assert made.margin_per_cost > 10
    treated = [line for line in made.lines if line.arm == "treated"]
    assert {line.step for line in treated} == {"steps[0]", "steps[2]"}
    assert all(line.cost > 0 for line in treated)
    assert all(line.cost == 0 for line in made.lines if line.arm == "holdout")


def test_no_effect_is_not_called_one() -> None:
    made = report((sim := world(0.0, seed=5)).decisions, _now(sim)).journeys[0]
    assert made.lift_converted is not None
    assert not made.lift_converted.sure
    assert "No effect is proved" in made.says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("holdout: 30%\n", ""), "Nobody was held out"),
        (("goal: {event: purchase, within: 7d, value: order.revenue}\n", ""), "no goal"),
        (("within: 7d", "within: 60d"), "Too early"),
    ],
)
def test_what_may_not_be_concluded(change: tuple[str, str], says: str) -> None:
    sim = world(0.2, 150, **{"nudge.yaml": JOURNEY.replace(*change)})
    assert says in report(sim.decisions, _now(sim)).journeys[0].says


def test_a_customer_who_says_no_is_counted_on() -> None:
    sim = world(0.0, 1, seed=2, **{"nudge.yaml": JOURNEY.replace("holdout: 30%\n", "")})
    when = T0 + timedelta(days=30)
    (send,) = _publish(sim, "nudge", "c0", when)
    _publish(sim, "message_unsubscribed", "c0", when, send_id=send.send_id, channel=send.channel)
    stop = {channel: {"marketing": False} for channel in ("email", "sms")}
    _publish(sim, "customer_updated", "c0", when, consents=stop)
    assert not sim.customer("c0").runs
    before = outcomes_of(sim.decisions, _now(sim)).goals
    _publish(sim, "purchase", "c0", when + timedelta(days=2), order_id="late", total=5.0)
    assert outcomes_of(sim.decisions, _now(sim)).goals == before + 1


def test_the_organisations_holdout_is_reported_over_all_journeys() -> None:
    policy = POLICY + "holdout: 20%\n"
    sim = world(0.3, 300, **{"_policy.yaml": policy, "other.yaml": SECOND})
    made = report(sim.decisions, _now(sim))
    assert [one.journey for one in made.journeys] == ["nudge", "other", "all journeys"]
    total = made.journeys[2]
    waiting = total.treated.waiting + total.held_out.waiting
    assert waiting == 300
    assert 30 < total.held_out.waiting < 90


def test_what_if_of_the_policy_that_ran_is_what_came() -> None:
    sim = world(0.0, 150)
    asked = make_policy("auto")
    settings: dict[str, Any] = {"seed": b"simulation:1", "exploration": 0.03, "window": 7 * DAY_MS}
    verdict = what_if(sim.decisions, "auto", asked, _now(sim), **settings)
    assert verdict.mean_weight == pytest.approx(1)
    assert verdict.most_weight == pytest.approx(1)
    assert verdict.refused == "" or verdict.effective < 200
    assert (
        what_if(sim.decisions, "fixed:sms", make_policy("fixed:sms"), _now(sim), **settings).effective
        < verdict.effective
    )
    with pytest.raises(OrchestratorError, match="best_fixed"):
        what_if(sim.decisions, "best_fixed", make_policy("best_fixed"), _now(sim), **settings)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_SEED", "simulation:1")
    file = tmp_path / "records.jsonl"
    file.write_bytes(b"\n".join(decisions.encode(one) for one in world(0.3, 300).decisions))
    runner = CliRunner()
    shown = runner.invoke(app, ["report", "--decisions", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "nudge" in shown.output
    assert "each counted once" in shown.output
    told = runner.invoke(app, ["report", "nudge", "--json", "--decisions", str(file)])
    assert json.loads(told.output)["journeys"][0]["treated"]["exposed"] > 100
    valued = runner.invoke(app, ["policy", "evaluate", "--policy", "random", "--decisions", str(file), "--json"])
    assert valued.exit_code == 0, valued.output
    assert json.loads(valued.output)["dr"]["value"]
    assert runner.invoke(app, ["policy", "evaluate", "--policy", "nonsense", "--events", str(file)]).exit_code == 2
    file.write_text("not a record\n")
    broken = runner.invoke(app, ["report", "--decisions", str(file)])
    assert isinstance(broken.exception, OrchestratorError)
    assert "records.jsonl:1" in str(broken.exception)
