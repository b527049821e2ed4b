# ruff: noqa: E501 - tables of exact messages read better on one line
"""Message files: channels, places of faults, and what a template may read."""

from __future__ import annotations

import pytest

from orchestrator.language.journeys import check_program
from orchestrator.language.messages import parse_message

JOURNEY = "name: x\nowner: y\ntrigger: purchase\nsteps:\n  - send: note\n    with: {code: A1}\n"


def faults(text: str) -> list[str]:
    _, findings = parse_message("messages/note.md", text)
    return [str(finding) for finding in findings]


def test_channels_and_lines() -> None:
    text = "---\nsubject: Hello\nsms: |\n  One\n  two\npush:\n  title: T\n  body: B\n---\n\n\nBody\n"
    parsed, findings = parse_message("messages/note.md", text)
    assert findings == ()
    assert parsed is not None
    assert parsed.template.channels == {
        "email": {"subject": "Hello", "body": "Body"},
        "sms": {"text": "One\ntwo\n"},
        "push": {"title": "T", "body": "B"},
    }
    assert parsed.template.lines == {
        "email.subject": 2, "email.body": 12, "sms.text": 4, "push.title": 7, "push.body": 8
    }  # fmt: skip
    only_sms, _ = parse_message("messages/note.md", "---\nsms: Hello\n---\n")
    assert only_sms is not None
    assert set(only_sms.template.channels) == {"sms"}


def test_a_version_goes_by_content_not_by_place() -> None:
    def version(text: str) -> str:
        parsed, _ = parse_message("messages/note.md", text)
        assert parsed is not None
        return parsed.template.version

    assert version("---\nsms: Hello\n---\n") == version("---\n# comment\nsms: 'Hello'\n---\n\n")
    assert version("---\nsms: Hello\n---\n") != version("---\nsms: Hello!\n---\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Hello",
            ["messages/note.md:1:1: the front matter is missing (start with a line '---', then subject, sms or push, then '---')"],
        ),
        (
            "---\nsubject: x\n",
            ["messages/note.md:1:1: the front matter is missing (start with a line '---', then subject, sms or push, then '---')"],
        ),
        (
            "---\nsubject: x\n---\n \n",
            ["messages/note.md:2:1: a subject without a body (write the e-mail below the second '---')"],
        ),
        ("---\nsms: x\n---\nBody\n", ["messages/note.md:4:1: an e-mail without a subject (add 'subject: …' to the front matter)"]),
        ("---\nfacts: product.name\n---\n", ["messages/note.md:1:1: a message without any content (add sms, push, or a subject and a body)"]),
        ("---\nsmss: x\n---\n", ["messages/note.md:2:1: unknown key 'smss' — did you mean 'sms'? (known here: subject, sms, push, facts)"]),
        ("---\npush: {title: x, text: y}\n---\n", [
            "messages/note.md:2:1: 'body' is missing (write one or two sentences: body: …)",
            "messages/note.md:2:18: unknown key 'text' (known here: title, body, link)",
        ]),
        ("---\nsms: 3\n---\n", ["messages/note.md:2:6: '3' is not a text (write the text of the message)"]),
        ("---\nsms: &a x\n---\n", ["messages/note.md:2:6: anchors (&name) are not allowed (write the value out where it is used)"]),
        (
            "---\nsubject: x\n---\nOne\n\n{{ customer.name.upper() }}\n",
            ["messages/note.md:6:1: email body: calls are not allowed (use a filter, such as {{ product.price | money }})"],
        ),
        (
            "---\nsubject: x\n---\nOne\n{% if customer.orders %}\n",
            [
                "messages/note.md:5:1: email body: the template cannot be read: Unexpected end of template. Jinja was looking for "
                "the following tags: 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if' "
                "(close every {{ with }} and every {% if %} with {% endif %})"
            ],
        ),
        (
            "---\nsms: '{{ product.name | uper }}'\n---\n",
            ["messages/note.md:2:1: sms text: unknown filter 'uper' — did you mean 'upper'? (known: capitalize, default, first, "
             "join, length, lower, money, round, title, trim, truncate or upper)"],
        ),
        (
            "---\nsubject: x\nsms: About {{ product.name }}\nfacts: [product.name]\n---\nHello\n",
            ["messages/note.md:4:9: email does not show 'product.name' (show it on every channel, or take it off the facts)"],
        ),
    ],
)  # fmt: skip
def test_faults(text: str, found: list[str]) -> None:
    assert sorted(faults(text)) == sorted(found)


def test_names_come_from_facts_links_and_literals() -> None:
    good = "---\nsms: '{{ code }} {{ customer.x }} {{ order.id }} {{ unsubscribe_url }} {{ run.id }}'\n---\n"
    program, findings = check_program({"x.yaml": JOURNEY, "messages/note.md": good})
    assert program is not None, findings
    bad = "---\nsubject: x\nsms: '{{ cod }}'\n---\nHello\n\n{{ custmer.first_name }}\n"
    program, findings = check_program({"x.yaml": JOURNEY, "messages/note.md": bad})
    assert program is None
    fix = "(use a fact such as customer.first_name, or give the value in 'with:')"
    assert [str(finding) for finding in findings] == [
        f"messages/note.md:3:1: unknown name 'cod' — did you mean 'code'? {fix}",
        f"messages/note.md:7:1: unknown name 'custmer' — did you mean 'customer'? {fix}",
    ]


def test_a_name_given_by_one_send_only_is_a_warning_at_the_other() -> None:
    steps = "  - send: note\n    with: {code: A1}\n  - send: note\n"
    text = JOURNEY.split("  - send")[0] + steps
    program, findings = check_program({"x.yaml": text, "messages/note.md": "---\nsms: '{{ code }}'\n---\n"})
    assert program is not None
    assert [finding.level for finding in findings] == ["warning"]
    assert [str(finding) for finding in findings] == [
        "x.yaml:7:11: message 'note' shows 'code', which this send does not give (add 'with: {code: …}')"
    ]
