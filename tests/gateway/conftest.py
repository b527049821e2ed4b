"""The `door` fixture for all tests of this folder."""

from __future__ import annotations

from doors import door, settings

__all__ = ["door", "settings"]
