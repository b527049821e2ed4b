"""Policies of choice that installed packages bring, by the entry point group `orchestrator.policies`.

An entry point names a maker: a function that takes what stands after the colon in `choice: name:argument` and returns
a policy (`orchestrator.learning.choice.ChoicePolicy`). A built-in name cannot be taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from orchestrator.learning.policies import BUILT_IN, PolicyMaker

GROUP = "orchestrator.policies"


@cache
def policy_makers() -> Mapping[str, PolicyMaker]:
    """All makers by name. An add-on that fails to load raises here, at start, not at its first decision."""
    found = {entry.name: entry.load() for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN}
    return {**found, **BUILT_IN}
