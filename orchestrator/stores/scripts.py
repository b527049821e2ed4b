"""The Lua scripts of this package, each in its own file headed by its signature."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"


@cache
def source(name: str) -> str:
    """The text of `lua/<name>.lua`."""
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
