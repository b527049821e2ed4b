"""Whether a message asks for product picks, by showing the list `picks`:

{% for pick in picks %}{{ pick.name }}{% endfor %}
"""

from __future__ import annotations

from functools import lru_cache

from orchestrator.language.program import MessageTemplate, Program
from orchestrator.language.templates import TemplateFault, check

NAME = "picks"


def asks(template: MessageTemplate) -> bool:
    """Whether the message shows picks on any channel."""
    return any(_shows(source) for parts in template.channels.values() for source in parts.values())


def anybody_asks(program: Program) -> bool:
    """Whether any message of the program does."""
    return any(asks(template) for template in program.messages.values())


@lru_cache(maxsize=4096)
def _shows(source: str) -> bool:
    if NAME not in source:
        return False
    try:
        return NAME in check(source)[0]
    except TemplateFault:
        return False
