"""Where the journeys that ship with the product lie: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import OrchestratorError

_PACKAGE = Path(__file__).parents[1]


def shipped_journeys() -> Path:
    """The folder of the shipped journeys. Raises OrchestratorError when the installation lacks it."""
    for folder in (_PACKAGE / "_data" / "journeys", _PACKAGE.parent / "journeys"):
        if folder.is_dir():
            return folder
    raise OrchestratorError("the shipped journeys are not installed", fix="install the package again")
