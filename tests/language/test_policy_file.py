# ruff: noqa: E501 - tables of exact messages read better on one line
"""The policy file."""

from __future__ import annotations

import pytest

from orchestrator.language.durations import DAY
from orchestrator.language.faults import keys_of
from orchestrator.language.load import load
from orchestrator.language.policy import DEFAULT, ChannelForm, PolicyForm, parse_policy
from orchestrator.language.program import Cap, ChannelPolicy, Policy, QuietHours

FULL = """
currency: GBP
margin: 35%
response_value: 0.4
time_zone: Europe/London
cap: 4 per 7d
quiet_hours: 21:00-08:00
holdout: 5%
credit_window: 7d
exploration: 3%
channels:
  email: {cost: 0.0008, consent_loss: 2.5, consent: {marketing: opt_out}}
  whatsapp: {cost: 0.05, consent: {service: opt_in}}
"""


def test_a_full_policy() -> None:
    policy, findings = parse_policy(load("_policy.yaml", FULL))
    assert findings == ()
    assert policy == Policy(
        channels={
            "email": ChannelPolicy(0.0008, 2.5, marketing_default=True, service_default=True),
            "whatsapp": ChannelPolicy(0.05, 3.0, marketing_default=False, service_default=False),
        },
        currency="GBP",
        margin=0.35,
        response_value=0.4,
        time_zone="Europe/London",
        cap=Cap(4, 7 * DAY),
        quiet_hours=QuietHours(1260, 480),
        holdout=0.05,
        credit_window=7 * DAY,
        exploration=0.03,
    )


def test_what_is_left_away_has_a_default() -> None:
    policy, findings = parse_policy(load("_policy.yaml", "currency: EUR\n"))
    assert findings == ()
    assert policy == DEFAULT


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("curency: EUR", "1:1: unknown key 'curency' — did you mean 'currency'? "
         f"(known here: {', '.join(keys_of(PolicyForm))})"),
        ("currency: euro", "1:11: 'euro' is not a currency (write three capital letters such as EUR)"),
        ("margin: 0.35", "1:9: '0.35' is not a share (write '35%')"),
        ("time_zone: London", "1:12: 'London' is not a time zone (write a name such as Europe/London)"),
        ("time_zone: ../../etc/passwd", "1:12: '../../etc/passwd' is not a time zone (write a name such as Europe/London)"),
        ("response_value: -1", "1:17: '-1' is not an amount (write a number such as 0.05)"),
        ("response_value: 40p", "1:17: '40p' is not an amount (write a number such as 0.05)"),
        ("channels: {email: {price: 1}}", f"1:20: unknown key 'price' (known here: {', '.join(keys_of(ChannelForm))})"),
        ("channels: {email: {consent: {marketing: yes}}}", "1:41: unknown word 'yes' (write opt_in or opt_out)"),
        ("channels: {e-mail: {cost: 1}}", "1:12: 'e-mail' is not a channel name (write a snake_case word)"),
        ("channels: [email]", "1:11: a list is not a mapping (write 'key: value' lines)"),
        ("- x", "1:1: a policy is a mapping (start with 'currency: EUR')"),
    ],
)  # fmt: skip
def test_faults(text: str, found: str) -> None:
    policy, findings = parse_policy(load("_policy.yaml", text))
    assert policy.currency == "EUR"
    assert [str(finding) for finding in findings] == [f"_policy.yaml:{found}"]
