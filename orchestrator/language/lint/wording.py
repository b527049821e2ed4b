"""What a message says about its reader: no fake personalisation, the same facts, links and images on every channel.

A first name alone is no relation. A name may be shown where the message knows something about her besides it: inside
a condition on what she ordered, answered or looked at, and with a fallback for those whose name nobody knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.findings import listed, quoted
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import MessageTemplate
from orchestrator.language.reads import Shown, conditions, images, links, shown

NAMES = frozenset(
    f"customer.{name}"
    for name in ("name", "first_name", "last_name", "firstname", "lastname", "full_name", "given_name", "family_name",
                 "surname", "salutation", "nickname", "title")
)  # fmt: skip
#: Facts that show a relation: what she did with us, not what she is called.
_RELATION_ROOTS = ("order", "product", "reply", "view", "review", "cart_add", "run", "response")
_RELATION = frozenset(
    f"customer.{name}" for name in ("orders", "revenue", "days_since_order", "segments", "lifecycle", "member_since")
)


def findings(checked: Checked) -> Iterator[Finding]:
    """Findings of every message, its translations included."""
    for _, template in sorted(checked.program.messages.items()):
        for one in (template, *template.locales.values()):
            yield from _names(one)
            yield from _addresses(one)


def _is_relation(name: str) -> bool:
    return name in _RELATION or name.split(".", 1)[0].removesuffix("[]") in _RELATION_ROOTS


def _names(template: MessageTemplate) -> Iterator[Finding]:
    for channel, parts in template.channels.items():
        seen: list[tuple[str, Shown]] = [(part, one) for part, source in parts.items() for one in shown(source)]
        named = [(part, one) for part, one in seen if one.name in NAMES]
        if not named:
            continue
        asked = {name for source in parts.values() for name in conditions(source)}
        others = {one.name for _, one in seen} - NAMES - {"unsubscribe_url"}
        if not others and not any(_is_relation(name) for name in asked):
            part, first = named[0]
            yield _at(
                template,
                f"{channel}.{part}",
                first.line,
                f"{channel}: her name is all this message knows about her",
                "say something that is true of her alone (what she bought, asked, looked at), or leave the name away",
            )
            continue
        for part, one in named:
            fallback = one.fallback or one.name in one.guards
            relation = any(_is_relation(guard) for guard in one.guards)
            if not fallback:
                yield _at(
                    template,
                    f"{channel}.{part}",
                    one.line,
                    f"{channel}: {quoted(one.name)} has no fallback: the message fails for customers without a name",
                    f"write {{{{ {one.name} | default('…') }}}}, or ask for it in the condition around it",
                )
            if not relation:
                yield _at(
                    template,
                    f"{channel}.{part}",
                    one.line,
                    f"{channel}: {quoted(one.name)} is shown to people we have no relation with",
                    f"put it inside a condition: {{% if customer.orders and {one.name} %}}",
                )


def _addresses(template: MessageTemplate) -> Iterator[Finding]:
    """Channels that lead to different pages, or show different images."""
    leads = {
        channel: frozenset(
            link
            for part, source in parts.items()
            if part != "image"
            for link in links(source, markdown=channel == "email" and part == "body")
        )
        for channel, parts in template.channels.items()
    }
    everywhere = frozenset().union(*leads.values())
    for channel, own in leads.items():
        # A notification has one link; it must be one of the others'.
        lacking = everywhere - own if channel != "push" or not own else frozenset()
        if lacking:
            yield _at(
                template,
                f"{channel}.{next(iter(template.channels[channel]))}",
                1,
                f"{channel} does not lead to {listed(sorted(lacking))}, another channel does",
                "give every channel the same links",
                warning=True,
            )
    email, push = template.channels.get("email"), template.channels.get("push")
    if email and push and "image" in push:
        pictures = images(email.get("body", ""))
        if push["image"].strip() not in pictures:
            yield _at(
                template, "push.image", 1, "push shows an image that the e-mail does not",
                "show the same images on every channel", warning=True,
            )  # fmt: skip


def _at(template: MessageTemplate, place: str, line: int, message: str, fix: str, *, warning: bool = False) -> Finding:
    return Finding(
        template.file, template.lines.get(place, 1) + line - 1, 1, message, fix, "warning" if warning else "error"
    )
