"""Python's cyclic garbage collector, set for a process that keeps many documents.

A worker caches tens of thousands of documents, each of a dozen objects, none of them in a cycle. With the interpreter's
defaults the collector looks through all of them again and again and finds nothing: a third of the worker's time on
cold customers, and pauses. Reference counts free what is dropped either way.
"""

from __future__ import annotations

import gc

#: New objects between two looks at the young ones; then looks of each generation between two of the next.
#: Cycles exist (errors with their tracebacks, ended tasks), so the collector is not switched off.
THRESHOLDS = (50_000, 20, 50)


def calm() -> None:
    """Leave out what was loaded so far, and look less often. For the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
