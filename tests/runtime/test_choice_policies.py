"""Policies of choice that installed packages bring are found by their entry point; built-in names stay ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.language.journeys import compile_program
from orchestrator.learning.policies import BUILT_IN
from orchestrator.runtime.choice_policies import policy_makers
from orchestrator.testing.simulation import Simulation

FILES = {
    "_policy.yaml": "channels:\n  email: {consent: {marketing: opt_out}}\n  sms: {consent: {marketing: opt_out}}\n"
    "choice: loudest:sms\n",
    "n.yaml": "name: N\nowner: t\ntrigger: nudge\nsteps:\n  - send: hello\n",
    "messages/hello.md": "---\nsubject: Hello\nsms: Hello\n---\nHello.\n",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with two policies, as an installer leaves it."""
    (tmp_path / "loud_policies.py").write_text(
        "def loudest(argument):\n"
        "    return lambda situation: [1.0 if c.channel == argument else 0.0 for c in situation.candidates]\n"
    )
    info = tmp_path / "loud_policies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-policies\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[orchestrator.policies]\nloudest = loud_policies:loudest\nauto = loud_policies:loudest\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    policy_makers.cache_clear()
    yield
    policy_makers.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_installed_policy_chooses() -> None:
    sim = Simulation(compile_program(FILES), seed=1)
    address = {"addresses": {"email": "a@example.com", "phone": "+15005550006"}}
    sim.publish({"type": "customer_updated", "customer": "ada", "time": "2026-03-02T10:00:00Z", "data": address})
    (send,) = sim.publish({"type": "nudge", "customer": "ada", "time": "2026-03-02T11:00:00Z"})
    assert (send.channel, send.propensity) == ("sms", 1.0)


@pytest.mark.usefixtures("installed")
def test_a_built_in_name_cannot_be_taken() -> None:
    assert policy_makers()["auto"] is BUILT_IN["auto"]
