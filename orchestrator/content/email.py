"""Markdown → HTML and its plain-text twin. Raw HTML stays text; links have a safe scheme; images come by https only."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

#: Schemes a link may have.
SCHEMES = ("https://", "http://", "mailto:", "tel:")

_FRAME = (
    '<!doctype html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n</head>\n'
    '<body style="margin:0;padding:24px;background:#ffffff;color:#1d1d1f;'
    'font:16px/1.5 -apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">\n'
    '<div style="max-width:600px;margin:0 auto">\n{body}{footer}</div>\n</body>\n</html>\n'
)
_FOOTER = (
    '<hr style="border:0;border-top:1px solid #d2d2d7;margin:32px 0 16px">\n'
    '<p style="font-size:13px;color:#6e6e73"><a href="{url}" style="color:#6e6e73">Unsubscribe</a></p>\n'
)


class UnsafeLink(ValueError):
    """A link whose scheme is not allowed."""


def safe_link(url: str) -> bool:
    """Whether a link may stand in a message: an allowed scheme, nothing invisible, no spaces."""
    return url.lower().startswith(SCHEMES) and not re.search(r"[\s\x00-\x20\x7f]", url) and len(url) <= 2_048


def _validate(url: str) -> bool:
    if not safe_link(url):
        raise UnsafeLink
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False, "maxNesting": 20})
    parser.validateLink = _validate  # type: ignore[method-assign]
    return parser


_PARSER = _parser()


def email(markdown: str, subject: str, *, unsubscribe_url: str = "", lang: str = "en") -> tuple[str, str]:
    """HTML document and plain text of a Markdown body; a footer with the unsubscribe link when one is given."""
    tokens = _PARSER.parse(markdown)
    body = _PARSER.renderer.render(tokens, _PARSER.options, {})
    text = _text(tokens)
    footer = ""
    if unsubscribe_url:
        footer = _FOOTER.format(url=html.escape(unsubscribe_url, quote=True))
        text = f"{text}\n\n--\nUnsubscribe: {unsubscribe_url}"
    page = _FRAME.format(lang=lang, title=html.escape(subject), body=body, footer=footer)
    return page, text + "\n"


def _text(tokens: Sequence[Token]) -> str:
    """The same content for people who read mail as text: links show their address, lists their dashes."""
    blocks: list[str] = []
    lists: list[int] = []
    bullet = ""
    quotes = 0
    for token in tokens:
        if token.type == "bullet_list_open":
            lists.append(0)
        elif token.type == "ordered_list_open":
            lists.append(int(token.attrGet("start") or 1))
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif token.type == "list_item_open":
            bullet = f"{lists[-1]}. " if lists[-1] else "- "
            lists[-1] += bool(lists[-1])
        elif token.type == "blockquote_open":
            quotes += 1
        elif token.type == "blockquote_close":
            quotes -= 1
        elif token.type in ("inline", "fence", "code_block", "hr"):
            content = _inline(token.children or []) if token.type == "inline" else token.content.rstrip("\n")
            if token.type == "hr":
                content = "-" * 20
            indent = "  " * max(len(lists) - 1, 0) + (bullet or ("  " if lists else ""))
            follow = "  " * len(lists)
            lines = content.split("\n")
            block = "\n".join((indent if n == 0 else follow) + line for n, line in enumerate(lines))
            if quotes:
                block = "\n".join(f"{'> ' * quotes}{line}" for line in block.split("\n"))
            joined = bool(blocks) and bool(bullet) and blocks[-1].lstrip().startswith(("- ", *"123456789"))
            if joined:
                blocks[-1] += f"\n{block}"
            else:
                blocks.append(block)
            bullet = ""
    return "\n\n".join(blocks)


def _inline(tokens: Sequence[Token]) -> str:
    parts: list[str] = []
    starts: list[tuple[int, str]] = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            parts.append(token.content)
        elif token.type in ("softbreak", "hardbreak"):
            parts.append("\n")
        elif token.type == "image":
            parts.append(token.content)
        elif token.type == "link_open":
            starts.append((len(parts), str(token.attrGet("href") or "")))
        elif token.type == "link_close":
            start, url = starts.pop()
            shown = "".join(parts[start:])
            if shown != url:
                parts.append(f" ({url})" if shown else url)
    return "".join(parts)
