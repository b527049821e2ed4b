# ruff: noqa: E501 - tables of exact messages read better on one line
"""The lint finds every seeded defect, at its place, and nothing in clean sets.

Each defect is one small change to a clean set, as a hurried person would make it. So the test is its own mutation
proof: without the check the changed set would pass.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.language.flow import loops, paths_to, takes_time
from orchestrator.language.journeys import check_program
from orchestrator.language.lint import CHECKS, lint, steps
from orchestrator.language.lint.checked import Checked
from orchestrator.language.lint.places import Places, path_of
from orchestrator.language.program import Jump, Send, Wait
from orchestrator.runtime.journey_files import read_journeys

SHIPPED = Path(__file__).parents[3] / "journeys"

POLICY = """\
currency: EUR
time_zone: Europe/Warsaw
cap: 4 per 7d
quiet_hours: 21:00-08:00
channels:
  email: {cost: 0.001, consent: {marketing: opt_in}}
  sms: {cost: 0.05, consent: {marketing: opt_in}}
  push: {cost: 0, consent: {marketing: opt_in}}
"""

REFILL = """\
name: Refill
owner: retention
status: live
priority: 60
trigger: {event: purchase, where: {product.category: coffee}}
reentry: always
cap: 3 per 30d
steps:
  - wait: 20d
  - send: refill
  - wait_for: [response, cart_add]
    up_to: 3d
  - branch:
      - if: response
        then:
          - exit: engaged
      - if: cart_add
        then:
          - wait: 1d
          - send: refill
            channel: other
  - wait: 10d
  - send: [refill, last_call]
    expires: 24h
"""

BROWSE = """\
name: Browse
owner: web-shop
status: live
priority: 40
trigger: {event: view, where: {product.price: over 50}}
reentry: after 14d
cap: 2 per 7d
steps:
  - wait: 2h
    after_last: view
  - send: looked
    expires: 24h
"""

WELCOME = """\
name: Welcome
owner: crm
status: live
trigger: signed_up
steps:
  - send: welcome
    with: {code: HELLO}
"""

MESSAGE = """\
---
subject: "{{ product.name }}?"
sms: "Time for {{ product.name }}? {{ product.url }}"
push: {title: "{{ product.name }}", body: "Time again?", link: "{{ product.url }}"}
facts: [product.name]
---
You had **{{ product.name }}**. [See it]({{ product.url }})

{% if customer.orders and customer.first_name %}
Thank you for ordering again, {{ customer.first_name | default('dear customer') }}.
{% endif %}
"""

HELLO = """\
---
subject: Your code {{ code }}
sms: "Your code is {{ code }}. https://shop.test/hello"
push: {title: "{{ code }}", body: Your code, link: "https://shop.test/hello"}
---
Your code is {{ code }}. [Begin](https://shop.test/hello)
"""

CLEAN = {
    "_policy.yaml": POLICY,
    "refill.yaml": REFILL,
    "browse.yaml": BROWSE,
    "welcome.yaml": WELCOME,
    "messages/refill.md": MESSAGE,
    "messages/last_call.md": MESSAGE,
    "messages/looked.md": MESSAGE,
    "messages/welcome.md": HELLO,
}
IN_GERMAN = {name.replace(".md", ".de.md"): text for name, text in CLEAN.items() if name.endswith(".md")}


def found(files: dict[str, str]) -> list[str]:
    program, findings = check_program(files)
    assert program is not None, findings
    return [f"{one.level} {one.file}:{one.line}:{one.column}: {one.message}" for one in lint(files, program)]


@pytest.mark.parametrize(
    "files", [CLEAN, CLEAN | IN_GERMAN, read_journeys(SHIPPED)], ids=["clean", "two languages", "shipped"]
)
def test_clean_sets_give_no_finding(files: dict[str, str]) -> None:
    assert found(files) == []


#: (what is wrong, file, text taken out, text put in, the finding)
DEFECTS = [
    ("a step after an exit", "refill.yaml", "  - wait: 10d\n", "  - exit: done\n  - wait: 10d\n",
     "warning refill.yaml:23:5: nobody ever comes to this step"),
    ("both cases exit", "refill.yaml", "          - wait: 1d\n          - send: refill\n            channel: other\n", "          - exit: bought\n      - else:\n          - exit: silent\n",
     "warning refill.yaml:22:5: nobody ever comes to this step"),
    ("a case twice", "refill.yaml", "      - if: cart_add\n", "      - if: response\n",
     "warning refill.yaml:17:9: no customer ever fits this case: a case above asks for the same"),
    ("an expiry within the quiet hours", "browse.yaml", "expires: 24h", "expires: 6h",
     "warning browse.yaml:12:14: this may expire before it is allowed to go: the company's quiet hours last 11h, it expires after 6h"),
    ("a long night", "browse.yaml", "steps:\n  - wait: 2h\n    after_last: view\n  - send: looked\n    expires: 24h", "quiet_hours: 10:00-09:00\nsteps:\n  - send: looked\n    expires: 22h",
     "warning browse.yaml:11:14: this may expire before it is allowed to go: its quiet hours last 23h, it expires after 22h"),
    ("a set of messages with a gap", "messages/last_call.md", 'sms: "Time for {{ product.name }}? {{ product.url }}"\n', "",
     "warning refill.yaml:23:11: message 'last_call' has no sms content, though others of this step do: what is learned would compare channels, not messages"),
    ("a channel the policy does not know", "_policy.yaml", "  push: {cost: 0, consent: {marketing: opt_in}}\n", "",
     "warning browse.yaml:11:5: 'push' may be chosen here, but the policy says nothing of its cost and consent"),
    ("the cap is used up", "refill.yaml", "  - wait: 10d\n  - send: [refill, last_call]\n    expires: 24h\n", "  - send: last_call\n  - send: last_call\n  - send: last_call\n    expires: 24h\n",
     "warning refill.yaml:24:5: the journey's cap of 3 per 30d never allows this step: 3 messages of this journey went shortly before, and this one expires after 1d"),
    ("two of a cap of one", "browse.yaml", "cap: 2 per 7d\nsteps:\n", "cap: 1 per 7d\nsteps:\n  - send: looked\n  - send: looked\n",
     "warning browse.yaml:10:5: the journey's cap of 1 per 7d never allows this step: a message of this journey went shortly before, and this one expires after 2d"),
    ("two owners", "browse.yaml", "priority: 40\ntrigger: {event: view, where: {product.price: over 50}}", "priority: 60\ntrigger: {event: purchase, where: {product.category: [tea, coffee]}}",
     "warning refill.yaml:4:11: retention ('refill') and web-shop ('browse') write to the same customers after 'purchase', both with priority 60: the order of their names decides"),
    ("a journey that answers its own message", "welcome.yaml", "trigger: signed_up\n", "trigger: message_sent\nreentry: always\n",
     "error welcome.yaml:4:10: 'welcome' → 'welcome': it sets itself off at once, without end"),
    ("two that answer each other, with a wait", "browse.yaml", "trigger: {event: view, where: {product.price: over 50}}", "trigger: message_delivered",
     "warning browse.yaml:5:10: 'browse' → 'browse': it sets itself off again and again"),
    ("an event only one case waited for", "refill.yaml", "          - wait: 1d\n          - send: refill\n            channel: other\n  - wait: 10d\n", "          - {wait_for: cart_gone, up_to: 1d}\n  - exit: bought\n    if: cart_gone\n",
     "warning refill.yaml:21:9: on some ways to this step nothing has waited for 'cart_gone': there it counts as not come"),
    ("a condition on what set it off", "welcome.yaml", "    with: {code: HELLO}\n", "    with: {code: HELLO}\n  - {exit: done, if: signed_up}\n",
     "warning welcome.yaml:8:22: 'signed_up' is what set the journey off, so it has always come"),
    ("facts the trigger does not bring", "browse.yaml", "trigger: {event: view, where: {product.price: over 50}}", "trigger: reply",
     "error browse.yaml:11:11: message 'looked' shows 'product.name' (email subject), and the trigger 'reply' brings no product: it would fail for everybody"),
    ("an order that a view does not have", "messages/looked.md", "Time again?", "Like {{ order.id }}?",
     "error browse.yaml:11:11: message 'looked' shows 'order.id' (push body), and the trigger 'view' brings no order: it would fail for everybody"),
    ("nothing but a name on one channel", "messages/welcome.md", "Your code is {{ code }}. https", "Hello {{ customer.first_name }}! https",
     "error messages/welcome.md:3:1: sms: her name is all this message knows about her"),
    ("a name without a fallback", "messages/looked.md", "{% if customer.orders and customer.first_name %}\nThank you for ordering again, {{ customer.first_name | default('dear customer') }}.", "{% if customer.orders %}\nThank you for ordering again, {{ customer.first_name }}.",
     "error messages/looked.md:10:1: email: 'customer.first_name' has no fallback: the message fails for customers without a name"),
    ("a name to strangers", "messages/looked.md", "Time for {{ product.name }}?", "{{ customer.first_name | default('Hi') }}, time for {{ product.name }}?",
     "error messages/looked.md:3:1: sms: 'customer.first_name' is shown to people we have no relation with"),
    ("a channel that leads elsewhere", "messages/looked.md", "{{ product.url }}\"\npush", "https://other.test/x\"\npush",
     "warning messages/looked.md:3:1: sms does not lead to {{ product.url }}, another channel does"),
    ("typographic quotes in a text message", "messages/looked.md", 'sms: "Time for', 'sms: "It’s time for',
     "warning messages/looked.md:3:1: sms: '’' makes every part 70 characters long instead of 160"),
    ("a notification that phones cut", "messages/looked.md", 'body: "Time again?"', 'body: "' + "Time again? " * 14 + '"',
     "warning messages/looked.md:4:1: push body: 168 characters before anything is filled in; phones show about 150"),
    ("a channel that leads nowhere", "messages/looked.md", ', link: "{{ product.url }}"}', "}",
     "warning messages/looked.md:4:1: push does not lead to {{ product.url }}, another channel does"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "out", "into", "finding"),
    [pytest.param(*defect[1:], id=defect[0]) for defect in DEFECTS],
)
def test_every_seeded_defect_is_found(file: str, out: str, into: str, finding: str) -> None:
    assert CLEAN[file].count(out) == 1
    assert finding in found(CLEAN | {file: CLEAN[file].replace(out, into)})


def test_a_loop_without_a_delay_is_an_error_and_one_with_is_none() -> None:
    program, _ = check_program(CLEAN)
    assert program is not None

    def looped(*between: Send | Wait) -> list[str]:
        journey = program.journeys["welcome"]
        code = (Send("steps[0]", ("welcome",)), *between, Jump("steps[0].again", 0))
        changed = replace(program, journeys={"welcome": replace(journey, steps=code)})
        assert loops(code) == [tuple(range(len(code)))]
        return [f"{one.level} {one.line}: {one.message}" for one in steps.findings(Checked(changed, Places(CLEAN)))]

    assert looped() == ["error 6: this repeats without any time in between"]
    assert looped(Wait("steps[0]", 0)) == ["error 6: this repeats without any time in between"]
    assert looped(Wait("steps[0]", 60_000)) == []


def test_a_stopped_journey_bothers_nobody() -> None:
    stopped = REFILL.replace("status: live", "status: stopped").replace(
        "  - wait: 10d\n", "  - exit: done\n  - wait: 10d\n"
    )
    assert found(CLEAN | {"refill.yaml": stopped}) == []


def test_gaps_between_languages() -> None:
    some = {name: text for name, text in (CLEAN | IN_GERMAN).items() if name != "messages/looked.de.md"}
    assert found(some) == [
        "warning messages/looked.md:1:1: 'looked' has no de text, other messages do: those customers read it in the language of this file"
    ]
    without_sms = MESSAGE.replace('sms: "Time for {{ product.name }}? {{ product.url }}"\n', "")
    assert found(CLEAN | IN_GERMAN | {"messages/looked.de.md": without_sms}) == [
        "warning messages/looked.de.md:1:1: sms is not translated: it goes out in the language of messages/looked.md"
    ]


def test_a_translation_shows_the_declared_facts_too() -> None:
    program, findings = check_program(
        CLEAN
        | {
            "messages/refill.de.md": MESSAGE.replace("Time for {{ product.name }}?", "Zeit?").replace(
                "facts: [product.name]\n", ""
            )
        }
    )
    assert program is None
    assert [str(one) for one in findings] == [
        "messages/refill.de.md:3:1: sms does not show 'product.name', which messages/refill.md declares (show it in every language, or take it off the facts)"
    ]


def test_paths_are_read_back_and_ways_end() -> None:
    assert path_of("steps[3].branch[0].then[1].if") == ("steps", 3, "branch", 0, "then", 1, "if")
    program, _ = check_program(CLEAN)
    assert program is not None
    code = program.journeys["refill"].steps
    last = max(index for index, step in enumerate(code) if isinstance(step, Send))
    assert len(list(paths_to(code, last))) == 2
    assert takes_time(code[0])


def test_every_check_has_a_defect_that_only_it_finds() -> None:
    """Recall by check: with one check taken out, at least one seeded defect passes unseen."""
    sets = [CLEAN | {file: CLEAN[file].replace(out, into)} for _, file, out, into, _ in DEFECTS]
    sets.append({name: text for name, text in (CLEAN | IN_GERMAN).items() if name != "messages/looked.de.md"})
    for name, check in CHECKS.items():
        caught = 0
        for files in sets:
            program, _ = check_program(files)
            assert program is not None
            caught += bool(list(check(Checked(program, Places(files)))))
        assert caught, name
