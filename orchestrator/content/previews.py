"""What one message looks like on each channel for one customer: content, text-message parts, cut notifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.content.render import render
from orchestrator.content.sms_parts import Parts, sms_parts
from orchestrator.contracts.messages import Content
from orchestrator.errors import TemplateFailed
from orchestrator.language.program import MessageTemplate

#: Characters that a locked phone shows, as push services advise; models differ, so it is a bound for authors.
TITLE_SHOWN, BODY_SHOWN = 50, 150
UNSUBSCRIBE = "https://shop.example/unsubscribe"


@dataclass(frozen=True, slots=True)
class Preview:
    """One channel. Either `content`, or `failure` says why there is none."""

    channel: str
    content: Content | None = None
    failure: str = ""
    fix: str = ""
    #: The file the text comes from: a translation's, or the message's own.
    file: str = ""
    sms: Parts | None = None
    #: What a phone shows of a notification, when it shows less than all: part → text.
    cut: Mapping[str, str] = field(default_factory=dict)


def previews(
    template: MessageTemplate, facts: Mapping[str, Any], *, purpose: str = "marketing", locale: str = ""
) -> list[Preview]:
    """The message on every channel it has content for."""
    return [_preview(template, channel, facts, purpose, locale) for channel in sorted(template.channels)]


def _preview(template: MessageTemplate, channel: str, facts: Mapping[str, Any], purpose: str, locale: str) -> Preview:
    file = template.spoken(locale, channel).file
    unsubscribe = UNSUBSCRIBE if purpose == "marketing" else ""
    try:
        content = render(template, channel, facts, purpose=purpose, unsubscribe_url=unsubscribe, locale=locale)
    except TemplateFailed as error:
        return Preview(channel, failure=error.message, fix=error.fix, file=file)
    parts = sms_parts(content.text) if channel == "sms" else None
    return Preview(channel, content, file=file, sms=parts, cut=_cut(content) if channel == "push" else {})


def _cut(content: Content) -> dict[str, str]:
    shown = {"title": (content.title, TITLE_SHOWN), "body": (content.text, BODY_SHOWN)}
    return {part: f"{text[: most - 1].rstrip()}…" for part, (text, most) in shown.items() if len(text) > most}
