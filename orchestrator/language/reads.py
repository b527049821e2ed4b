"""What a template shows, and under which conditions: its names one by one, with their guards and fallbacks.

Works on sources that `templates.check` has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import nodes

from orchestrator.language.templates import MessageEnvironment, check

_PARSER = MessageEnvironment(str)


@dataclass(frozen=True, slots=True)
class Shown:
    """One place at which a template shows a value."""

    #: Dotted name: `customer.first_name`.
    name: str
    #: Line of the source, from 1.
    line: int
    #: Whether `| default(…)` stands behind it.
    fallback: bool
    #: Dotted names that the conditions around it ask for.
    guards: frozenset[str]

    @property
    def safe(self) -> bool:
        """Whether it can be shown for a customer who does not have it."""
        return self.fallback or any(self.name == guard or guard.startswith(f"{self.name}.") for guard in self.guards)


def parsed(source: str) -> nodes.Template:
    """The syntax tree of a source. Raises TemplateFault as `templates.check` does."""
    check(source)
    return _PARSER.parse(source)


@lru_cache(maxsize=1_024)
def shown(source: str) -> tuple[Shown, ...]:
    """Every value a source shows, in order. Raises TemplateFault as `templates.check` does."""
    found: list[Shown] = []
    for node in parsed(source).body:
        _walk(node, frozenset(), False, {}, found)
    return tuple(found)


def conditions(source: str) -> frozenset[str]:
    """Every dotted name that some condition of the source asks for."""
    tree = parsed(source)
    found: set[str] = set()
    for node in tree.find_all(nodes.If):
        found.update(_names_in(node.test, {}))
    for choice in tree.find_all(nodes.CondExpr):
        found.update(_names_in(choice.test, {}))
    return frozenset(found)


def _walk(node: nodes.Node, guards: frozenset[str], fallback: bool, local: dict[str, str], found: list[Shown]) -> None:
    if isinstance(node, nodes.If | nodes.CondExpr):
        asked = frozenset(_names_in(node.test, local))
        then = node.body if isinstance(node, nodes.If) else [node.expr1]
        for child in then:
            _walk(child, guards | asked, fallback, local, found)
        if isinstance(node, nodes.If):
            for child in (*node.elif_, *node.else_):
                _walk(child, guards, fallback, local, found)
        elif node.expr2 is not None:
            _walk(node.expr2, guards, fallback, local, found)
    elif isinstance(node, nodes.For):
        over = dotted(node.iter, local)
        inner = {**local, str(getattr(node.target, "name", "")): f"{over}[]", "loop": "loop"}
        for child in node.body:
            _walk(child, guards | {over}, fallback, inner, found)
        for child in node.else_:
            _walk(child, guards, fallback, local, found)
    elif isinstance(node, nodes.Filter) and node.name == "default":
        if node.node is not None:
            _walk(node.node, guards, True, local, found)
        for child in node.args:
            _walk(child, guards, fallback, local, found)
    elif name := dotted(node, local):
        found.append(Shown(name, node.lineno or 1, fallback, guards))
    else:
        for child in node.iter_child_nodes():
            _walk(child, guards, fallback, local, found)


def _names_in(node: nodes.Node, local: dict[str, str]) -> Iterator[str]:
    name = dotted(node, local)
    if name:
        yield name
        return
    for child in node.iter_child_nodes():
        yield from _names_in(child, local)


def dotted(node: nodes.Node | None, local: dict[str, str] | None = None) -> str:
    """`customer.first_name` of the nodes that say so; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node.arg, nodes.Const):
            parts.append(str(node.arg.value))
        node = node.node
    if not isinstance(node, nodes.Name):
        return ""
    root = (local or {}).get(node.name, node.name)
    return ".".join((root, *reversed(parts)))


_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?((?:\{\{.*?\}\}|[^()\s<>])+)>?\s*(?:\"[^\"]*\")?\)", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*<?((?:\{\{.*?\}\}|[^()\s<>])+)>?\s*(?:\"[^\"]*\")?\)", re.DOTALL)
_BARE = re.compile(r"https?://(?:\{\{.*?\}\}|[^\s<>()\"'{}])+")
_URL_FACT = re.compile(r"\{\{[-\s]*([\w.]*(?:url|link))\b[^}]*\}\}")


def links(source: str, *, markdown: bool = False) -> frozenset[str]:
    """The addresses a source leads to: written out, or the fact that holds them, without its filters."""
    if markdown:
        found = {match[1] for match in _LINK.finditer(source)}
        source = _IMAGE.sub("", _LINK.sub("", source))
    else:
        found = set()
    found |= {match[0].rstrip(".,;:!?") for match in _BARE.finditer(source)}
    rest = _BARE.sub("", source)
    found |= {f"{{{{ {match[1]} }}}}" for match in _URL_FACT.finditer(rest)}
    cleaned = {_plain(link) for link in found}
    return frozenset(link for link in cleaned if link and "unsubscribe_url" not in link and not link.startswith("#"))


def images(source: str) -> frozenset[str]:
    """The addresses of the images of a Markdown source."""
    return frozenset(_plain(match[1]) for match in _IMAGE.finditer(source))


def _plain(link: str) -> str:
    """Without filters and spaces: `{{ product.url | default('') }}` is `{{ product.url }}`."""
    return re.sub(r"\{\{[-\s]*([\w.\[\]]+)[^}]*\}\}", r"{{ \1 }}", link.strip())
