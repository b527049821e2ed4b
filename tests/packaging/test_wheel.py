"""The wheel: two prefixed packages and nothing else, with the schemas and journeys as data."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_two_packages_and_the_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    # A top-level `channels` would overwrite Django Channels; `orchestrator/core` belongs to another package.
    assert tops == {"orchestrator", "orchestrator_channels"}
    assert not [name for name in names if name.startswith("orchestrator/core/")]
    for wanted in (
        "orchestrator/py.typed",
        "orchestrator_channels/py.typed",
        "orchestrator/stores/lua/commit.lua",
        "orchestrator/_data/schemas/event.schema.json",
        "orchestrator/_data/journeys/refill_reminder.yaml",
    ):
        assert wanted in names
