"""Conditions: words, expressions, what is missing, and the bounds."""

from __future__ import annotations

import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.language.conditions import ConditionFault, both, compile_expression, compile_mapping
from orchestrator.language.program import MISSING


class Values:
    """A scope over dotted names."""

    def __init__(self, **values: Any) -> None:
        self.values = {tuple(name.split("__")): value for name, value in values.items()}
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.answer: object = True

    def get(self, path: tuple[str, ...]) -> object:
        return self.values.get(path, MISSING)

    def call(self, name: str, args: tuple[object, ...]) -> object:
        self.calls.append((name, args))
        return self.answer


def line(phrase: object, value: object = MISSING) -> bool:
    scope = Values() if value is MISSING else Values(a__b=value)
    return compile_mapping({"a.b": phrase}).holds(scope)


def expression(written: str, /, **values: Any) -> bool:
    return compile_expression(written).holds(Values(**values))


@pytest.mark.parametrize(
    ("phrase", "fits", "fails"),
    [
        ("coffee", ["coffee"], ["tea", "Coffee", 1, True]),
        (5, [5, 5.0], [6, "5"]),
        (1, [1], [True]),
        (True, [True], [1, "true", False]),
        (["PL", "DE"], ["PL", "DE"], ["FR", 1]),
        (["PL", 3], ["PL", 3], ["FR", "3", 4]),
        ("at least 2", [2, 3, 2.5], [1, 1.99, "3", True]),
        ("at most 2", [2, 1, -5], [3, "1"]),
        ("over 50", [50.01, 51], [50, 49, "60"]),
        ("under 5", [4, -1], [5, 6, None]),
        ("between 2 and 5", [2, 5, 3.3], [1.9, 5.1, "3"]),
        ("not coffee", ["tea", 3], ["coffee"]),
        ("not 5", [4, "5", True], [5, 5.0]),
        ("not true", [False, 1], [True]),
        ("at  least   2", [2], [1]),
        ("at home", ["at home"], ["home"]),
        ("notice", ["notice"], ["ice"]),
        ("over -1.5", [0], [-2]),
    ],
)
def test_words(phrase: object, fits: list[object], fails: list[object]) -> None:
    if phrase == "at home":
        phrase = ["at home"]
    assert [value for value in fits if not line(phrase, value)] == []
    assert [value for value in fails if line(phrase, value)] == []


PHRASES = ["coffee", 5, True, ["PL", "DE"], "at least 2", "at most 2", "over 5", "under 5", "between 2 and 5", "not x"]


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_line_on_a_missing_name_is_false_not_included(phrase: object) -> None:
    assert line(phrase) is False


@pytest.mark.parametrize(
    "text", ["a == 1", "a != 1", "a < 1", "a >= 1", "a in ['x']", "a not in ['x']", "'x' in a", "1 < a < 3", "a == a"]
)
def test_every_comparison_with_a_missing_name_is_false(text: str) -> None:
    assert expression(text) is False


def test_a_missing_name_alone_is_false_and_not_turns_it_around() -> None:
    assert expression("response") is False
    assert expression("not response") is True
    assert expression("not (country == 'PL')") is True
    assert expression("not (country != 'PL')") is True
    assert expression("response or cart_add", cart_add=True) is True


def test_a_function_with_a_missing_argument_is_missing_and_is_not_called() -> None:
    scope = Values()
    assert compile_expression("bought(product.category, '30d')").holds(scope) is False
    assert compile_expression("not bought(product.category, '30d')").holds(scope) is True
    assert scope.calls == []


def test_functions_get_their_durations_in_milliseconds() -> None:
    scope = Values(product__category="tea")
    condition = compile_expression("not bought(product.category, '1d 12h')")
    assert condition.holds(scope) is False
    assert scope.calls == [("bought", ("tea", 129_600_000))]
    assert condition.names == {("product", "category")}
    assert compile_expression("bought('tea')").holds(scope) is True


def test_a_list_of_labels_fits_by_any_item() -> None:
    assert line("vip", ["new", "vip"])
    assert line(["vip", "gold"], ("gold",))
    assert line("at least 3", [1, 5])
    assert not line("not vip", ["new", "vip"])
    assert line("not vip", ["new"])
    assert line("not vip", [])
    assert not line("vip", [])
    assert expression("'vip' in customer.segments", customer__segments=["vip"])
    assert expression("'vip' not in customer.segments", customer__segments=["new"])


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a == 1 and b == 'x'", True),
        ("a == 2 or b == 'x'", True),
        ("a == 1 and not b == 'x'", False),
        ("0 < a <= 1", True),
        ("1 < a < 3", False),
        ("a != 2", True),
        ("b in ['x', 'y']", True),
        ("a in [1, 'y']", True),
        ("c in [1]", False),
        ("b not in ['y']", True),
        ("b < 'z'", True),
        ("b < 5", False),
        ("a > 'x'", False),
        ("c == 1", False),
        ("c == true", True),
        ("c != 1", True),
        ("d.e.f == -3", True),
        ("'la' in text", True),
        ("'la' not in text", False),
        ("text in 5", False),
        ("(a == 1) == c", True),
        ("true", True),
        ("not false", True),
        ("a == 1 and b == 'x' and c", True),
        ("a == 2 or b == 'y' or not c", False),
    ],
)
def test_expressions(text: str, holds: bool) -> None:
    assert expression(text, a=1, b="x", c=True, d__e__f=-3, text="later") is holds


@pytest.mark.parametrize(
    ("text", "message", "fix", "offset"),
    [
        ("a = 3", "'a = 3' cannot be read", "write == to compare", 2),
        ("a b", "'a b' cannot be read", "use names, 'texts', numbers, and or not == < > in", 2),
        ("a is 3", "'is' is not part of a condition", "write == to compare", 0),
        ("a == null", "nothing is ever equal to null", "write 'not customer.email' for what is absent", 5),
        ("x == 1 and bougt(a)", "unknown function 'bougt' — did you mean 'bought'?", None, 11),
        ("bought(a, 3)", "a duration stands in quotes", "write bought(product.category, '30d')", 10),
        ("bought(a, '3x')", "'3x' is not a duration", "write 3d, 12h, 45m or 2w", 10),
        ("bought()", "'bought' is called in another way", "write bought(product.category, '30d')", 0),
        ("bought(a, b='3d')", "'bought' is called in another way", "write bought(product.category, '30d')", 0),
        ("a.__class__ == 1", "'a.__class__' is not a name", "write a name such as product.category", 0),
        ("__import__('os').system('id')", "texts and names have no functions of their own", "use bought", 0),
        ("'a'.format(b)", "texts and names have no functions of their own", "use bought", 0),
        ("a[0] == 1", "brackets are not part of a condition", "write the name with dots", 0),
        ("f'{a}' == 'x'", "a condition holds no code", "write the text in plain quotes", 0),
        ("(lambda: 1)", "a condition holds no code", "use and, or, not and comparisons", 1),
        ("a + 1 > 2", "arithmetic is not part of a condition", "compare a field that holds the result", 0),
        ("'a' * 999999999 == b", "arithmetic is not part of a condition", "compare a field that holds the result", 0),
        ("[x for x in a]", "this is not part of a condition", None, 0),
        ("a if b else c", "this is not part of a condition", None, 0),
        ("(a := 3)", "'=' sets a value", "write == to compare", 1),
        ("a in [b]", "a name cannot stand here", "put the text in quotes", 6),
        ("a == 'zażółć' and b = 1", "'a == 'zażółć' and b = 1' cannot be read", "write == to compare", 20),
        ("a == 'zażółć' and b[0]", "brackets are not part of a condition", "write the name with dots", 18),
        ("  a[0]", "brackets are not part of a condition", "write the name with dots", 2),
        ("bought(a).b", "only names have parts", "write a name such as product.category", 0),
        ("", "an empty condition always holds", "remove it, or say what must hold", 0),
        ("\x00", None, "use names, 'texts', numbers, and or not == < > in", 0),
    ],
)
def test_what_is_no_expression(text: str, message: str | None, fix: str | None, offset: int) -> None:
    with pytest.raises(ConditionFault) as caught:
        compile_expression(text)
    if message is not None:
        assert caught.value.message == message
    if fix is not None:
        assert caught.value.fix == fix
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("more than 5", "unknown words 'more than 5' — did you mean 'over'?"),
        ("less than 5", "unknown words 'less than 5' — did you mean 'under'?"),
        ("at lest 3", "unknown words 'at lest 3' — did you mean 'at least'?"),
        ("over fifty", "'over fifty' has no number after 'over'"),
        ("at least", "'at least' has no number after 'at least'"),
        ("between 5 and 2", "'between 5 and 2' is empty"),
        ("between 5", "'between 5' is not a range"),
        ("> 5", "'> 5' is written in signs"),
        ("not", "'not' what?"),
        ("not at least 3", "'not at least 3' turns a range around"),
        ([], "an empty list fits nothing"),
        ({"x": 1}, "a condition has one level"),
        (None, "a condition without a value"),
        (["a", None], "a condition without a value"),
        ([["a"]], "a list holds plain values only"),
        ("over inf", "'over inf' has no number after 'over'"),
        ("over nan", "'over nan' has no number after 'over'"),
    ],
)
def test_what_is_no_line(phrase: object, message: str) -> None:
    with pytest.raises(ConditionFault) as caught:
        line(phrase)
    assert caught.value.message == message


def test_bounds() -> None:
    big = " or ".join(["a == 1"] * 60)
    for text in ("a" * 1_001, big, "(" * 300, "not " * 30 + "a", "a" + ".b" * 40):
        with pytest.raises(ConditionFault):
            compile_expression(text)
    with pytest.raises(ConditionFault):
        compile_mapping({f"a.x{n}": 1 for n in range(51)})
    with pytest.raises(ConditionFault):
        compile_mapping({"a.b": [str(n) for n in range(1_001)]})
    with pytest.raises(ConditionFault):
        compile_mapping({})


def test_meaning_ignores_order_and_spacing_and_nothing_else() -> None:
    one = compile_mapping({"a.b": ["x", "y"], "c.d": "at  least 2"})
    two = compile_mapping({"c.d": "at least 2", "a.b": ["y", "x"]})
    assert one.meaning == two.meaning
    assert one.meaning != compile_mapping({"c.d": "at least 3", "a.b": ["y", "x"]}).meaning
    assert compile_mapping({"a.b": 1}).meaning != compile_mapping({"a.b": "1"}).meaning
    assert compile_expression("a  ==  1").meaning == compile_expression("a == 1").meaning


SCALARS = st.one_of(st.integers(-5, 5), st.sampled_from(["x", "y", ""]), st.booleans(), st.floats(-3, 3))


@given(SCALARS, st.integers(-3, 3))
def test_algebra_of_words(value: Any, limit: int) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    assert line(f"at least {limit}", value) == (number and not line(f"under {limit}", value))
    assert line(f"over {limit}", value) == (number and not line(f"at most {limit}", value))
    assert line(f"not {limit}", value) != line(limit, value)
    both_ends = line(f"at least {limit}", value) and line(f"at most {limit + 2}", value)
    assert line(f"between {limit} and {limit + 2}", value) == both_ends
    assert line([limit, limit + 1], value) == (line(limit, value) or line(limit + 1, value))


NAMES = ("a", "b", "c")
CONDITIONS = st.recursive(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["==", "!=", "<", ">="]), st.integers(0, 2)),
    lambda inner: st.one_of(st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner)),
    max_leaves=8,
)


def _written(tree: Any) -> str:
    if tree[0] == "not":
        return f"not ({_written(tree[1])})"
    if tree[0] in ("and", "or"):
        return f"({_written(tree[1])}) {tree[0]} ({_written(tree[2])})"
    return f"{tree[0]} {tree[1]} {tree[2]}"


def _meant(tree: Any, values: dict[str, int]) -> bool:
    if tree[0] == "not":
        return not _meant(tree[1], values)
    if tree[0] == "and":
        return _meant(tree[1], values) and _meant(tree[2], values)
    if tree[0] == "or":
        return _meant(tree[1], values) or _meant(tree[2], values)
    if tree[0] not in values:
        return False
    value = values[tree[0]]
    return {"==": value == tree[2], "!=": value != tree[2], "<": value < tree[2], ">=": value >= tree[2]}[tree[1]]


@given(CONDITIONS, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)))
def test_expressions_mean_what_a_second_reading_says(tree: Any, values: dict[str, int]) -> None:
    assert expression(_written(tree), **values) is _meant(tree, values)


@given(st.text(max_size=40))
def test_any_text_compiles_or_says_why(text: str) -> None:
    for build in (compile_expression, lambda phrase: compile_mapping({"a.b": phrase})):
        try:
            condition = build(text)
        except ConditionFault as fault:
            said = fault.message and fault.fix
        else:
            said = condition.holds(Values(a__b="x", a=3)) in (True, False)
        assert said


def test_both() -> None:
    condition = both([compile_mapping({"a.b": "x"}), compile_expression("c")])
    assert condition.holds(Values(a__b="x", c=1))
    assert not condition.holds(Values(a__b="x"))
    assert condition.needs("a")
    assert condition.needs("c")


def test_a_line_costs_less_than_a_microsecond() -> None:
    scope = Values(customer__orders=3)
    condition = compile_mapping({"customer.orders": "at least 2"})
    best = min(timeit.repeat(lambda: condition.holds(scope), number=20_000, repeat=5)) / 20_000
    # Ten times what is due, so that a busy machine does not fail it: a hundred-fold slowdown does.
    assert best < 10e-6
