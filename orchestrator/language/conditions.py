"""Conditions: mappings with words, or one expression, compiled to closures. No name is evaluated outside a Scope.

**Mappings** (`where`, `audience`, `if`): every line must hold. A value means *equals*, a list *any of*; words are
`at least 2`, `over 50`, `at most 3`, `under 5`, `between 2 and 5` (both ends count), `not x`. Where the customer's
value is itself a list (segment labels), a line holds when any of its items fits, and `not x` when none is x.

**Expressions**: `not response`, `product.price_dropped or product.stock < 5`, `not bought(product.category, '30d')`,
with `and or not == != < <= > >= in not in`, texts, numbers, `true false` and functions of the language.

**What is not there** (MISSING) makes every comparison false, `!=`, `not in` and the word `not` included: a customer
whose country is unknown is neither in Poland nor outside it. Alone, a missing name is false, so the expression
`not response` is true when no response came, and `not (customer.country == 'PL')` is true when the country is missing:
`not` in an expression turns the truth of what follows around. A function with a missing argument is missing.

A null in an event or an attribute counts as missing, so `null` cannot be compared with. `true` and `1` differ. A
comparison of a number with a text is false, never an error.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.language.durations import parse_duration
from orchestrator.language.findings import did_you_mean, listed, quoted
from orchestrator.language.program import MISSING, Condition, Scope

MAX_TEXT = 1_000
MAX_NODES = 200
MAX_DEPTH = 20
MAX_LINES = 50
MAX_ITEMS = 1_000

Test = Callable[[Any], bool]
Value = Callable[[Scope], Any]
Holds = Callable[[Scope], bool]
Name = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language and its arguments. A duration is a text in quotes and arrives as milliseconds."""

    usage: str
    arguments: tuple[str, ...]
    required: int


#: name → what it takes. The engine's Scope answers them by `call`.
FUNCTIONS = {
    "bought": Function("bought(product.category, '30d')", ("value", "duration"), 1),
}


#: Names whose value changes by the mere passing of time.
TIMED_NAMES = frozenset(
    {("customer", "days_since_order"), ("customer", "days_since_message"), ("customer", "pressure")}
)


class ConditionFault(ValueError):
    """A condition that does not compile. `key` is the line of a mapping, `offset` the place in an expression."""

    def __init__(self, message: str, fix: str = "", *, key: str | None = None, index: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.key = key
        self.index = index
        self.offset = 0
        #: True when the key itself is wrong, not its value.
        self.at_key = False


# --- values of a mapping ----------------------------------------------------------------------------------------


def _number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is float


def _is(expected: object) -> Test:
    """Equals, told apart by kind: true is not 1."""
    if isinstance(expected, bool):
        return lambda value: value is expected
    if isinstance(expected, str):
        return lambda value: bool(value == expected)
    return lambda value: value == expected and value.__class__ is not bool


def _any_of(items: list[object]) -> Test:
    texts = frozenset(item for item in items if isinstance(item, str))
    if len(texts) == len(items):
        return lambda value: value.__class__ is str and value in texts
    tests = tuple(_is(item) for item in items)
    return lambda value: any(test(value) for test in tests)


def _compared(compare: Callable[[Any, Any], bool], limit: float) -> Test:
    return lambda value: (value.__class__ is int or value.__class__ is float) and compare(value, limit)


def _between(low: float, high: float) -> Test:
    return lambda value: (value.__class__ is int or value.__class__ is float) and low <= value <= high


def _present(test: Test) -> Test:
    """The test for one value; for a list of values, that any of them fits."""

    def fits(value: Any) -> bool:
        if value is MISSING:
            return False
        if test(value):
            return True
        return value.__class__ in _LISTS and any(test(item) for item in value)

    return fits


def _none(test: Test) -> Test:
    """`not`: the value is there and does not fit; for a list of values, that none fits."""

    def fits(value: Any) -> bool:
        if value is MISSING or test(value):
            return False
        return not (value.__class__ in _LISTS and any(test(item) for item in value))

    return fits


_LISTS = frozenset({list, tuple, set, frozenset})

_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "over": operator.gt,
    "under": operator.lt,
}


def _to_number(text: str) -> float | int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if number != number or number in (float("inf"), float("-inf")) or "_" in text:
        return None
    return int(text) if text.lstrip("+-").isascii() and text.lstrip("+-").isdigit() else number


def _literal(text: str) -> object:
    """The value of a word after `not`: a number, true, false, null or the text itself."""
    number = _to_number(text)
    return number if number is not None else {"true": True, "false": False}.get(text, text)


def _kind(value: object) -> str:
    """What a written value asks of the thing it is compared with: `text`, `number` or `flag`."""
    if isinstance(value, bool):
        return "flag"
    return "number" if isinstance(value, int | float) else "text"


def _asked(values: Iterable[object]) -> tuple[str, tuple[str, ...]]:
    """The one kind of several values ("" when they differ), and the texts among them."""
    items = tuple(values)
    kinds = {_kind(item) for item in items}
    return kinds.pop() if len(kinds) == 1 else "", tuple(item for item in items if isinstance(item, str))


def _words(value: str) -> tuple[Test, str, str, tuple[str, ...]]:
    """The test a text stands for, its canonical words, the kind it asks for, and the texts it compares with."""
    text = " ".join(value.split())
    for words, compare in _LIMITS.items():
        if text == words or text.startswith(words + " "):
            rest = text[len(words) :].strip()
            limit = _to_number(rest)
            if limit is None:
                raise ConditionFault(f"{quoted(value)} has no number after '{words}'", f"write '{words} 5'")
            return _present(_compared(compare, limit)), f"{words} {limit!r}", "number", ()
    if text == "between" or text.startswith("between "):
        low_text, _, high_text = text[len("between ") :].partition(" and ")
        low, high = _to_number(low_text), _to_number(high_text)
        if low is None or high is None:
            raise ConditionFault(f"{quoted(value)} is not a range", "write 'between 2 and 5'")
        if low > high:
            raise ConditionFault(f"{quoted(value)} is empty", f"write 'between {high} and {low}'")
        return _present(_between(low, high)), f"between {low!r} and {high!r}", "number", ()
    if text == "not" or text.startswith("not "):
        rest = text[4:].strip()
        if not rest:
            raise ConditionFault("'not' what?", "write 'not coffee'")
        if rest.startswith(("at ", "over ", "under ", "between ")):
            raise ConditionFault(
                f"{quoted(value)} turns a range around", "say it directly: 'under 5' instead of 'not at least 5'"
            )
        expected = _literal(rest)
        return _none(_is(expected)), f"not {expected!r}", *_asked((expected,))
    if text[:1] in "<>=!" and text[:1]:
        raise ConditionFault(f"{quoted(value)} is written in signs", "use words: over 50, at least 3, under 5, not x")
    first, _, rest = text.partition(" ")
    head = " ".join(text.split(" ")[:2]) if first == "at" else first
    near = did_you_mean(head, [*_LIMITS, "between", "more than", "less than"])
    if _to_number(text.rsplit(" ", 1)[-1]) is not None and near:
        proper = {"more than": "over", "less than": "under"}.get(near, near)
        raise ConditionFault(
            f"unknown words {quoted(value)} — did you mean '{proper}'?",
            "use at least, over, at most, under, between … and …, not",
        )
    return _present(_is(value)), repr(value), "text", (value,)


def _no_null(value: object, index: int | None = None) -> None:
    if value is None:
        fix = "nothing is ever equal to null: write the expression 'not customer.email' for what is absent"
        raise ConditionFault("a condition without a value", fix, index=index)


def _test(value: object) -> tuple[Test, str, str, tuple[str, ...]]:
    _no_null(value)
    if isinstance(value, str):
        return _words(value)
    if isinstance(value, list):
        if not value:
            raise ConditionFault("an empty list fits nothing", "name at least one value")
        if len(value) > MAX_ITEMS:
            raise ConditionFault(f"more than {MAX_ITEMS} values", "use an attribute or a segment label instead")
        for index, item in enumerate(value):
            _no_null(item, index)
            if isinstance(item, list | dict):
                raise ConditionFault("a list holds plain values only", "write [PL, DE]", index=index)
        return _present(_any_of(value)), f"any of {sorted(map(repr, value))}", *_asked(value)
    if isinstance(value, dict):
        raise ConditionFault("a condition has one level", "write 'product.category: coffee', with a dot")
    return _present(_is(value)), repr(value), *_asked((value,))


def _readable(value: object) -> str:
    if isinstance(value, list):
        return listed(_readable(item) for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def parse_name(text: str) -> Name:
    """The parts of a dotted name. Raises ConditionFault."""
    parts = tuple(text.strip().split("."))
    if len(text) > 200 or not all(part.isidentifier() and part.isascii() for part in parts):
        raise ConditionFault(
            f"{quoted(text)} is not a name", "write a name such as customer.orders or product.category"
        )
    return parts


def compile_mapping(lines: Mapping[str, object]) -> Condition:
    """A condition whose every line must hold. `same` is no value here: the caller has taken such lines out."""
    if not lines:
        raise ConditionFault("an empty condition always holds", "remove it, or say what must hold")
    if len(lines) > MAX_LINES:
        raise ConditionFault(f"more than {MAX_LINES} lines", "use an attribute or a segment label instead")
    tests: list[tuple[Name, Test]] = []
    meanings = []
    asks = []
    for key, value in lines.items():
        try:
            name = parse_name(key)
        except ConditionFault as fault:
            fault.key, fault.at_key = key, True
            raise
        try:
            test, meaning, kind, texts = _test(value)
        except ConditionFault as fault:
            fault.key = key
            raise
        tests.append((name, test))
        meanings.append(f"{key}: {meaning}")
        asks.append((name, kind, texts))
    return Condition(
        text=", ".join(f"{key}: {_readable(value)}" for key, value in lines.items()),
        holds=_all(tests),
        names=frozenset(name for name, _ in tests),
        meaning="all " + "; ".join(sorted(meanings)),
        asks=tuple(asks),
        timed=any(name in TIMED_NAMES for name, _ in tests),
    )


def _all(tests: list[tuple[Name, Test]]) -> Holds:
    if len(tests) == 1:
        ((name, test),) = tests
        return lambda scope: test(scope.get(name))
    pairs = tuple(tests)

    def holds(scope: Scope) -> bool:
        # A loop, not all(): a generator would cost more than the tests.
        for name, test in pairs:  # noqa: SIM110
            if not test(scope.get(name)):
                return False
        return True

    return holds


# --- expressions ------------------------------------------------------------------------------------------------

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

_TRUTH = {"true": True, "false": False}

_REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.BinOp: ("arithmetic is not part of a condition", "compare a field that holds the result"),
    ast.Subscript: ("brackets are not part of a condition", "write the name with dots"),
    ast.Lambda: ("a condition holds no code", "use and, or, not and comparisons"),
    ast.JoinedStr: ("a condition holds no code", "write the text in plain quotes"),
    ast.NamedExpr: ("'=' sets a value", "write == to compare"),
}


def _fault(node: ast.AST, message: str, fix: str) -> ConditionFault:
    fault = ConditionFault(message, fix)
    fault.offset = getattr(node, "col_offset", 0)
    return fault


class _Expression:
    """Compiles one parsed expression, collecting the names it reads."""

    def __init__(self) -> None:
        self.names: set[Name] = set()
        self.asks: list[tuple[Name, str, tuple[str, ...]]] = []
        #: Whether a function of time is called.
        self.timed = False

    def holds(self, node: ast.expr) -> Holds:
        """The closure for the truth of an expression."""
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.holds(part) for part in node.values)
            if len(parts) == 2:
                first, second = parts
                if isinstance(node.op, ast.And):
                    return lambda scope: first(scope) and second(scope)
                return lambda scope: first(scope) or second(scope)
            if isinstance(node.op, ast.And):
                return lambda scope: all(part(scope) for part in parts)
            return lambda scope: any(part(scope) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.holds(node.operand)
            return lambda scope: not inner(scope)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        value = self.value(node)
        return lambda scope: bool(value(scope))

    def comparison(self, node: ast.Compare) -> Holds:
        links = []
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            links.append(self.link(op, left, right))
            left = right
        if len(links) == 1:
            return links[0]
        chain = tuple(links)
        return lambda scope: all(link(scope) for link in chain)

    def link(self, op: ast.cmpop, left_node: ast.expr, right_node: ast.expr) -> Holds:
        left, right = self.value(left_node), self.value(right_node, as_list=isinstance(op, ast.In | ast.NotIn))
        self.note(op, left_node, right_node)
        if isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            compare: Callable[[Any, Any], bool] = {
                ast.Eq: _equal,
                ast.NotEq: _differ,
                ast.In: _inside,
                ast.NotIn: _outside,
            }[type(op)]
        elif type(op) in _COMPARISONS:
            compare = _ordered(_COMPARISONS[type(op)])
        else:
            raise _fault(left_node, "'is' is not part of a condition", "write == to compare")

        def holds(scope: Scope) -> bool:
            a, b = left(scope), right(scope)
            return a is not MISSING and b is not MISSING and compare(a, b)

        return holds

    def note(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> None:
        """Remember what a comparison with a written value asks of its name."""
        for named, other in ((left, right), (right, left)):
            if isinstance(named, ast.Attribute) and isinstance(other, ast.Constant) and other.value is not None:
                ordered = type(op) in _COMPARISONS and not isinstance(other.value, str)
                kind, texts = ("number", ()) if ordered else _asked((other.value,))
                self.asks.append((_dotted(named), kind, texts))
            elif isinstance(named, ast.Attribute) and isinstance(other, ast.List | ast.Tuple) and named is left:
                values = [item.value for item in other.elts if isinstance(item, ast.Constant)]
                self.asks.append((_dotted(named), *_asked(values)))

    def value(self, node: ast.expr, *, as_list: bool = False) -> Value:
        if isinstance(node, ast.Name | ast.Attribute):
            return self.name(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.List | ast.Tuple) and as_list:
            items = tuple(self.literal(item) for item in node.elts)
            return lambda scope: items
        if isinstance(node, ast.BoolOp | ast.Compare) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return self.holds(node)
        literal = self.literal(node)
        return lambda scope: literal

    def literal(self, node: ast.expr) -> object:
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
            return node.value
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
            and _number(node.operand.value)
        ):
            return -node.operand.value  # type: ignore[operator]
        if isinstance(node, ast.Name) and node.id in _TRUTH:
            return _TRUTH[node.id]
        if (isinstance(node, ast.Constant) and node.value is None) or (
            isinstance(node, ast.Name) and node.id == "null"
        ):
            raise _fault(node, "nothing is ever equal to null", "write 'not customer.email' for what is absent")
        if isinstance(node, ast.Name | ast.Attribute):
            raise _fault(node, "a name cannot stand here", "put the text in quotes")
        message, fix = _REFUSED.get(
            type(node), ("this is not part of a condition", "use names, texts, numbers, and or not == < > in")
        )
        raise _fault(node, message, fix)

    def name(self, node: ast.Name | ast.Attribute) -> Value:
        if isinstance(node, ast.Name) and node.id in (*_TRUTH, "null"):
            literal = self.literal(node)
            return lambda scope: literal
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            raise _fault(node, "only names have parts", "write a name such as product.category")
        name = (inner.id, *reversed(parts))
        if not all(part.isascii() and not part.startswith("__") for part in name):
            raise _fault(node, f"{quoted('.'.join(name))} is not a name", "write a name such as product.category")
        self.names.add(name)
        return lambda scope: scope.get(name)

    def call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name):
            raise _fault(node, "texts and names have no functions of their own", f"use {listed(FUNCTIONS)}")
        name = node.func.id
        function = FUNCTIONS.get(name)
        if function is None:
            near = did_you_mean(name, FUNCTIONS)
            hint = f" — did you mean '{near}'?" if near else ""
            raise _fault(
                node, f"unknown function {quoted(name)}{hint}", f"known: {listed(f.usage for f in FUNCTIONS.values())}"
            )
        if node.keywords or not function.required <= len(node.args) <= len(function.arguments):
            raise _fault(node, f"'{name}' is called in another way", f"write {function.usage}")
        self.timed = self.timed or "duration" in function.arguments[: len(node.args)]
        arguments = tuple(
            self.duration(arg, function.usage) if kind == "duration" else self.value(arg)
            for arg, kind in zip(node.args, function.arguments, strict=False)
        )

        def call(scope: Scope) -> object:
            values = tuple(argument(scope) for argument in arguments)
            return MISSING if any(value is MISSING for value in values) else scope.call(name, values)

        return call

    def duration(self, node: ast.expr, usage: str) -> Value:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            raise _fault(node, "a duration stands in quotes", f"write {usage}")
        try:
            ms = parse_duration(node.value)
        except ValueError as error:
            raise _fault(node, *_split(str(error))) from None
        return lambda scope: ms


def _dotted(node: ast.Attribute) -> Name:
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return (inner.id if isinstance(inner, ast.Name) else "", *reversed(parts))


def _split(sentence: str) -> tuple[str, str]:
    """A parser's sentence as message and fix."""
    message, _, fix = sentence.partition(": ")
    return message, fix


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) and (a.__class__ is bool) == (b.__class__ is bool)


def _differ(a: Any, b: Any) -> bool:
    return not _equal(a, b)


def _inside(a: Any, b: Any) -> bool:
    if b.__class__ in _LISTS:
        return any(_equal(a, item) for item in b)
    return a.__class__ is str and b.__class__ is str and a in b


def _outside(a: Any, b: Any) -> bool:
    """Not in a list or a text; false when `b` is neither."""
    return (b.__class__ in _LISTS or (a.__class__ is str and b.__class__ is str)) and not _inside(a, b)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(a: Any, b: Any) -> bool:
        if (_number(a) and _number(b)) or (a.__class__ is str and b.__class__ is str):
            return compare(a, b)
        return False

    return ordered


def _depth(node: ast.AST) -> int:
    """Depth of a tree, level by level: no recursion on what a person wrote."""
    depth, level = 0, [node]
    while level:
        depth += 1
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
    return depth


def compile_expression(text: str) -> Condition:
    """A condition from one expression."""
    if len(text) > MAX_TEXT:
        raise ConditionFault(f"an expression of more than {MAX_TEXT} characters", "split it into lines of a mapping")
    source = " ".join(text.split("\n")).strip()
    lead = len(text) - len(text.lstrip())
    if not source:
        raise ConditionFault("an empty condition always holds", "remove it, or say what must hold")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        offset = max((error.offset or 1) - 1, 0)
        single = source[offset : offset + 1] == "="
        fault = ConditionFault(
            f"{quoted(text)} cannot be read",
            "write == to compare" if single else "use names, 'texts', numbers, and or not == < > in",
        )
        fault.offset = lead + offset if offset < len(source) else 0
        raise fault from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise ConditionFault(f"{quoted(text)} cannot be read", "write a shorter expression") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES or _depth(tree) > MAX_DEPTH:
        raise ConditionFault("the expression is too large", "split it into lines of a mapping")
    compiler = _Expression()
    try:
        holds = compiler.holds(tree.body)
    except ConditionFault as fault:
        # ast counts bytes.
        fault.offset = lead + len(source.encode()[: fault.offset].decode(errors="ignore"))
        raise
    return Condition(
        text=source,
        holds=holds,
        names=frozenset(compiler.names),
        meaning=f"expression {ast.unparse(tree)}",
        asks=tuple(compiler.asks),
        timed=compiler.timed or bool(TIMED_NAMES & compiler.names),
    )


# --- all forms --------------------------------------------------------------------------------------------------


def both(conditions: Iterable[Condition]) -> Condition:
    """A condition that holds when all hold (a list under `audience`)."""
    parts = tuple(conditions)
    if len(parts) == 1:
        return parts[0]
    tests = tuple(part.holds for part in parts)
    return Condition(
        text=" and ".join(f"({part.text})" for part in parts),
        holds=lambda scope: all(test(scope) for test in tests),
        names=frozenset().union(*(part.names for part in parts)),
        meaning="both " + "; ".join(sorted(part.meaning for part in parts)),
        asks=tuple(ask for part in parts for ask in part.asks),
        timed=any(part.timed for part in parts),
    )
