"""A channel of somebody else's: the example package is installed with pip and found by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "channel_example"

SEND = """
import asyncio, sys
from orchestrator.contracts.messages import Content, OutgoingMessage
from orchestrator.runtime.channels import load_channels

assert not any(name.startswith("letter_channel") for name in sys.modules)
letter = load_channels({"letter": {"folder": sys.argv[1]}})["letter"]
to = {"name": "Anna", "street": "Weg 1", "city": "10115 Berlin"}
message = OutgoingMessage("s1", "letter", to, Content("Your coffee", subject="Coffee"))
print(letter.address, asyncio.run(letter.send(letter.build(message))).outcome)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    copy = tmp_path_factory.mktemp("source") / "channel_example"
    # A copy, so that building leaves nothing in the checkout.
    subprocess.run(["cp", "-r", str(EXAMPLE), str(copy)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), str(copy)], check=True)
    return target


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_installed_found_and_sends(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "-c", SEND, str(tmp_path))
    assert done.stdout == "postal sent\n", done.stderr
    assert len(list(tmp_path.iterdir())) == 1


def test_it_keeps_the_laws(installed: Path) -> None:
    done = run(installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "test_letter.py"))
    assert done.returncode == 0, done.stdout + done.stderr
