"""The conformance folder: one small file per meaning, valid with what it means, invalid with what `check` says.

    conformance/<verb or key>/valid/<case>.yaml      first line: a comment with the meaning
    conformance/<verb or key>/invalid/<case>.yaml    last lines: comments with the findings, `# line:column: …`

A file holds only what it is about; the rest of a journey is added below it. Running this file writes the findings into
the invalid files and all examples into `docs/journeys.md`; read the difference before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.errors import Finding
from orchestrator.language.journeys import check_program

FOLDER = Path(__file__).parent / "conformance"
PAGE = Path(__file__).parents[2] / "docs" / "journeys.md"
MESSAGE = "---\nsubject: Hello\nsms: Hello\npush: {title: Hello, body: Hello}\n---\nHello\n"
REST = {
    "name": "name: Example\n",
    "owner": "owner: team\n",
    "trigger": "trigger: purchase\n",
    "steps": "steps: [{send: hello}]\n",
}


def cases(kind: str) -> list[Path]:
    """The files of one kind, `valid` or `invalid`, in order."""
    return sorted(FOLDER.glob(f"*/{kind}/*.yaml"))


def body(path: Path) -> str:
    """The file without the comments that say what it means."""
    return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))


def files_of(path: Path) -> dict[str, str]:
    """The file, filled up to a journey, with its messages."""
    text, group = body(path), path.parents[1].name
    files = {"messages/hello.md": MESSAGE, "messages/bye.md": MESSAGE}
    if group.startswith("_"):
        files[f"{group}.yaml"] = text
    else:
        files["example.yaml"] = text + "".join(
            line for key, line in REST.items() if not re.search(rf"^{key}:", text, re.MULTILINE)
        )
    return files


def findings(path: Path) -> tuple[Finding, ...]:
    """What the loader says of a file, filled up to a journey."""
    return check_program(files_of(path))[1]


def said(path: Path) -> str:
    """The findings as the comments of an invalid file."""
    return "".join(f"# {str(finding).partition(':')[2]}\n" for finding in findings(path))


def expected(path: Path) -> str:
    """The comments an invalid file has."""
    return "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))


def meaning(path: Path) -> str:
    """The meaning that a valid file states in its first line."""
    first = path.read_text().splitlines()[0]
    return first.removeprefix("# ") if first.startswith("# ") else ""


def examples(group: str) -> str:
    """All examples of one verb or key, for the page."""
    lines: list[str] = []
    for path in sorted((FOLDER / group / "valid").glob("*.yaml")):
        lines += ["", meaning(path), "", "```yaml", body(path).rstrip(), "```"]
    invalid = sorted((FOLDER / group / "invalid").glob("*.yaml"))
    if invalid:
        lines += ["", "What `check` refuses, and what it says:"]
    for path in invalid:
        lines += ["", "```yaml", path.read_text().rstrip(), "```"]
    return "\n".join(lines).strip() + "\n"


def page() -> str:
    """The page with every marked place filled anew."""
    return re.sub(
        r"(<!-- examples: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{examples(found[2])}\n{found[3]}",
        PAGE.read_text(),
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for one in cases("invalid"):
        one.write_text(body(one) + said(one))
    PAGE.write_text(page())
