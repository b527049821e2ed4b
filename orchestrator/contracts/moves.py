"""A move of runs from one version of a journey to another, as the log carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Move(msgspec.Struct, array_like=True, frozen=True):
    """Runs of version `old` go on as `new`. Every step a run may stand at has its place in the new version."""

    journey: str
    old: str
    new: str
    #: Position of the old version → position of the new one.
    positions: dict[int, int]
    #: Path of an old step → path of the new one: what was sent there counts as sent.
    paths: dict[str, str]

    def data(self) -> dict[str, Any]:
        """What a control record of kind `move` carries."""
        positions = [[old, new] for old, new in sorted(self.positions.items())]
        return {"journey": self.journey, "old": self.old, "new": self.new, "positions": positions, "paths": self.paths}


def move_of(data: Mapping[str, Any]) -> Move:
    """The move of a control record."""
    return Move(
        journey=str(data["journey"]),
        old=str(data["old"]),
        new=str(data["new"]),
        positions={int(old): int(new) for old, new in data["positions"]},
        paths={str(old): str(new) for old, new in data["paths"].items()},
    )
