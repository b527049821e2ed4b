"""Real services for tests, found by a ladder: one that is named by a variable, Docker, a local process.

Nothing here is a mock. Where no rung carries, `ServiceMissing` says what would help, and the test is skipped
(on a laptop) or fails (under CI=true).
"""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class ServiceMissing(OrchestratorError):
    """A real service cannot be had on this machine. The message says what to install."""

    fault = "operator"
