"""Importing libraries that use deprecated parts of Python, under `-W error`.

The filters are narrow: they hold while the import runs and ignore deprecations only, so a warning raised by our own
code or by a library at work still counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deprecations_ignored() -> Iterator[None]:
    """Ignore deprecations while third-party modules are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        yield
