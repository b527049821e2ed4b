"""How a value may be shown in each place: as plain text in one line, or inside Markdown without becoming Markdown."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

#: Control characters, and the invisible ones that turn the direction of text around.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\ufff9-\ufffb]"
)
_SPACE = re.compile(r"\s+")
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_SURROGATE = re.compile("[\ud800-\udfff]")


def one_line(text: str) -> str:
    """The text without control and direction characters, on one line: it can open no header and no paragraph."""
    return _SURROGATE.sub("�", _INVISIBLE.sub("", _SPACE.sub(" ", text)))


def plain(value: Any) -> str:
    """A value as one line of text. Raises SecurityError for what is no text or number."""
    if isinstance(value, Undefined):
        # jinja's own error, which names what is missing.
        return str(value)
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SecurityError(f"only texts and numbers can be shown, not {_kind(value)}")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def markdown(value: Any) -> str:
    """A value inside Markdown: ASCII punctuation is escaped, so no value makes a link, HTML or a list."""
    return _PUNCTUATION.sub(r"\\\1", plain(value))


def _kind(value: Any) -> str:
    return {dict: "a group of values", list: "a list", bool: "true or false", type(None): "nothing"}.get(
        type(value), "this"
    )
