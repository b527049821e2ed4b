"""The template language of messages: a small, checked part of Jinja. Pure; the renderer is `content.render`.

Marketers' text is treated as hostile. Three walls: the AST is checked against an allowlist when a file loads; the
sandbox resolves names in plain mappings and lists only, never as attributes of Python objects; sizes and loops are
bounded, so that the cost of a message is known before it is rendered.

A name that is not there cannot be shown: the message fails for that customer. In `{% if … %}` it is false, as in the
journeys' conditions, and `| default('…')` replaces it.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.language.findings import listed, unknown

#: Characters of one template source.
MAX_SOURCE = 32 * 1024
#: Items of a list that a loop sees; longer facts are cut.
MAX_ITEMS = 100
#: Loops inside loops.
MAX_LOOPS = 2
#: Nodes of the syntax tree, each counted once per possible passage of the loops around it.
MAX_COST = 200_000
MAX_DEPTH = 40

#: What `loop` says inside a loop.
LOOP = frozenset({"index", "first", "last", "length"})

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "PLN": "zł"}


def money(value: Any, currency: str = "") -> str:
    """An amount with two decimals, with its symbol or code: 4.5 | money('GBP') is £4.50."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SecurityError("money shows a number")
    if not isinstance(currency, str) or len(currency) > 3:
        raise SecurityError("a currency is a code such as EUR")
    amount = f"{value:,.2f}"
    symbol = SYMBOLS.get(currency, currency)
    if not symbol:
        return amount
    return f"{symbol}{amount}" if symbol in "€£$" else f"{amount} {symbol}"


def _truncate(value: Any, length: int = 60) -> str:
    """At most `length` characters, cut at a word, with an ellipsis."""
    text = str(value)
    if isinstance(length, bool) or not isinstance(length, int) or length < 2:
        raise SecurityError("truncate takes a number of characters")
    if len(text) <= length:
        return text
    cut = text[: length - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(",.;:- ") + "…"


def _join(value: Any, separator: str = ", ", last: str = "") -> str:
    """Items in one line: ['a', 'b', 'c'] | join(', ', ' and ') is 'a, b and c'."""
    if not isinstance(value, list):
        raise SecurityError("join takes a list")
    items = [str(item) for item in value]
    if last and len(items) > 1:
        return f"{separator.join(items[:-1])}{last}{items[-1]}"
    return separator.join(items)


def _default(value: Any, other: Any = "") -> Any:
    """The value, or `other` where it is missing or empty."""
    return other if isinstance(value, Undefined) or value is None or value == "" else value


def _round(value: Any, digits: int = 0) -> Any:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not isinstance(digits, int)
        or not 0 <= digits <= 6
    ):
        raise SecurityError("round takes a number and up to 6 digits")
    return round(value, digits) if digits else round(value)


def _text(change: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: change(str(value))


def _capitalize(text: str) -> str:
    """First letter upper, the rest as written (Python's capitalize would lower brand names)."""
    return text[:1].upper() + text[1:]


def _first(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise SecurityError("first takes a list with at least one item")
    return value[0]


def _length(value: Any) -> int:
    if not isinstance(value, list | str):
        raise SecurityError("length takes a list or a text")
    return len(value)


def _of_something(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that names what is missing, instead of what it would have taken."""

    def apply(value: Any, *arguments: Any) -> Any:
        if isinstance(value, Undefined):
            # jinja's own error, with the name.
            return str(value)
        return change(value, *arguments)

    apply.__name__ = name
    return apply


#: All filters there are. Each is bounded by its input.
FILTERS: dict[str, Callable[..., Any]] = {
    "capitalize": _text(_capitalize),
    "default": _default,
    "first": _first,
    "join": _join,
    "length": _length,
    "lower": _text(str.lower),
    "money": money,
    "round": _round,
    "title": _text(string.capwords),
    "trim": _text(str.strip),
    "truncate": _truncate,
    "upper": _text(str.upper),
}
FILTERS = {name: filter if name == "default" else _of_something(name, filter) for name, filter in FILTERS.items()}


def _is_defined(value: Any) -> bool:
    return not isinstance(value, Undefined)


TESTS: dict[str, Callable[..., bool]] = {
    "defined": _is_defined,
    "undefined": lambda value: not _is_defined(value),
}


class Absent(StrictUndefined):
    """A name that is not there: false by itself, an error when shown, compared or looped over."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


class MessageEnvironment(ImmutableSandboxedEnvironment):
    """Names are keys of plain mappings. Nothing here reaches an attribute or a method of a Python object."""

    #: Operators checked at run time; the allowlist has refused all others.
    intercepted_binops = frozenset({"+", "-", "*"})
    intercepted_unops = frozenset({"-"})

    def __init__(self, show: Callable[[Any], str]) -> None:
        super().__init__(
            undefined=Absent,
            finalize=show,
            autoescape=False,
            optimized=False,
            cache_size=0,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return Absent(name=f"{obj._undefined_name}.{argument}")  # noqa: SLF001 - jinja's own name for it
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            value = obj[argument]
            return Absent(name=argument) if value is None else value
        if isinstance(obj, LoopContext) and argument in LOOP:
            return getattr(obj, argument)
        if isinstance(obj, list) and isinstance(argument, int) and -len(obj) <= argument < len(obj):
            return obj[argument]
        return Absent(name=str(argument))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
                raise SecurityError(f"'{operator}' takes numbers")
        return super().call_binop(context, operator, left, right)

    def call_unop(self, context: Any, operator: str, arg: Any) -> Any:
        if isinstance(arg, bool) or not isinstance(arg, int | float):
            raise SecurityError(f"'{operator}' takes a number")
        return super().call_unop(context, operator, arg)

    def call(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SecurityError("templates call nothing")


_CHECKER = MessageEnvironment(str)

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const,
    nodes.If, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.For,
    nodes.Filter, nodes.Test, nodes.Add, nodes.Sub, nodes.Mul, nodes.Neg, nodes.Concat, nodes.List,
)  # fmt: skip

#: What people reach for, and what to do instead.
_INSTEAD: dict[type[nodes.Node], str] = {
    nodes.Include: "include is not allowed: write the text in each message",
    nodes.Import: "import is not allowed: write the text in each message",
    nodes.FromImport: "import is not allowed: write the text in each message",
    nodes.Extends: "extends is not allowed: the e-mail's frame comes from the renderer",
    nodes.Block: "block is not allowed: the e-mail's frame comes from the renderer",
    nodes.Macro: "macro is not allowed: write the text out",
    nodes.CallBlock: "call is not allowed: write the text out",
    nodes.Call: "calls are not allowed: use a filter, such as {{ product.price | money }}",
    nodes.Assign: "set is not allowed: use the value where it is needed",
    nodes.AssignBlock: "set is not allowed: use the value where it is needed",
    nodes.FilterBlock: "filter blocks are not allowed: put the filter behind the value",
    nodes.With: "with is not allowed: use the value where it is needed",
    nodes.Mod: "% is not allowed: show the value with a filter",
    nodes.Pow: "** is not allowed: show a value the event carries",
    nodes.Div: "/ is not allowed: show a value the event carries",
    nodes.FloorDiv: "// is not allowed: show a value the event carries",
    nodes.Slice: "slices are not allowed: loop over the list, or use first",
    nodes.ScopedEvalContextModifier: "autoescape is not yours to change: texts are escaped for the channel",
    nodes.EvalContextModifier: "autoescape is not yours to change: texts are escaped for the channel",
}


class TemplateFault(ValueError):
    """A template that may not be used. `line` counts from 1 within the source."""

    def __init__(self, message: str, fix: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.line = line


def _refuse(node: nodes.Node, sentence: str) -> NoReturn:
    message, _, fix = sentence.partition(": ")
    raise TemplateFault(message, fix, node.lineno or 1)


def _is_fact(node: nodes.Node) -> bool:
    """A name with parts, such as order.products: the only thing a loop runs over."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return isinstance(node, nodes.Name)


class _Checker:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.dotted: set[str] = set()
        self.cost = 0

    def check(self, node: nodes.Node, loops: int, depth: int, local: frozenset[str]) -> None:
        if depth > MAX_DEPTH:
            _refuse(node, "nested too deeply: write it flatter")
        if type(node) not in _ALLOWED:
            _refuse(
                node,
                _INSTEAD.get(
                    type(node), f"{type(node).__name__.lower()} is not allowed: use names, if, for and filters"
                ),
            )
        self.cost += MAX_ITEMS**loops
        if self.cost > MAX_COST:
            _refuse(node, "too much work inside a loop: show fewer things per item")
        if isinstance(node, nodes.For):
            self.loop(node, loops, depth, local)
            return
        self.one(node, local)
        for child in node.iter_child_nodes():
            self.check(child, loops, depth + 1, local)

    def loop(self, node: nodes.For, loops: int, depth: int, local: frozenset[str]) -> None:
        if loops >= MAX_LOOPS:
            _refuse(node, f"more than {MAX_LOOPS} loops inside each other: show a shorter list")
        if node.recursive:
            _refuse(node, "recursive loops are not allowed: loop over one list")
        if not isinstance(node.target, nodes.Name) or not _is_fact(node.iter):
            _refuse(node, "a loop runs over a list of the facts: write {% for line in order.lines %}")
        self.check(node.iter, loops, depth + 1, local)
        inner = local | {node.target.name, "loop"}
        for child in (*node.body, *([node.test] if node.test else [])):
            self.check(child, loops + 1, depth + 1, inner)
        for child in node.else_:
            self.check(child, loops, depth + 1, local)

    def one(self, node: nodes.Node, local: frozenset[str]) -> None:
        if isinstance(node, nodes.Name):
            if node.ctx != "load":
                _refuse(node, "set is not allowed: use the value where it is needed")
            if node.name in ("self", "super"):
                _refuse(node, f"'{node.name}' is not a fact: write a name such as product.name")
            if node.name not in local:
                self.names.add(node.name)
        elif isinstance(node, nodes.Getattr):
            if node.attr.startswith("_"):
                _refuse(node, f"'{node.attr}' is not a field: names do not start with _")
            if isinstance(node.node, nodes.Name) and node.node.name not in local:
                self.dotted.add(f"{node.node.name}.{node.attr}")
            elif not _is_fact(node.node):
                _refuse(node, "only names have parts: write product.name")
        elif isinstance(node, nodes.Getitem):
            if not (
                isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, int | str) and _is_fact(node.node)
            ):
                _refuse(node, "brackets hold a number or a text: write order.lines[0]")
        elif isinstance(node, nodes.Const):
            if isinstance(node.value, int | float) and not isinstance(node.value, bool) and abs(node.value) > 1e15:
                _refuse(node, "a number that large is a mistake: write a smaller one")
        elif isinstance(node, nodes.Filter):
            if node.node is None or node.name not in FILTERS:
                message = unknown("filter", node.name, FILTERS)
                raise TemplateFault(message, f"known: {listed(FILTERS)}", node.lineno)
            if node.dyn_args is not None or node.dyn_kwargs is not None or node.kwargs:
                _refuse(node, f"'{node.name}' is called in another way: give it plain values")
        elif isinstance(node, nodes.Test) and node.name not in TESTS:
            raise TemplateFault(unknown("test", node.name, TESTS), f"known: {listed(TESTS)}", node.lineno)
        elif isinstance(node, nodes.List) and len(node.items) > MAX_ITEMS:
            _refuse(node, f"more than {MAX_ITEMS} items: write a shorter list")


@lru_cache(maxsize=4_096)
def check(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names a source reads: (`customer`, `product` …) and with their first part (`customer.first_name` …).

    Raises TemplateFault when it is not of the allowed part of Jinja.
    """
    if len(source) > MAX_SOURCE:
        raise TemplateFault(f"a text of more than {MAX_SOURCE // 1024} KiB", "write a shorter message", 1)
    try:
        tree = _CHECKER.parse(source)
    except TemplateSyntaxError as error:
        words = str(error.message or "").rstrip(".")
        raise TemplateFault(
            f"the template cannot be read: {words}",
            "close every {{ with }} and every {% if %} with {% endif %}",
            error.lineno,
        ) from None
    except RecursionError:
        raise TemplateFault("nested too deeply", "write it flatter", 1) from None
    checker = _Checker()
    for node in tree.body:
        checker.check(node, 0, 0, frozenset())
    return frozenset(checker.names), frozenset(checker.dotted)
