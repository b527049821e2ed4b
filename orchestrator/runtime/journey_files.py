"""Reads a folder of journey files. Thin: everything about their meaning is in `language`."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import Finding, JourneysInvalid
from orchestrator.language.journeys import compile_program
from orchestrator.language.load import MAX_BYTES
from orchestrator.language.program import Program


def read_journeys(folder: Path) -> dict[str, str]:
    """Relative name → text of every journey, message and policy file. Scenarios and README files are left out.

    Raises JourneysInvalid for what cannot be read as text: a missing folder, too large a file, bytes not UTF-8.
    """
    if not folder.is_dir():
        raise JourneysInvalid((Finding(str(folder), 1, 1, "no such folder of journeys", "set 'journeys' to a folder"),))
    texts: dict[str, str] = {}
    faults: list[Finding] = []
    paths = [*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("messages/*.md")]
    for path in sorted(path for path in paths if path.is_file() and _wanted(path)):
        name = path.relative_to(folder).as_posix()
        if path.stat().st_size > MAX_BYTES:
            faults.append(
                Finding(name, 1, 1, f"the file is larger than {MAX_BYTES // 1024} KiB", "split it into several files")
            )
            continue
        raw = path.read_bytes()
        try:
            texts[name] = raw.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            before = raw[: error.start]
            line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
            faults.append(Finding(name, line, column, "a byte that is not UTF-8", "save the file as UTF-8"))
    if faults:
        raise JourneysInvalid(tuple(faults))
    return texts


def _wanted(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith(".scenario.yaml") and path.stem != "README"


def load_program(folder: Path) -> Program:
    """The program of a folder. Raises JourneysInvalid with every fault of every file."""
    return compile_program(read_journeys(folder))
