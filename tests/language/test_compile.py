# ruff: noqa: E501 - tables of exact messages read better on one line
"""From a file to instructions: places, jumps, versions, and what the engine will read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import JourneysInvalid
from orchestrator.language.durations import DAY, HOUR
from orchestrator.language.journeys import (
    check_program,
    compile_program,
    program_body,
    program_from_body,
    version_of_body,
)
from orchestrator.language.program import (
    MISSING,
    Branch,
    Cap,
    Exit,
    Journey,
    Jump,
    QuietHours,
    Reentry,
    Send,
    Wait,
    WaitFor,
    WaitUntil,
)

HELLO = "---\nsubject: Hello\nsms: Hello\npush: {title: Hello, body: Hello}\n---\nHello\n"
OFFER = "---\nsms: Use {{ code }}\n---\n"
HEAD = "name: Test\nowner: team\ntrigger: purchase\n"


def files(text: str, **messages: str) -> dict[str, str]:
    return {"test.yaml": text, "messages/hello.md": HELLO} | {f"messages/{k}.md": v for k, v in messages.items()}


def journey(text: str, **messages: str) -> Journey:
    return compile_program(files(text, **messages)).journeys["test"]


class Values:
    def __init__(self, **values: Any) -> None:
        self.values = {tuple(name.split("__")): value for name, value in values.items()}

    def get(self, path: tuple[str, ...]) -> object:
        return self.values.get(path, MISSING)

    def call(self, name: str, args: tuple[object, ...]) -> object:
        return False


FULL = """
name: Everything of this version
owner: retention
status: live
priority: 60
purpose: service
trigger: {event: view, where: {product.price: over 50}, times: 3, within: 7d, same: product.category}
audience:
  - {customer.orders: at least 2, customer.country: [PL, DE]}
  - not bought(product.category, '30d')
reentry: after 14d
goal: {event: purchase, where: {product.category: same, product.price: over 5}, within: 14d, value: order.revenue}
exit_when: [order_cancelled, {event: order_refunded, same: order.id, where: {order.revenue: over 1}}]
holdout: 12.5%
cap: 3 per 30d
quiet_hours: 21:00-09:00
steps:
  - wait_until: 3d before next_due
  - {send: hello, expires: 24h, with: {code: A1}, on_unknown: park, name: first}
  - {wait: 2h, after_last: view}
  - wait_until: at next_due
  - wait_until: 1d 12h after next_due
  - {wait_for: [response, cart_add], up_to: 2d}
  - branch:
      - if: {reply.intent: later}
        then:
          - wait: P7D
          - {send: [hello, offer], channel: same, with: {code: A1}}
      - if: not response
        then: [{send: hello, channel: other, if: customer.vip}]
      - else: [{send: hello, channel: [sms, push]}]
  - {exit: done, if: response or cart_add}
  - send: hello
    channel: email
"""


def test_everything_of_this_version_compiles() -> None:
    test = journey(FULL, offer=OFFER)
    assert (test.status, test.priority, test.purpose, test.owner) == ("live", 60, "service", "retention")
    assert (test.trigger.match.type, test.trigger.times, test.trigger.within) == ("view", 3, 7 * DAY)
    assert test.trigger.same == ("product", "category")
    assert test.reentry == Reentry("after", 14 * DAY)
    assert test.goal is not None
    assert test.goal.match.same == (("product", "category"),)
    assert test.goal.match.where is not None
    assert test.goal.match.where.text == "product.price: over 5"
    assert (test.goal.within, test.goal.value) == (14 * DAY, ("order", "revenue"))
    assert [match.type for match in test.exit_when] == ["order_cancelled", "order_refunded"]
    assert test.exit_when[1].same == (("order", "id"),)
    assert (test.holdout, test.cap, test.quiet_hours) == (0.125, Cap(3, 30 * DAY), QuietHours(1260, 540))
    assert test.audience is not None
    assert test.audience.holds(Values(customer__orders=2, customer__country="PL", product__category="x"))
    assert not test.audience.holds(Values(customer__orders=1, customer__country="PL", product__category="x"))
    steps = test.steps
    assert steps[0] == WaitUntil("steps[0]", "next_due", -3 * DAY)
    assert steps[1] == Send("steps[1]", ("hello",), ("auto",), DAY, {"code": "A1"}, "park")
    assert steps[2] == Wait("steps[2]", 2 * HOUR, "view")
    assert steps[3:5] == (WaitUntil("steps[3]", "next_due", 0), WaitUntil("steps[4]", "next_due", 36 * HOUR))
    assert steps[5] == WaitFor("steps[5]", ("response", "cart_add"), 2 * DAY)
    branch = steps[6]
    assert isinstance(branch, Branch)
    assert [target for _, target in branch.cases] == [7, 10]
    assert branch.otherwise == 13
    assert steps[7] == Wait("steps[6].branch[0].then[0]", 7 * DAY)
    assert steps[8] == Send("steps[6].branch[0].then[1]", ("hello", "offer"), ("same",), 2 * DAY, {"code": "A1"}, None)
    assert steps[9] == Jump("steps[6].branch[0].end", 14)
    guard = steps[10]
    assert isinstance(guard, Branch)
    assert (guard.path, guard.cases[0][1], guard.otherwise) == ("steps[6].branch[1].then[0].if", 11, 12)
    assert steps[12] == Jump("steps[6].branch[1].end", 14)
    assert isinstance(steps[13], Send)
    assert steps[13].path == "steps[6].branch[2].else[0]"
    leave = steps[14]
    assert isinstance(leave, Branch)
    assert (leave.cases[0][1], leave.otherwise) == (15, 16)
    assert steps[15] == Exit("steps[7]", "done")
    assert isinstance(steps[16], Send)
    assert steps[16].channels == ("email",)
    assert len({step.path for step in steps}) == len(steps)


def test_short_forms_mean_the_long_ones() -> None:
    short = journey(HEAD + "exit_when: order_cancelled\nsteps: [{send: hello}]\n")
    long = journey(
        "name: Test\nowner: team\ntrigger: {event: purchase}\nexit_when: [{event: order_cancelled}]\n"
        "status: draft\npriority: 50\npurpose: marketing\nreentry: never\n"
        "steps: [{send: [hello], channel: auto, expires: 2d}]\n"
    )
    assert short.version == long.version


BASE = (
    HEAD + "audience: {customer.orders: at least 2, customer.country: [PL, DE]}\nsteps: [{send: hello}, {wait: 3d}]\n"
)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("name: Test", "name: Another label", True),
        ("owner: team", "owner: other", True),
        ("trigger", "status: live\ntrigger", True),
        ("steps:", "# a comment\nsteps:", True),
        ("{customer.orders: at least 2, customer.country: [PL, DE]}", "{customer.country: [DE, PL], customer.orders: at least  2}", True),
        ("3d", "72h", True),
        ("3d", "4d", False),
        ("at least 2", "at least 3", False),
        ("purchase", "view", False),
        ("trigger", "priority: 51\ntrigger", False),
        ("{send: hello}", "{send: hello, channel: sms}", False),
        ("{send: hello}", "{send: hello, if: customer.vip}", False),
        ("{send: hello}", "{send: hello, with: {a: 1}}", False),
        ("trigger", "reentry: always\ntrigger", False),
    ],
)  # fmt: skip
def test_a_version_is_the_hash_of_what_the_journey_does(before: str, after: str, same: bool) -> None:
    assert before in BASE
    assert (journey(BASE).version == journey(BASE.replace(before, after)).version) is same


def test_a_version_is_stable_over_releases() -> None:
    # Runs hold this word for months: a change of it here strands them, unless it is meant.
    assert journey(BASE).version == "6ff48cd2b1173604"


def test_a_program_is_rebuilt_from_its_body() -> None:
    texts = files(FULL, offer=OFFER)
    program = compile_program(texts)
    body = program_body(texts)
    again = program_from_body(body)
    assert body == program_body(dict(reversed(texts.items())))
    assert program.version == again.version == version_of_body(body)
    assert program.journeys["test"].version == again.journeys["test"].version
    assert program.messages == again.messages
    assert compile_program({**texts, "_policy.yaml": "margin: 40%\n"}).version != program.version
    for bad in (b"[]", b'{"test.yaml": 3}', b'{"test.yaml": "x"}'):
        with pytest.raises(JourneysInvalid):
            program_from_body(bad)


def test_only_live_journeys_are_triggered_in_a_fixed_order() -> None:
    step = "steps: [{send: hello}]\n"
    texts = {
        "b.yaml": HEAD + "status: live\n" + step,
        "a.yaml": HEAD + "status: live\n" + step,
        "urgent.yaml": HEAD + "status: live\npriority: 90\n" + step,
        "draft.yaml": HEAD + step,
        "draining.yaml": HEAD + "status: draining\n" + step,
        "messages/hello.md": HELLO,
    }
    program = compile_program(texts)
    assert [found.slug for found in program.triggers["purchase"]] == ["urgent", "a", "b"]
    assert set(program.journeys) == {"a", "b", "urgent", "draft", "draining"}


def test_a_likely_mistake_in_an_event_is_a_warning_not_an_error() -> None:
    program, findings = check_program(files(HEAD.replace("purchase", "purchse") + "steps: [{send: hello}]\n"))
    assert program is not None
    assert [str(finding) for finding in findings] == [
        "test.yaml:3:10: unknown event 'purchse' — did you mean 'purchase'? (an event of your own may have any name)"
    ]
    assert findings[0].level == "warning"
    _, findings = check_program(files(HEAD.replace("purchase", "store_visit") + "steps: [{send: hello}]\n"))
    assert findings == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Test File.yaml", "'Test File.yaml' is not a journey's file name"),
        ("test.yml", "'test.yml' is not a journey's file name"),
        ("_groups.yaml", "'_groups.yaml' is not known to this version"),
        ("team/test.yaml", "a journey in a folder of its own"),
        ("messages/x.txt", "messages are Markdown files"),
        ("messages/re-fill.md", "'re-fill' is not a message name"),
    ],
)
def test_file_names(name: str, message: str) -> None:
    program, findings = check_program({name: HEAD + "steps: [{exit: done}]\n"})
    assert program is None
    assert (findings[0].file, findings[0].message) == (name, message)


WORDS = ["name", "owner", "trigger", "steps", "send", "wait", "branch", "if", "then", "else", "wait_for", "up_to", "goal",
         "within", "event", "where", "same", "exit", "channel", "audience", "reentry", "exit_when", "cap", "x"]  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(
            ["hello", "3d", "purchase", "response", "same", "auto", "at least 2", "not x", "10%", "a ==", ""]
        ),
        st.integers(-1, 3),
        st.booleans(),
        st.none(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*WORDS, "a.b", "customer.x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return f"'{value}'"
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if type(value) is not int else str(value)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6), VALUES, VALUES)
def test_any_tree_gives_a_journey_or_findings(tree: dict[str, Any], steps: Any, audience: Any) -> None:
    head = {"name": "x", "owner": "y", "trigger": "purchase", "steps": [steps], "audience": audience}
    for content in (tree, head, {**head, **tree}):
        text = "\n".join(f"{key}: {_flow(value)}" for key, value in content.items())
        program, findings = check_program(files(text))
        assert (program is None) == any(finding.level == "error" for finding in findings)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(FULL) - 1), st.integers(0, 12), st.text(alphabet=" \n:-{}[]'\"x0&*", max_size=3))
def test_any_damage_to_a_good_file_gives_a_journey_or_findings(start: int, length: int, put: str) -> None:
    damaged = FULL[:start] + put + FULL[start + length :]
    program, findings = check_program(files(damaged, offer=OFFER))
    assert (program is None) == any(finding.level == "error" for finding in findings)
    lines = damaged.count("\n") + 2
    assert all(1 <= finding.line <= lines for finding in findings)
