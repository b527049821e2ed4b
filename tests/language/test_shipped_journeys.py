"""The journeys in the repository load, and every message of theirs renders on every channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.content.render import render
from orchestrator.errors import JourneysInvalid
from orchestrator.language.journeys import check_program
from orchestrator.language.load import MAX_BYTES
from orchestrator.language.program import Send
from orchestrator.runtime.journey_files import load_program, read_journeys

FOLDER = Path(__file__).parents[2] / "journeys"
FACTS = {
    "customer": {"orders": 4, "revenue": 80.5},
    "product": {"name": "Regency tea plate", "category": "kitchen", "price": 4.25, "url": "https://shop.test/p/23168"},
    "order": {"id": "o1", "revenue": 12.5},
    "run": {"id": "r1", "entered": 0},
}
#: What sends give by `with`.
GIVEN = {"code": "COMEBACK10", "gives": "10 % off"}
BARE = {"customer": {}, "product": {"name": "Regency tea plate"}, "run": {}}


def test_they_load_without_a_warning_and_are_live() -> None:
    program, findings = check_program(read_journeys(FOLDER))
    assert findings == ()
    assert program is not None
    assert {slug for slug, journey in program.journeys.items() if journey.status == "live"} >= {
        "refill_reminder",
        "browse_follow_up",
        "how_was_it",
        "we_miss_you",
        "first_order",
        "bought_in_the_shop",
        "mail_does_not_reach_her",
        "you_reviewed_it",
    }
    assert [stage.name for stage in program.stages] == ["dormant", "loyal", "regular", "new", "visitor"]


@pytest.mark.parametrize("facts", [FACTS, BARE], ids=["all facts", "bare facts"])
def test_every_message_renders_on_all_three_channels(facts: dict[str, object]) -> None:
    program = load_program(FOLDER)
    used = {
        name
        for journey in program.journeys.values()
        for s in journey.steps
        if isinstance(s, Send)
        for name in s.messages
    }
    assert used == set(program.messages)
    for template in program.messages.values():
        assert set(template.channels) == {"email", "sms", "push"}
        for channel in template.channels:
            content = render(template, channel, {**facts, **GIVEN}, unsubscribe_url="https://shop.test/u")
            if any("product.name" in source for source in template.channels[channel].values()):
                assert "Regency tea plate" in f"{content.text} {content.title} {content.subject}"
            assert "{" not in content.text
        # One text message of at most two parts, so that its price is what the policy says.
        assert len(render(template, "sms", {**facts, **GIVEN}).text) <= 306


def test_most_of_them_offer_nothing() -> None:
    """An offer is a price or a gift for buying. Only one of the eight ever makes one."""
    program = load_program(FOLDER)
    offering = {
        slug
        for slug, journey in program.journeys.items()
        for step in journey.steps
        if isinstance(step, Send) and "code" in step.literals
    }
    assert offering == {"we_miss_you"}


def test_the_reader_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(JourneysInvalid, match="no such folder"):
        read_journeys(tmp_path / "nowhere")
    (tmp_path / "messages").mkdir()
    (tmp_path / "big.yaml").write_text("a" * (MAX_BYTES + 1))
    (tmp_path / "latin.yaml").write_bytes(b"name: x\nowner: caf\xe9\n")
    (tmp_path / "good.scenario.yaml").write_text("not a journey")
    (tmp_path / "README.md").write_text("# Not a message")
    (tmp_path / "messages" / "README.md").write_text("# Not a message")
    with pytest.raises(JourneysInvalid) as caught:
        read_journeys(tmp_path)
    assert [str(finding) for finding in caught.value.findings] == [
        "big.yaml:1:1: the file is larger than 256 KiB (split it into several files)",
        "latin.yaml:2:11: a byte that is not UTF-8 (save the file as UTF-8)",
    ]


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfname: x\r\nowner: y\r\n")
    assert read_journeys(tmp_path) == {"a.yaml": "name: x\nowner: y\n"}
