"""`messages/<name>.md` → MessageTemplate. Front matter holds subject, sms and push; the body is the e-mail in Markdown.

All channels of one message stand in one file, so they are reviewed side by side.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from orchestrator.errors import Finding
from orchestrator.language import faults
from orchestrator.language.findings import Findings, quoted, unknown
from orchestrator.language.load import MAX_BYTES, Document, Path, load
from orchestrator.language.model import NAME, FieldNames, Form, words
from orchestrator.language.program import MessageTemplate
from orchestrator.language.templates import TemplateFault, check
from orchestrator.language.versions import digest

#: Facts every template may read. `with` literals of a send stand beside them, at the top.
ROOTS = ("customer", "product", "order", "run", "view", "reply", "message", "picks")
#: Addresses the renderer gives.
LINKS = ("unsubscribe_url",)

#: `de`, `pt-BR`: a language, and where it matters a country.
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?", re.ASCII)
_OPEN = re.compile(r"---[ \t]*\n")
_CLOSE = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)


def _source(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError(f"{quoted(value)} is not a text: write the text of the message")


Source = Annotated[str, words(_source)]


class PushForm(Form):
    """A push notification."""

    title: Source = Field(description="The bold first line.")
    body: Source = Field(description="One or two sentences.")
    link: Source | None = Field(default=None, description="The page a tap opens.")


class MessageForm(Form):
    """The front matter of a message file."""

    subject: Source | None = Field(default=None, description="Subject of the e-mail; the text below is its body.")
    sms: Source | None = Field(default=None, description="The whole text message.")
    push: PushForm | None = Field(default=None, description="Title, body and link.")
    facts: FieldNames = Field(default=(), description="Facts every channel must show: product.name.")


_FORMS: Mapping[str, type[BaseModel]] = {"push": PushForm}
_REQUIRED = {"title": "write the bold first line: title: …", "body": "write one or two sentences: body: …"}


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """A template with the names it reads, for checks against the sends that use it."""

    template: MessageTemplate
    #: Top-level name → line of the file at which it is read first.
    reads: Mapping[str, int]


def name_of(file: str) -> str:
    """The message's name from `messages/<name>.md` or `messages/<name>.<locale>.md`."""
    return file.removeprefix("messages/").removesuffix(".md").partition(".")[0]


def locale_of(file: str) -> str:
    """The locale of `messages/<name>.<locale>.md`; empty for the message's own language."""
    return file.removeprefix("messages/").removesuffix(".md").partition(".")[2]


def with_translations(parsed: ParsedMessage, translations: Mapping[str, ParsedMessage]) -> ParsedMessage:
    """The message with its texts in other languages, locale → text. Its version is that of all of them together."""
    if not translations:
        return parsed
    template = parsed.template
    locales = {locale: one.template for locale, one in sorted(translations.items())}
    version = digest({"own": template.version, "locales": {name: one.version for name, one in locales.items()}})
    reads = dict(parsed.reads)
    for one in translations.values():
        for name in one.reads:
            reads.setdefault(name, 1)
    return ParsedMessage(dataclasses.replace(template, version=version, locales=locales), reads)


def parse_message(file: str, text: str) -> tuple[ParsedMessage | None, tuple[Finding, ...]]:
    """The template of a file, or everything that is wrong with it."""
    found = Findings()
    name = name_of(file)
    locale = locale_of(file)
    if not NAME.fullmatch(name):
        return None, (
            Finding(
                file, 1, 1, f"{quoted(name)} is not a message name", "name the file in snake_case: refill_reminder.md"
            ),
        )
    if locale and not LOCALE.fullmatch(locale):
        return None, (
            Finding(file, 1, 1, f"{quoted(locale)} is not a locale", f"name the file {name}.de.md or {name}.pt-BR.md"),
        )
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return None, (
            Finding(file, 1, 1, f"the file is larger than {MAX_BYTES // 1024} KiB", "write a shorter message"),
        )
    opening = _OPEN.match(text)
    closing = _CLOSE.search(text, opening.end()) if opening else None
    if opening is None or closing is None:
        return None, (
            Finding(
                file,
                1,
                1,
                "the front matter is missing",
                "start with a line '---', then subject, sms or push, then '---'",
            ),
        )
    document = load(file, text[opening.end() : closing.start()], first_line=2)
    body = text[closing.end() :]
    body_line = text[: closing.end()].count("\n") + 1
    if not document.ok:
        return None, tuple(document.findings)
    if not isinstance(document.data, dict):
        return None, (document.finding((), "front matter is a mapping", "write 'subject: …'"),)
    try:
        form = MessageForm.model_validate(document.data)
    except ValidationError as error:
        return None, tuple(faults.findings(error, document, MessageForm, _FORMS, _REQUIRED))
    channels, lines = _channels(form, document, body, body_line, found)
    reads, dotted = _check(file, channels, lines, found)
    _check_facts(form, document, dotted, found)
    template = MessageTemplate(
        name=name,
        version=digest({"channels": channels, "facts": form.facts}),
        channels=channels,
        file=file,
        lines=lines,
        facts=tuple(".".join(fact) for fact in form.facts),
        locale=locale,
    )
    if found.errors:
        return None, found.sorted()
    return ParsedMessage(template=template, reads=reads), found.sorted()


def _channels(
    form: MessageForm, document: Document, body: str, body_line: int, found: Findings
) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """The sources per channel and part, and the line at which each starts."""
    channels: dict[str, dict[str, str]] = {}
    lines: dict[str, int] = {}
    text = body.strip("\n")
    if form.subject is not None and text.strip():
        channels["email"] = {"subject": form.subject, "body": text}
        lines["email.subject"] = _line(document, ("subject",))
        lines["email.body"] = body_line + len(body) - len(body.lstrip("\n"))
    elif form.subject is not None:
        found.add(
            document.finding(
                ("subject",), "a subject without a body", "write the e-mail below the second '---'", key=True
            )
        )
    elif text.strip():
        found.add(
            Finding(document.file, body_line, 1, "an e-mail without a subject", "add 'subject: …' to the front matter")
        )
    if form.sms is not None:
        channels["sms"] = {"text": form.sms}
        lines["sms.text"] = _line(document, ("sms",))
    if form.push is not None:
        parts = {"title": form.push.title, "body": form.push.body}
        if form.push.link is not None:
            parts["link"] = form.push.link
        channels["push"] = parts
        for part in parts:
            lines[f"push.{part}"] = _line(document, ("push", part))
    if not channels and not found.errors:
        found.add(
            Finding(document.file, 1, 1, "a message without any content", "add sms, push, or a subject and a body")
        )
    return channels, lines


def _line(document: Document, path: Path) -> int:
    """Where a text starts: a block scalar (| or >) starts in the line below its sign."""
    place = document.place(path)
    return place.line if place.text_column else place.line + 1


def _check(
    file: str, channels: Mapping[str, Mapping[str, str]], lines: Mapping[str, int], found: Findings
) -> tuple[dict[str, int], dict[str, set[str]]]:
    """Check every source; return the names read (with a line) and the dotted names per channel."""
    reads: dict[str, int] = {}
    dotted: dict[str, set[str]] = {}
    for channel, parts in channels.items():
        dotted[channel] = set()
        for part, source in parts.items():
            first = lines[f"{channel}.{part}"]
            try:
                names, fields = check(source)
            except TemplateFault as fault:
                found.add(Finding(file, first + fault.line - 1, 1, f"{channel} {part}: {fault.message}", fault.fix))
                continue
            for name in sorted(names):
                reads.setdefault(name, first + _line_of(source, name))
            dotted[channel] |= fields
    return reads, dotted


def _line_of(source: str, name: str) -> int:
    """How many lines below the first a name is read."""
    match = re.search(rf"{{[{{%][^}}]*?\b{re.escape(name)}\b", source)
    return source[: match.end()].count("\n") if match else 0


def _check_facts(form: MessageForm, document: Document, dotted: Mapping[str, set[str]], found: Findings) -> None:
    for index, fact in enumerate(form.facts):
        at: Path = ("facts", index) if ("facts", 0) in document.values else ("facts",)
        for channel, fields in dotted.items():
            if ".".join(fact[:2]) not in fields:
                found.add(
                    document.finding(
                        at,
                        f"{channel} does not show '{'.'.join(fact)}'",
                        "show it on every channel, or take it off the facts",
                    )
                )


def check_reads(parsed: ParsedMessage, literals: frozenset[str]) -> tuple[Finding, ...]:
    """Names the template reads that no fact, link or `with` of a send gives."""
    known = (*ROOTS, *LINKS, *sorted(literals))
    file = parsed.template.file
    return tuple(
        Finding(
            file,
            line,
            1,
            unknown("name", name, known),
            "use a fact such as customer.first_name, or give the value in 'with:'",
        )
        for name, line in sorted(parsed.reads.items())
        if name not in known
    )


def check_translation(own: ParsedMessage, translation: ParsedMessage) -> tuple[Finding, ...]:
    """Facts that the message declares and its translation does not show."""
    file = translation.template.file
    missing: list[Finding] = []
    for channel, parts in translation.template.channels.items():
        fields = {field for source in parts.values() for field in check(source)[1]}
        missing += [
            Finding(
                file,
                translation.template.lines.get(f"{channel}.{next(iter(parts))}", 1),
                1,
                f"{channel} does not show {quoted(fact)}, which {own.template.file} declares",
                "show it in every language, or take it off the facts",
            )
            for fact in own.template.facts
            if ".".join(fact.split(".")[:2]) not in fields
        ]
    return tuple(missing)
