"""One message for one customer on one channel. Pure: the same template, facts and links give the same content.

Facts were bound when the decision was made; nothing is looked up here. Whatever goes wrong raises TemplateFailed with
message, file and line, and without any fact of the customer: it ends in records and logs. The send ends as failed and
the next customer is not affected.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, UndefinedError

from orchestrator.content.email import UnsafeLink, email, safe_link
from orchestrator.content.escape import markdown, one_line, plain
from orchestrator.contracts.messages import Content, OutboxRow
from orchestrator.errors import TemplateFailed
from orchestrator.language.program import MessageTemplate
from orchestrator.language.templates import MAX_ITEMS, MessageEnvironment, TemplateFault, check

#: Bytes of everything one message may show.
MAX_OUTPUT = 64 * 1024
#: Characters of a text message: the most that carriers join (ten parts).
MAX_SMS = 1_530
#: Bytes of title, body and link together: push services refuse payloads above 4 KiB.
MAX_PUSH = 3_000
MAX_SUBJECT = 300
#: How deep facts may nest.
MAX_FACT_DEPTH = 8

_PLAIN = MessageEnvironment(plain)
_MARKDOWN = MessageEnvironment(markdown)


@lru_cache(maxsize=4_096)
def _compiled(source: str, in_markdown: bool) -> Template:
    """A checked, compiled source. The cache goes by content, so a new version of a message is a new entry."""
    check(source)
    environment = _MARKDOWN if in_markdown else _PLAIN
    return environment.from_string(source)


def render(
    template: MessageTemplate,
    channel: str,
    facts: Mapping[str, Any],
    *,
    purpose: str = "marketing",
    unsubscribe_url: str = "",
    locale: str = "",
) -> Content:
    """The content of `template` on `channel`.

    `locale` is the customer's; the nearest translation is taken, else the message's own language. Templates see the
    roots of `facts` (customer, product, order, run, `with` literals) and `unsubscribe_url`. Marketing e-mail
    that does not place the link itself gets a footer with it. Raises TemplateFailed.
    """
    template = template.spoken(locale, channel)
    locale = template.locale or locale
    parts = template.channels.get(channel)
    if parts is None:
        raise TemplateFailed(
            f"message '{template.name}' has no {channel} content", fix=f"add '{channel}' to {template.file or 'it'}"
        )
    seen = _facts(template, {**facts, "unsubscribe_url": unsubscribe_url} if unsubscribe_url else facts)
    budget = _Budget()

    def part(name: str, *, in_markdown: bool = False) -> str:
        return _render(template, f"{channel}.{name}", parts[name], seen, budget, in_markdown) if name in parts else ""

    if channel == "email":
        subject = _line(template, "email.subject", part("subject"), MAX_SUBJECT)
        body = part("body", in_markdown=True)
        if not body.strip():
            raise _failed(template, "email.body", "the e-mail is empty")
        placed = purpose != "marketing" or "unsubscribe_url" in check(parts["body"])[0]
        try:
            page, text = email(
                body, subject, unsubscribe_url="" if placed else unsubscribe_url, lang=locale.split("-")[0] or "en"
            )
        except UnsafeLink:
            raise _failed(
                template, "email.body", "a link does not start with https, http, mailto or tel", fix="correct the fact"
            ) from None
        if len(page.encode()) > MAX_OUTPUT:
            raise _failed(template, "email.body", _TOO_LONG)
        return Content(text=text, subject=subject, html=page)
    if channel == "push":
        title = _line(template, "push.title", part("title"), MAX_PUSH)
        body = _line(template, "push.body", part("body"), MAX_PUSH)
        link = part("link").strip()
        if link and not (safe_link(link) and link.lower().startswith("http")):
            raise _failed(template, "push.link", "the link is not a web address", fix="use an https link")
        if len(f"{title}{body}{link}".encode()) > MAX_PUSH:
            raise _failed(template, "push.body", f"more than {MAX_PUSH} bytes, which push services refuse")
        return Content(text=body, title=title, link=link)
    # SMS, and channels of other makers: their single text.
    return Content(text=_line(template, f"{channel}.text", part("text"), MAX_SMS))


def render_row(template: MessageTemplate, row: OutboxRow, unsubscribe_url: str = "") -> Content:
    """The content of one outbox row. Raises TemplateFailed."""
    return render(
        template, row.channel, row.facts, purpose=row.purpose, unsubscribe_url=unsubscribe_url, locale=row.locale
    )


_TOO_LONG = f"more than {MAX_OUTPUT // 1024} KiB"


class _Budget:
    """Characters left for all parts of one message."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_OUTPUT


def _render(
    template: MessageTemplate,
    place: str,
    source: str,
    facts: Mapping[str, Any],
    budget: _Budget,
    in_markdown: bool,
) -> str:
    pieces: list[str] = []
    try:
        for piece in _compiled(source, in_markdown).generate(facts):
            budget.left -= len(piece)
            if budget.left < 0:
                raise _failed(template, place, _TOO_LONG)
            pieces.append(piece)
    except TemplateFailed:
        raise
    except TemplateFault as error:
        raise _failed(template, place, error.message, error.line, fix=error.fix) from None
    except UndefinedError as error:
        reason = str(error.message).replace("is undefined", "is missing for this customer")
        raise _failed(
            template, place, reason, _line_of(error), fix="add | default('…') behind it, or put it inside {% if %}"
        ) from None
    except TemplateError as error:
        raise _failed(template, place, str(error.message or error), _line_of(error)) from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
        # Filters and operators on values of a kind they do not take. The error's own text may hold the value: left out.
        reason = f"a value of a kind that cannot be used here ({type(error).__name__})"
        raise _failed(template, place, reason, _line_of(error)) from None
    return "".join(pieces)


def _line_of(error: BaseException) -> int:
    """The line of the source at which a template was when it failed: jinja rewrites tracebacks to template lines."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return (lines[-1] or 1) if lines else 1


def _failed(template: MessageTemplate, place: str, reason: str, line: int = 1, *, fix: str = "") -> TemplateFailed:
    at = template.lines.get(place, 1) + line - 1
    where = f"{template.file or template.name}:{at}"
    return TemplateFailed(f"{where}: message '{template.name}', {place}: {reason}", fix=fix)


def _line(template: MessageTemplate, place: str, text: str, limit: int) -> str:
    """A rendered text on one line, not empty, within its limit."""
    line = one_line(text).strip()
    if not line:
        raise _failed(template, place, "the text is empty")
    if len(line) > limit:
        raise _failed(template, place, f"{len(line)} characters, and {limit} is the most")
    return line


def _facts(template: MessageTemplate, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A plain copy: mappings, lists (cut to what a loop may see), texts, numbers. Anything else is refused."""

    def copy(value: Any, depth: int, name: str) -> Any:
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if depth < MAX_FACT_DEPTH:
            if isinstance(value, Mapping):
                return {str(key): copy(item, depth + 1, f"{name}.{key}") for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [copy(item, depth + 1, name) for item in value[:MAX_ITEMS]]
            reason = f"the fact '{name}' is neither text, number, list nor mapping"
        else:
            reason = f"the fact '{name}' nests too deeply"
        raise TemplateFailed(f"message '{template.name}': {reason}")

    return {name: copy(value, 1, name) for name, value in facts.items() if value is not None}
