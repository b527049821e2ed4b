"""A corpus of files with every finding they must give, word for word.

Each file of `invalid/` has a sibling `.txt`, one finding a line. Running this file as a script writes them anew after a
change of words; read the difference before you commit it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import JourneysInvalid
from orchestrator.language.journeys import check_program, compile_program

FOLDER = Path(__file__).parent / "invalid"
MESSAGE = "---\nsubject: Hello\nsms: Hello\n---\nHello\n"
CASES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def found(case: str) -> str:
    files = {f"{case}.yaml": (FOLDER / f"{case}.yaml").read_text(), "messages/hello.md": MESSAGE}
    program, findings = check_program(files)
    assert program is None
    return "".join(f"{finding}\n" for finding in findings)


@pytest.mark.parametrize("case", CASES)
def test_findings_are_exactly_these(case: str) -> None:
    assert found(case) == (FOLDER / f"{case}.txt").read_text()


def test_all_files_report_at_once() -> None:
    files = {f"{case}.yaml": (FOLDER / f"{case}.yaml").read_text() for case in CASES}
    files |= {"_policy.yaml": "curency: EUR\n", "messages/hello.md": MESSAGE, "messages/bad.md": "no front matter"}
    with pytest.raises(JourneysInvalid) as caught:
        compile_program(files)
    assert {finding.file for finding in caught.value.findings} >= {f"{case}.yaml" for case in CASES}
    assert {"_policy.yaml", "messages/bad.md"} <= {finding.file for finding in caught.value.findings}


if __name__ == "__main__":
    for name in CASES:
        (FOLDER / f"{name}.txt").write_text(found(name))
