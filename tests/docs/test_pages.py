"""The pages say what is so: links lead somewhere, commands exist, examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from orchestrator.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "channels/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target and "{{" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    root = get_command(app)
    for line in re.findall(r"(?:^|`)orchestrator ([a-z][a-z ]*)", page.read_text(), flags=re.MULTILINE):
        command = root
        for word in line.split():
            children = getattr(command, "commands", None)
            if children is None:
                break
            assert word in children, f"{page.name}: orchestrator {line}"
            command = children[word]


def test_the_readme_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    assert "sms still_thinking" in capsys.readouterr().out


def test_the_readme_journey_loads() -> None:
    from orchestrator.language.journeys import compile_program
    from orchestrator.runtime.journey_files import read_journeys

    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    files = read_journeys(ROOT / "journeys")
    assert compile_program({**files, "from_readme.yaml": text}).journeys["from_readme"].name == "Refill reminder"
