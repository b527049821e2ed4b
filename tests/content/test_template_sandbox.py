"""Marketers' templates are hostile input: known escapes of Jinja, runaway work, and names that reach into Python."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from orchestrator.content.render import render
from orchestrator.errors import TemplateFailed
from orchestrator.language.program import MessageTemplate
from orchestrator.language.templates import MAX_SOURCE, TemplateFault, check


def message(source: str) -> MessageTemplate:
    return MessageTemplate("m", "v", {"sms": {"text": source}}, file="messages/m.md", lines={"sms.text": 3})


def show(source: str, **facts: Any) -> str:
    return render(message(source), "sms", facts).text


ESCAPES = {
    "CVE-2016-10745 str.format": "{{ '{0.__class__.__mro__}'.format(customer) }}",
    "CVE-2019-10906 str.format_map": "{{ '{a.__class__}'.format_map({'a': customer}) }}",
    "CVE-2024-56326 indirect format": "{% set f = '{0.__class__}'.format %}{{ f(customer) }}",
    "CVE-2024-56326 through a filter": "{{ ['{0.__class__}'] | map('format', customer) | list }}",
    "CVE-2024-56326 through a name": "{{ customer['first_name'].format(customer) }}",
    "CVE-2025-27516 attr": "{{ '{0.__class__}' | attr('format') }}",
    "CVE-2025-27516 map attribute": "{{ ['x'] | map(attribute='format') | first }}",
    "CVE-2024-56201 include by name": "{% include '{0}' %}",
    "classic subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "classic globals": "{{ self.__init__.__globals__ }}",
    "self alone": "{% if self %}x{% endif %}",
    "super": "{{ super }}",
    "cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "lipsum": "{{ lipsum.__globals__ }}",
    "namespace": "{% set n = namespace(x=1) %}{{ n.x }}",
    "import": "{% import 'x' as x %}",
    "from import": "{% from 'x' import y %}",
    "extends": "{% extends 'x' %}",
    "block": "{% block x %}{% endblock %}",
    "macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "call": "{% call m() %}{% endcall %}",
    "filter block": "{% filter upper %}x{% endfilter %}",
    "with": "{% with a = 1 %}{{ a }}{% endwith %}",
    "autoescape": "{% autoescape false %}x{% endautoescape %}",
    "safe": "{{ customer.first_name | safe }}",
    "underscore": "{{ customer._secret }}",
    "call of a fact": "{{ customer.first_name.upper() }}",
    "computed key": "{{ customer['__cl' ~ 'ass__'] }}",
    "slice": "{{ order.lines[0:3] }}",
    "dict": "{{ {'a': 1} }}",
    "keyword of a filter": "{{ customer.x | truncate(length=5) }}",
    "unknown test": "{{ customer.x is divisibleby(3) }}",
    "part of a text": "{{ 'x'.y }}",
    "unpacking": "{% for a, b in order.x %}{% endfor %}",
    "long list": "{{ [" + "1," * 200 + "] | length }}",
}


@pytest.mark.parametrize("source", ESCAPES.values(), ids=ESCAPES.keys())
def test_escapes_are_refused_when_the_file_loads(source: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        check(source)
    assert caught.value.fix


RUNAWAYS = {
    "repeat a text": "{{ 'a' * 10 ** 9 }}",
    "format width": "{{ '%1000000000d' | format(1) }}",
    "format operator": "{{ '%1000000000d' % 1 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "range": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "text loop": "{% for a in 'aaaaaaaa' %}x{% endfor %}",
    "loop over a loop": "{% for a in order.x %}{% for b in a %}{% for c in b %}x{% endfor %}{% endfor %}{% endfor %}",
    "recursive loop": "{% for a in order.x recursive %}{{ loop(order.x) }}{% endfor %}",
    "much work in a loop": "{% for a in order.x %}{% for b in order.x %}" + "{{ b }}" * 50 + "{% endfor %}{% endfor %}",
    "deep nesting": "{{ " + "(" * 60 + "customer.x" + " ~ 'a')" * 60 + " }}",
    "deep brackets": "{{ " + "[" * 3_000 + "]" * 3_000 + " }}",
    "large source": "x" * (MAX_SOURCE + 1),
    "replace": "{{ 'aaaa' | replace('a', 'aaaaaaaa') | replace('a', 'aaaaaaaa') }}",
    "large number": "{{ 99999999999999999999999 }}",
}


@pytest.mark.parametrize("source", RUNAWAYS.values(), ids=RUNAWAYS.keys())
def test_runaway_work_is_refused_at_once(source: str) -> None:
    started = time.perf_counter()
    with pytest.raises(TemplateFault):
        check(source)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "source",
    [
        "{{ customer.first_name * 1000000 }}",
        "{{ order.x * 1000000 }}",
        "{{ customer.first_name + 'x' }}",
        "{{ -order.x }}",
    ],
)
def test_arithmetic_takes_numbers_only(source: str) -> None:
    check(source)
    with pytest.raises(TemplateFailed):
        show(source, customer={"first_name": "Ann"}, order={"x": [1]})
    assert show("{{ order.n * 2 + 1 - 3 }}", order={"n": 4}) == "6"


def test_names_are_keys_never_attributes_or_methods() -> None:
    facts = {"order": {"items": "three"}, "customer": {"first_name": "Ann"}}
    assert show("{{ order.items }}", **facts) == "three"
    for source in (
        "{{ customer.items }}",
        "{{ customer.get }}",
        "{{ customer.first_name.upper }}",
        "{{ customer.keys }}",
    ):
        with pytest.raises(TemplateFailed):
            show(source, **facts)
    # The plain environment would have shown the method: the test can fail.
    assert "method" in Environment(autoescape=True).from_string("{{ customer.items }}").render(**facts)


def test_nothing_of_jinja_is_in_reach() -> None:
    for name in ("range", "dict", "lipsum", "cycler", "joiner", "namespace", "caller", "varargs"):
        with pytest.raises(TemplateFailed):
            show("{{ " + name + " }}")
        assert show("{% if " + name + " %}there{% else %}absent{% endif %}") == "absent"


def test_a_loop_sees_a_hundred_items_and_output_is_capped() -> None:
    lines = [{"name": "x"}] * 500
    assert show("{% for line in order.lines %}{{ line.name }}{% endfor %}", order={"lines": lines}) == "x" * 100
    with pytest.raises(TemplateFailed, match="more than 64 KiB"):
        show("{% for line in order.lines %}{{ line.name }}{% endfor %}", order={"lines": [{"name": "x" * 5_000}] * 100})


def test_the_dearest_allowed_template_ends_soon() -> None:
    source = (
        "{% for a in order.x %}{% for b in order.x %}{% if a.n == b.n %}{{ b.n }}{% endif %}{% endfor %}{% endfor %}"
    )
    started = time.perf_counter()
    show(source, order={"x": [{"n": n} for n in range(100)]})
    assert time.perf_counter() - started < 2


def test_three_loops_inside_each_other_are_named_as_the_fault() -> None:
    with pytest.raises(TemplateFault, match="more than 2 loops"):
        check(RUNAWAYS["loop over a loop"])


def test_facts_that_are_not_plain_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"x": deep}
    for bad in (object(), open, {"a": {1, 2}}, deep):
        with pytest.raises(TemplateFailed):
            show("hello", customer=bad)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["{{", "}}", "{%", "%}", " for ", " in ", " if ", " endif ", " endfor ", "x", "customer.a", "|", "default",
             "('a')", "'", '"', "(", ")", "[", "]", "{#", "#}", "\n", " ~ ", "*", "**", "é", "<b>", " else "]
        ),
        max_size=14,
    )
)  # fmt: skip
def test_any_source_is_checked_and_rendered_or_refused(parts: list[str]) -> None:
    source = "".join(parts)
    try:
        check(source)
    except TemplateFault:
        return
    try:
        show(source, customer={"a": "b"}, x=[1, 2])
    except TemplateFailed as error:
        refused = str(error)
        assert refused
