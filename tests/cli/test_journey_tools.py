"""`orchestrator journeys …` as a marketer types it: what is printed, what is written, how it ends."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app

SHIPPED = Path(__file__).parents[2] / "journeys"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped journeys, to be changed at will."""
    shutil.copytree(SHIPPED, tmp_path / "journeys")
    return tmp_path / "journeys"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["journeys", *map(str, arguments)])


def changed(folder: Path, file: str, out: str, into: str) -> None:
    text = (folder / file).read_text()
    assert out in text
    (folder / file).write_text(text.replace(out, into, 1))


def test_check_is_content_with_what_ships(folder: Path) -> None:
    result = run("check", folder)
    assert result.exit_code == 0
    assert "are fine" in result.stdout
    assert "next: orchestrator journeys test" in result.stderr


def test_check_tells_place_meaning_and_fix_in_three_forms(folder: Path) -> None:
    changed(folder, "refill_reminder.yaml", "  - wait_for: response", "  - wiat_for: response")
    line = (folder / "refill_reminder.yaml").read_text().split("wiat_for")[0].count("\n") + 1
    text = run("check", folder)
    assert text.exit_code == 1
    assert (
        f"{folder}/refill_reminder.yaml:{line}:5: error: unknown key 'wiat_for' — did you mean 'wait_for'?"
        in text.stdout
    )
    assert "next:" not in text.stderr
    github = run("check", folder, "--format", "github")
    assert github.exit_code == 1
    assert f"::error file={folder}/refill_reminder.yaml,line={line},col=5::unknown key 'wiat_for'" in github.stdout
    found = json.loads(run("check", folder, "--json").stdout)
    assert (found[0]["line"], found[0]["column"], found[0]["level"]) == (line, 5, "error")


def test_check_looks_across_journeys_and_can_be_strict(folder: Path) -> None:
    changed(folder, "browse_follow_up.yaml", "    expires: 24h\n", "    expires: 5h\n")
    result = run("check", folder)
    assert result.exit_code == 0
    assert "warning: this may expire before it is allowed to go" in result.stdout
    assert run("check", folder, "--strict").exit_code == 1
    assert run("check", folder / "refill_reminder.yaml", "--strict").exit_code == 0


def test_explain_reads_aloud_and_draws(folder: Path) -> None:
    result = run("explain", "refill_reminder", "--dir", folder)
    assert result.exit_code == 0
    assert "- Wait until 3 days before she is due to buy again, by her own rhythm." in result.stdout
    assert "  - If she did not respond:\n    - Send 'refill_last_call' on another channel" in result.stdout
    drawing = run("explain", "refill_reminder", "--dir", folder, "--mermaid").stdout
    assert drawing.startswith("flowchart TD\n")
    assert '-->|"she did not respond"|' in drawing
    sentences = json.loads(run("explain", "refill_reminder", "--dir", folder, "--json").stdout)["sentences"]
    assert {"steps[0]", "steps[1]"} <= {one["step"] for one in sentences}


def test_a_journey_that_is_not_there_is_guessed(folder: Path) -> None:
    result = run("explain", "refil_reminder", "--dir", folder)
    assert result.exit_code == 2
    assert "did you mean 'refill_reminder'?" in result.stderr


def test_simulate_tells_each_decision_with_its_reason(folder: Path) -> None:
    result = run("simulate", "refill_reminder", "--dir", folder)
    assert result.exit_code == 0
    assert "entered refill_reminder" in result.stdout
    assert "sent refill_reminder by" in result.stdout
    assert "the best expected answer" in result.stdout
    assert "ignored in this run" in result.stdout
    assert result.stdout == run("simulate", "refill_reminder", "--dir", folder).stdout
    decisions = json.loads(run("simulate", "refill_reminder", "--dir", folder, "--json", "--channels", "sms").stdout)
    assert [one["kind"] for one in decisions] == ["entered", "sent", "skipped", "ended"]
    assert decisions[2]["reason"] == "no_channel"


def test_simulate_answers_and_buys_as_told(folder: Path) -> None:
    clicked = run("simulate", "refill_reminder", "--dir", folder, "--json", "--channels", "sms", "--answers", "sms")
    assert [one["reason"] for one in json.loads(clicked.stdout) if one["kind"] == "ended"] == ["finished"]
    assert not [one for one in json.loads(clicked.stdout) if one["kind"] == "skipped"]
    bought = run("simulate", "refill_reminder", "--dir", folder, "--json", "--buys-after", "5", "--days", "10")
    assert [one["reason"] for one in json.loads(bought.stdout) if one["kind"] == "ended"] == ["goal"]


def test_simulate_says_why_nobody_enters(folder: Path) -> None:
    result = run("simulate", "browse_follow_up", "--dir", folder, "--with", "product.price=2")
    assert result.exit_code == 1
    assert "she did not enter: the invented event does not fit the trigger" in result.stdout


def test_the_shipped_scenarios_pass_and_every_journey_has_one(folder: Path) -> None:
    result = run("test", "--dir", folder)
    assert result.exit_code == 0, result.stdout
    assert "without a scenario" not in result.stderr
    assert "failed" not in result.stdout


@pytest.mark.parametrize(
    ("journey", "out", "into"),
    [
        ("refill_reminder", "3d before next_due", "9d after next_due"),
        ("refill_reminder", "up_to: 3d", "up_to: 9d"),
        ("refill_reminder", "channel: other", "channel: same"),
        ("refill_reminder", "at least 2", "at least 1"),
        ("refill_reminder", "not response", "response"),
        ("refill_reminder", "{event: order_cancelled, same: order.id}", "{event: review}"),
        ("refill_reminder", "product.category: same", "product.category: tea"),
        ("browse_follow_up", "over 4", "over 2"),
        ("browse_follow_up", "over 4", "over 40"),
        ("browse_follow_up", "    after_last: view", "    name: no more looks"),
        ("browse_follow_up", "wait: 2h", "wait: 4h"),
        ("browse_follow_up", "[response, cart_add]", "[response]"),
        ("browse_follow_up", "if: response or cart_add", "if: response"),
        ("browse_follow_up", "channel: other", "channel: same"),
        ("browse_follow_up", "product.category: same", "product.category: tea"),
    ],
)
def test_a_changed_journey_fails_its_scenarios(folder: Path, journey: str, out: str, into: str) -> None:
    changed(folder, f"{journey}.yaml", out, into)
    result = run("test", journey, "--dir", folder)
    assert result.exit_code == 1, result.stdout
    assert "expected" in result.stdout or "nothing waits for" in result.stdout


def test_a_failure_says_what_was_expected_and_what_happened(folder: Path) -> None:
    changed(folder, "browse_follow_up.scenario.yaml", 'at: "13:00"', 'at: "12:00"')
    result = run("test", "browse_follow_up", "--dir", folder)
    assert result.exit_code == 1
    assert (
        "expected 'still_thinking' at 12:00, but she got 'still_thinking' by push on 2026-03-02 13:00" in result.stdout
    )
    assert "entered browse_follow_up" in result.stdout
    one = next(one for one in json.loads(run("test", "--dir", folder, "--json").stdout) if not one["passed"])
    assert one["line"] == 12


def test_a_scenario_with_a_typing_mistake_names_it(folder: Path) -> None:
    changed(
        folder,
        "browse_follow_up.scenario.yaml",
        "expect: {send: still_thinking, at",
        "expect: {sned: still_thinking, at",
    )
    result = run("test", "browse_follow_up", "--dir", folder)
    assert result.exit_code == 1
    assert "unknown key 'sned' — did you mean 'send'?" in result.stdout


def test_preview_shows_every_channel_and_what_it_costs(folder: Path) -> None:
    changed(
        folder,
        "messages/refill_reminder.md",
        "About now is when you usually reorder. The",
        "About “now”… " + "is when " * 20 + "The",
    )
    changed(folder, "messages/refill_reminder.md", "Want the same again?", "Want the same “again”?")
    shown = {
        one["channel"]: one for one in json.loads(run("preview", "refill_reminder", "--dir", folder, "--json").stdout)
    }
    assert set(shown) == {"email", "sms", "push"}
    assert "<html" in shown["email"]["html"]
    assert shown["sms"]["sms"] == {"encoding": "UCS-2", "parts": 2, "units": 115, "room": 134}
    assert shown["push"]["cut"]["body"].endswith("…")
    text = run("preview", "refill_reminder", "--dir", folder, "--save", folder / "out")
    assert "2 parts, 115 of 134 places, UCS-2, because of “ ”" in text.stdout
    assert (folder / "out" / "refill_reminder.email.html").read_text() == shown["email"]["html"]


def test_preview_of_a_stranger_finds_what_would_fail(folder: Path) -> None:
    assert run("preview", "refill_reminder", "--dir", folder, "--customer", "stranger").exit_code == 0
    changed(folder, "messages/refill_reminder.md", "Want the same again?", "Like last time, {{ customer.first_name }}?")
    result = run("preview", "refill_reminder", "--dir", folder, "--customer", "stranger", "--json")
    assert result.exit_code == 1
    failed = [one["failure"] for one in json.loads(result.stdout) if one["failure"]]
    assert len(failed) == 1
    assert "is missing for this customer" in failed[0]


def test_preview_in_another_language(folder: Path) -> None:
    german = (folder / "messages/refill_reminder.md").read_text().replace("Is it time for", "Ist es Zeit für")
    (folder / "messages/refill_reminder.de.md").write_text(german)
    shown = json.loads(run("preview", "refill_reminder", "--dir", folder, "--locale", "de-AT", "--json").stdout)
    email = next(one for one in shown if one["channel"] == "email")
    assert email["subject"].startswith("Ist es Zeit")
    assert email["file"] == "messages/refill_reminder.de.md"
    assert 'lang="de"' in email["html"]


def test_fmt_keeps_comments_and_meaning(folder: Path) -> None:
    assert run("fmt", "--dir", folder, "--check").exit_code == 0
    changed(
        folder,
        "browse_follow_up.yaml",
        "  - exit: engaged\n    if: response or cart_add\n",
        "  - {exit: engaged,   if: response or cart_add}  # she answered\n",
    )
    before = json.loads(run("list", folder, "--json").stdout)
    assert run("fmt", "--dir", folder, "--check").exit_code == 1
    assert run("fmt", "--dir", folder).exit_code == 0
    text = (folder / "browse_follow_up.yaml").read_text()
    assert re.search(r"  - exit: engaged +# she answered\n    if: response or cart_add\n", text)
    assert json.loads(run("list", folder, "--json").stdout) == before
    assert run("fmt", "--dir", folder, "--check").exit_code == 0


def test_new_begins_with_something_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    result = run("new", "my_refill", "--from", "refill_reminder", "--dir", folder)
    assert result.exit_code == 0, result.output
    assert "status: draft" in (folder / "my_refill.yaml").read_text()
    assert run("check", folder, "--strict").exit_code == 0
    assert run("test", "my_refill", "--dir", folder).exit_code == 0
    assert run("new", "my_refill", "--dir", folder).exit_code == 1
    assert run("new", "My Refill", "--dir", folder).exit_code == 2
    assert "did you mean 'refill_reminder'" in run("new", "x", "--from", "refill_remindr", "--dir", folder).stderr


def test_list_names_what_there_is(folder: Path) -> None:
    rows = json.loads(run("list", folder, "--json").stdout)
    assert {"refill_reminder", "browse_follow_up"} <= {row["journey"] for row in rows}
    assert "refill_reminder" in run("list", folder).stdout


def test_the_page_for_marketers_can_be_followed(tmp_path: Path) -> None:
    """The journey and the scenarios of docs/journeys-tools.md, typed as it says."""
    page = (SHIPPED.parent / "docs" / "journeys-tools.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    folder = tmp_path / "journeys"
    assert run("new", "basket_left", "--from", "browse_follow_up", "--dir", folder).exit_code == 0
    text = (folder / "basket_left.yaml").read_text()
    steps = blocks[0].removeprefix("trigger: cart_add\n")
    text = re.sub(r"^trigger:\n( .*\n)+", "trigger: cart_add\n", text, flags=re.MULTILINE)
    (folder / "basket_left.yaml").write_text(text[: text.index("steps:\n")] + steps)
    (folder / "basket_left.scenario.yaml").write_text(blocks[1])
    checked = run("check", folder, "--strict")
    assert checked.exit_code == 0, checked.stdout
    tested = run("test", "--dir", folder)
    assert tested.exit_code == 0, tested.stdout
    assert "2 of 2 scenarios passed" in tested.stdout
    assert run("simulate", "basket_left", "--dir", folder).exit_code == 0


def test_schemas_lie_where_the_files_say(tmp_path: Path) -> None:
    run("new", "mine", "--dir", tmp_path / "shop" / "journeys")
    first = (tmp_path / "shop" / "journeys" / "mine.yaml").read_text().splitlines()[0]
    assert (tmp_path / "shop" / "journeys" / first.partition("$schema=")[2]).exists()


@pytest.mark.parametrize("example", sorted(path.stem for path in SHIPPED.glob("[a-z]*.yaml") if "." not in path.stem))
def test_every_example_can_be_begun_from(tmp_path: Path, example: str) -> None:
    assert run("new", "mine", "--from", example, "--dir", tmp_path).exit_code == 0
    assert run("check", tmp_path, "--strict").exit_code == 0
    assert run("test", "--dir", tmp_path).exit_code == 0
