"""Where in its file a step of a compiled journey stands: an instruction's path, read back."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.errors import Finding
from orchestrator.language.load import Document, Path, load

_PART = re.compile(r"([a-z_]+)|\[(\d+)\]")


def path_of(place: str) -> Path:
    """`steps[3].branch[0].then[1]` as the keys and positions it names."""
    return tuple(match[1] if match[1] else int(match[2]) for match in _PART.finditer(place))


class Places:
    """Finds steps and keys in the files of one folder; a file is read again only when something is found in it."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._documents: dict[str, Document] = {}

    def document(self, slug: str) -> Document:
        """The journey's file as loaded."""
        file = f"{slug}.yaml"
        if file not in self._documents:
            self._documents[file] = load(file, self._files.get(file, ""))
        return self._documents[file]

    def at(self, slug: str, place: str, message: str, fix: str, *, level: str = "warning", key: str = "") -> Finding:
        """A finding at a step (or at one of its keys, where the file has it), or at a key of the journey's head."""
        document = self.document(slug)
        path = path_of(place)
        full = (*path, key) if key and (*path, key) in document.values else path
        found = document.place(full)
        return Finding(
            document.file, found.line, found.column, message, fix, level="error" if level == "error" else "warning"
        )
