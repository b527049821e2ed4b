"""Rendering: what each channel gets, how values are escaped, and what a failure says."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.content.render import MAX_SMS, render, render_row
from orchestrator.contracts.messages import OutboxRow
from orchestrator.errors import TemplateFailed
from orchestrator.language.messages import parse_message
from orchestrator.language.program import MessageTemplate

URL = "https://shop.test/u?c=1&s=2"


def message(text: str) -> MessageTemplate:
    parsed, findings = parse_message("messages/note.md", text)
    assert parsed is not None, findings
    return parsed.template


def email_of(body: str, subject: str = "Hello", **facts: Any) -> Any:
    return render(message(f"---\nsubject: {subject!r}\n---\n{body}\n"), "email", facts, unsubscribe_url=URL)


NOTE = """---
subject: "About {{ product.name }}"
sms: >-
  {{ product.name }} is
  {{ product.price | money('GBP') }}.
push:
  title: "{{ product.name }}"
  body: See it again.
  link: "{{ product.url | default('') }}"
---
# {{ product.name }}

It costs **{{ product.price | money('GBP') }}**.

{% if product.url %}
[See it]({{ product.url }})
{% endif %}

- one
- two
"""
PRODUCT = {"name": "Tea tin", "price": 4.5, "url": "https://shop.test/t?a=1&b=2"}


def test_three_channels() -> None:
    note = message(NOTE)
    email = render(note, "email", {"product": PRODUCT}, unsubscribe_url=URL)
    assert email.subject == "About Tea tin"
    assert "<h1>Tea tin</h1>" in email.html
    assert "<strong>£4.50</strong>" in email.html
    assert '<a href="https://shop.test/t?a=1&amp;b=2">See it</a>' in email.html
    assert email.text == (
        "Tea tin\n\nIt costs £4.50.\n\nSee it (https://shop.test/t?a=1&b=2)\n\n- one\n- two\n\n--\n"
        f"Unsubscribe: {URL}\n"
    )
    assert render(note, "sms", {"product": PRODUCT}).text == "Tea tin is £4.50."
    push = render(note, "push", {"product": PRODUCT})
    assert (push.title, push.text, push.link) == ("Tea tin", "See it again.", "https://shop.test/t?a=1&b=2")
    assert render(note, "push", {"product": {"name": "Tea", "price": 1}}).link == ""


def test_marketing_mail_gets_the_unsubscribe_link_once() -> None:
    note = message(NOTE)
    facts = {"product": PRODUCT}
    assert render(note, "email", facts, unsubscribe_url=URL).html.count("shop.test/u?") == 1
    assert "nsubscribe" not in render(note, "email", facts, purpose="service", unsubscribe_url=URL).html
    placed = message("---\nsubject: x\n---\nHello. [No more]({{ unsubscribe_url }}) of this.\n")
    content = render(placed, "email", {}, unsubscribe_url=URL)
    assert content.html.count("shop.test/u?") == 1
    assert '<a href="https://shop.test/u?c=1&amp;s=2">No more</a>' in content.html


def test_a_row_is_rendered_from_its_own_facts() -> None:
    row = OutboxRow(
        send_id="s", customer="c", run_id="r", journey="j", version="v", step="steps[0]", message="note", channel="sms",
        address="+48", purpose="marketing", facts={"product": PRODUCT}, program="p", decided_at=0, not_before=0,
        not_after=1,
    )  # fmt: skip
    assert render_row(message(NOTE), row).text == "Tea tin is £4.50."


def test_a_missing_fact_fails_with_file_and_line() -> None:
    with pytest.raises(TemplateFailed) as caught:
        render(message(NOTE), "sms", {"product": {"name": "Tea"}})
    assert str(caught.value) == (
        "messages/note.md:4: message 'note', sms.text: 'price' is missing for this customer. "
        "add | default('…') behind it, or put it inside {% if %}"
    )
    with pytest.raises(TemplateFailed) as caught:
        render(message(NOTE), "email", {"product": {"name": "Tea"}})
    assert str(caught.value).startswith("messages/note.md:13: message 'note', email.body: 'price' is missing")
    with pytest.raises(TemplateFailed) as caught:
        render(message(NOTE), "push", {})
    assert str(caught.value).startswith("messages/note.md:7: message 'note', push.title: 'product.name' is missing")


def test_a_missing_fact_is_false_in_if_and_has_a_default() -> None:
    body = "{% if customer.a.b %}yes{% else %}no{% endif %} {{ customer.a | default('friend') }}"
    assert email_of(body, customer={}).text.startswith("no friend")
    assert email_of(body, customer={"a": None}).text.startswith("no friend")
    with pytest.raises(TemplateFailed):
        email_of("{% if customer.orders > 3 %}x{% endif %}y", customer={})


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}])
def test_only_texts_and_numbers_are_shown(value: object) -> None:
    with pytest.raises(TemplateFailed):
        email_of("Hello {{ customer.x }}", customer={"x": value})


@pytest.mark.parametrize(
    "source",
    [
        "{{ customer.x | money }}",
        "{{ customer.n | money('EURO') }}",
        "{{ customer.x | round }}",
        "{{ customer.x | join }}",
        "{{ customer.n | first }}",
        "{{ customer.n | length }}",
        "{{ customer.x | truncate('a') }}",
        "{% if customer.x > 3 %}a{% endif %}",
        "{% for a in customer.n %}a{% endfor %}",
        "{{ customer.x ~ customer.none }}",
        "{{ customer.n | title | money }}",
    ],
)
def test_a_value_of_the_wrong_kind_fails_without_showing_it(source: str) -> None:
    with pytest.raises(TemplateFailed) as caught:
        email_of(source, customer={"x": "secret@example.test", "n": 424242})
    assert "messages/note.md:4" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "424242" not in str(caught.value)


def test_numbers_read_well() -> None:
    assert email_of("{{ x.a }} {{ x.b }} {{ x.c }}", x={"a": 5.0, "b": 4.5, "c": 3}).text.startswith("5 4.5 3")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ p.name | upper }}", "TEA TIN"),
        ("{{ p.name | title }}", "Tea Tin"),
        ("{{ p.name | truncate(5) }}", "Tea…"),
        ("{{ p.long | truncate(12) }}", "one two…"),
        ("{{ p.tags | join(', ', ' and ') }}", "a, b and c"),
        ("{{ p.tags | first }}", "a"),
        ("{{ p.tags | length }}", "3"),
        ("{{ p.price | money }}", "1,234.50"),
        ("{{ p.price | money('EUR') }}", "€1,234.50"),
        ("{{ p.price | money('PLN') }}", "1,234.50 zł"),
        ("{{ p.price | round }}", "1234"),
        ("{{ p.none | default('x') }}", "x"),
        ("{{ p.tags[1] }}", "b"),
        ("{{ 'a' if p.price > 5 else 'b' }}", "a"),
        ("{% for t in p.tags %}{{ loop.index }}{{ t }}{% if not loop.last %}-{% endif %}{% endfor %}", "1a-2b-3c"),
        ("{{ p.name ~ '!' }}", "Tea tin!"),
    ],
)
def test_filters(source: str, shown: str) -> None:
    p = {"name": "Tea tin", "tags": ["a", "b", "c"], "price": 1234.5, "long": "one two three four", "none": ""}
    assert email_of(source, p=p).text.split("\n")[0] == shown


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def tags(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


HOSTILE = [
    "<script>alert(1)</script>",
    "[win](https://evil.test)",
    "![x](https://evil.test/p.png)",
    "<https://evil.test>",
    "https://evil.test",
    "**bold** _it_ `code`",
    "a\n\n# Title\n\n- item",
    "1. one",
    "&lt;b&gt; &amp; &#60;",
    '"><img src=x onerror=1>',
    "\\[x\\](y)",
    "[a]: https://evil.test",
    "\u202eevil\u2066",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_values_cannot_become_markup(value: str) -> None:
    harmless = tags(email_of("Dear {{ customer.x }}, hello", customer={"x": "Ann"}).html).seen
    hostile = tags(email_of("Dear {{ customer.x }}, hello", customer={"x": value}).html)
    assert hostile.seen == harmless
    alone = tags(email_of("{{ customer.x }}", customer={"x": value}).html)
    assert alone.seen == harmless


TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from(list("<>[](){}!*_`#-+.&;:/\\\"'|~=1a \n\t")), st.characters()), min_size=1
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_any_value_is_shown_as_text(value: str) -> None:
    harmless = tags(email_of("x {{ customer.x }} y", subject="{{ customer.x }} z", customer={"x": "Ann"}).html).seen
    content = email_of("x {{ customer.x }} y", subject="{{ customer.x }} z", customer={"x": value})
    assert tags(content.html).seen == harmless
    for character in content.subject:
        assert ord(character) >= 32
        assert ord(character) != 127
    content.text.encode()
    content.html.encode()


def test_author_html_stays_text() -> None:
    assert "&lt;script&gt;" in email_of("<script>x</script>").html


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil", "file:///x"]
)
def test_links_have_a_safe_scheme(url: str) -> None:
    with pytest.raises(TemplateFailed, match="a link does not start with"):
        email_of("[x]({{ product.url }})", product={"url": url})
    with pytest.raises(TemplateFailed, match="not a web address"):
        render(message(NOTE), "push", {"product": {"name": "x", "price": 1, "url": url}})


def test_line_breaks_reach_no_header() -> None:
    content = email_of("x", subject="Hi {{ customer.x }}", customer={"x": "Ann\r\nBcc: all@evil.test\x00"})
    assert content.subject == "Hi Ann Bcc: all@evil.test"


def test_limits_per_channel() -> None:
    sms = message("---\nsms: '{{ customer.x }}'\n---\n")
    with pytest.raises(TemplateFailed, match="is the most"):
        render(sms, "sms", {"customer": {"x": "x" * (MAX_SMS + 1)}})
    with pytest.raises(TemplateFailed, match="is empty"):
        render(sms, "sms", {"customer": {"x": " "}})
    push = message("---\npush: {title: '{{ customer.x }}', body: '{{ customer.x }}'}\n---\n")
    with pytest.raises(TemplateFailed, match="push services refuse"):
        render(push, "push", {"customer": {"x": "ż" * 1_000}})
    with pytest.raises(TemplateFailed, match="e-mail is empty"):
        email_of("{% if customer.x %}x{% endif %}", customer={})
    with pytest.raises(TemplateFailed, match="has no email content"):
        render(sms, "email", {})
    with pytest.raises(TemplateFailed, match="more than 64 KiB"):
        email_of("{{ customer.x }}", customer={"x": "x" * 70_000})


def test_plain_text_keeps_lists_quotes_and_order() -> None:
    body = "Intro\n\n1. one\n2. two\n   - deep\n\n> quoted\n\n***\n\nLine  \nbreak ![logo](https://x.test/l.png)\n"
    text = email_of(body).text
    assert text.startswith(
        "Intro\n\n1. one\n2. two\n  - deep\n\n> quoted\n\n--------------------\n\nLine\nbreak logo\n"
    )


def test_the_same_input_gives_the_same_bytes() -> None:
    note = message(NOTE)
    one = render(note, "email", {"product": PRODUCT}, unsubscribe_url=URL)
    assert one == render(note, "email", {"product": dict(reversed(PRODUCT.items()))}, unsubscribe_url=URL)
