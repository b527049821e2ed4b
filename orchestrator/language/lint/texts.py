"""Text messages that cost more parts than they need, and notifications that phones cut."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from orchestrator.content.previews import BODY_SHOWN, TITLE_SHOWN
from orchestrator.content.sms_parts import PLAIN
from orchestrator.errors import Finding
from orchestrator.language.findings import listed, quoted
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import MessageTemplate
from orchestrator.language.reads import parsed


def findings(checked: Checked) -> Iterator[Finding]:
    """Typographic characters in text messages; notifications whose fixed text alone is too long to be shown."""
    for _, template in sorted(checked.program.messages.items()):
        for one in (template, *template.locales.values()):
            yield from _typographic(one)
            yield from _cut(one)


def _typographic(template: MessageTemplate) -> Iterator[Finding]:
    source = template.channels.get("sms", {}).get("text", "")
    found = [char for char in dict.fromkeys(fixed(source)) if char in PLAIN] if source else []
    if found:
        yield Finding(
            template.file,
            template.lines.get("sms.text", 1),
            1,
            f"sms: {listed(map(quoted, found))} makes every part 70 characters long instead of 160",
            f"write {listed(quoted(PLAIN[char]) for char in found)}",
            "warning",
        )


def _cut(template: MessageTemplate) -> Iterator[Finding]:
    for part, most in (("title", TITLE_SHOWN), ("body", BODY_SHOWN)):
        length = len(fixed(template.channels.get("push", {}).get(part, "")))
        if length > most:
            yield Finding(
                template.file,
                template.lines.get(f"push.{part}", 1),
                1,
                f"push {part}: {length} characters before anything is filled in; phones show about {most}",
                "say the most important thing first, and less",
                "warning",
            )


def fixed(source: str) -> str:
    """The text of a source that stands in it for everybody."""
    return "".join(node.data for node in parsed(source).find_all(nodes.TemplateData)) if source else ""
