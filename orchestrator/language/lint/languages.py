"""Gaps between languages: messages that lack a language others have, and translations that lost something."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.findings import listed, quoted
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import MessageTemplate
from orchestrator.language.reads import links


def findings(checked: Checked) -> Iterator[Finding]:
    """Missing translations of messages in use, and channels, facts or links that a translation lost."""
    messages = checked.program.messages
    used = {name for journey in checked.journeys() for _, send in checked.sends(journey) for name in send.messages}
    spoken = {locale for name in used if name in messages for locale in messages[name].locales}
    for name in sorted(used & messages.keys()):
        template = messages[name]
        lacking = sorted(spoken - template.locales.keys())
        if lacking:
            yield Finding(
                template.file,
                1,
                1,
                f"{quoted(name)} has no {listed(lacking)} text, other messages do:"
                " those customers read it in the language of this file",
                f"write messages/{name}.{lacking[0]}.md",
                "warning",
            )
        for _, other in sorted(template.locales.items()):
            yield from _lost(template, other)


def _lost(template: MessageTemplate, other: MessageTemplate) -> Iterator[Finding]:
    for channel in sorted(template.channels.keys() - other.channels.keys()):
        yield Finding(
            other.file, 1, 1, f"{channel} is not translated: it goes out in the language of {template.file}",
            f"add '{channel}' to {other.file}", "warning",
        )  # fmt: skip
    for channel in sorted(other.channels.keys() - template.channels.keys()):
        yield Finding(
            other.file, 1, 1, f"{channel} is in no other language: it is never used",
            f"add '{channel}' to {template.file}", "warning",
        )  # fmt: skip
    for channel in sorted(template.channels.keys() & other.channels.keys()):
        lost = _links(template, channel) - _links(other, channel)
        if lost:
            yield Finding(
                other.file, other.lines.get(f"{channel}.body", 1), 1,
                f"{channel} does not lead to {listed(sorted(lost))}, as {template.file} does",
                "give every language the same links", "warning",
            )  # fmt: skip


def _links(template: MessageTemplate, channel: str) -> frozenset[str]:
    parts = template.channels[channel]
    return frozenset(
        link for part, source in parts.items() for link in links(source, markdown=channel == "email" and part == "body")
    )
