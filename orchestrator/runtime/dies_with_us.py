"""A child process that ends when we do, however we end: a killed test or demo leaves no server behind."""

from __future__ import annotations

import signal
import subprocess

#: Asks the child to end (gracefully) as soon as standard input closes, which it does when the owner dies.
_WATCH = 'read -r _; kill -TERM "$1" 2>/dev/null'


class Watch:
    """Watches over one child of ours."""

    def __init__(self, pid: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _WATCH, "watch", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """Stop watching. Call it before the ended child is waited for: its number may be given to another process."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
