"""Every verb and key reads aloud: the whole conformance folder and the specification, in sentences and drawings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conformance_pages import FOLDER, cases, files_of

from orchestrator.language.explain import explain, mermaid
from orchestrator.language.journeys import compile_program
from orchestrator.language.layout import laid_out
from orchestrator.language.lint import lint
from orchestrator.language.program import Jump, Program

MESSAGE = "---\nsubject: Hello\nsms: Hello\npush: {title: Hello, body: Hello}\n---\nHello\n"
SPECIFICATION = Path(__file__).parent / "specification"


def specification() -> Program:
    files = {path.name: path.read_text() for path in SPECIFICATION.glob("*.yaml")}
    for name in {word for text in files.values() for word in re.findall(r"[a-z_]+", text)}:
        files[f"messages/{name}.md"] = MESSAGE
    return compile_program(files)


def reads_aloud(program: Program) -> None:
    for journey in program.journeys.values():
        lines = explain(journey, program)
        said = {line.step for line in lines}
        for step in journey.steps:
            if not isinstance(step, Jump):
                assert step.path.removesuffix(".if") in said, step.path
        for line in lines:
            assert line.text
            assert line.text[-1] in ".:", line.text
            assert not re.search(r"None|the the |  |\.\.|Missing|<[A-Za-z]", line.text), line.text
        drawing = mermaid(journey)
        nodes = set(re.findall(r"^  (s\d+|start|done)[\[{(]", drawing, re.MULTILINE))
        arrows = re.findall(r"^  (\S+) -->(?:\|\"[^\"]*\"\|)? (\S+)$", drawing, re.MULTILINE)
        assert {end for arrow in arrows for end in arrow} <= nodes


@pytest.mark.parametrize("path", cases("valid"), ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_the_conformance_folder_reads_aloud_and_the_lint_takes_it(path: Path) -> None:
    files = files_of(path)
    program = compile_program(files)
    reads_aloud(program)
    lint(files, program)
    for name, text in files.items():
        if name.endswith(".yaml"):
            once = laid_out(name, text)
            assert laid_out(name, once) == once


def test_the_specification_reads_aloud() -> None:
    program = specification()
    reads_aloud(program)
    text = [line.text for line in explain(program.journeys["we_miss_you"], program)]
    assert "It starts when there has been no purchase for 2 times as long as is usual for her." in text
    assert "33% of customers, called 'free_shipping':" in text
    assert "'no_offer' gets nothing here, to compare with." in text
    assert "Note for her: lifecycle is 'dormant'." in text
    assert FOLDER.is_dir()
