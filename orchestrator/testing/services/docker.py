"""Whether containers can be had here."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec


def docker_runs() -> bool:
    """Whether a Docker engine answers at once and testcontainers is installed.

    The command line is asked, not the library: the library leaves an open socket behind where no engine answers.
    """
    docker = shutil.which("docker")
    if docker is None or find_spec("testcontainers") is None:
        return False
    try:
        asked = subprocess.run([docker, "version"], capture_output=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
