"""For every verb and key: what is valid loads without a finding, what is not is refused in exactly these words, and
`docs/journeys.md` shows both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conformance_pages import FOLDER, PAGE, cases, expected, findings, meaning, page, said

from orchestrator.language.model import VERBS, JourneyForm


def _name(path: Path) -> str:
    return f"{path.parents[1].name}/{path.stem}"


@pytest.mark.parametrize("path", cases("valid"), ids=_name)
def test_valid(path: Path) -> None:
    assert findings(path) == ()
    assert meaning(path)


@pytest.mark.parametrize("path", cases("invalid"), ids=_name)
def test_invalid(path: Path) -> None:
    assert any(finding.level == "error" for finding in findings(path))
    assert said(path) == expected(path)


def test_every_verb_and_key_has_both() -> None:
    plain = {"name", "owner", "status", "priority", "purpose", "steps"}
    for key in {*VERBS, *JourneyForm.model_fields} - plain:
        for kind in ("valid", "invalid"):
            assert list((FOLDER / key / kind).glob("*.yaml")), f"{key}/{kind}"


def test_the_page_shows_every_example() -> None:
    assert page() == PAGE.read_text(), "run: python tests/language/conformance_pages.py"
    shown = set(re.findall(r"<!-- examples: (\w+) -->", PAGE.read_text()))
    assert shown == {path.name for path in FOLDER.iterdir() if path.is_dir()}
