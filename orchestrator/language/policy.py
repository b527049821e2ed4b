"""`_policy.yaml`: the organisation's rules over all journeys, and the money behind the choice of a channel."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, ValidationError

from orchestrator.errors import Finding
from orchestrator.language import faults
from orchestrator.language.durations import parse_duration
from orchestrator.language.findings import did_you_mean, quoted
from orchestrator.language.load import Document
from orchestrator.language.model import NAME, CapPhrase, Duration, Form, Share, Window, words
from orchestrator.language.program import ChannelPolicy, Policy
from orchestrator.learning.policies import BUILT_IN, make_policy

FILE = "_policy.yaml"

_COMMON_ZONES = ("Europe/London", "Europe/Warsaw", "Europe/Berlin", "Europe/Paris", "America/New_York", "UTC")


def _zone(value: object) -> str:
    if isinstance(value, str):
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = did_you_mean(value, _COMMON_ZONES)
            known = {zone.lower(): zone for zone in _COMMON_ZONES}
            raise ValueError(
                f"{quoted(value)} is not a time zone: write a name such as {known.get(near.lower(), 'Europe/London')}"
            ) from None
    raise ValueError(f"{quoted(value)} is not a time zone: write a name such as Europe/London")


def _currency(value: object) -> str:
    if isinstance(value, str) and re.fullmatch("[A-Z]{3}", value):
        return value
    raise ValueError(f"{quoted(value)} is not a currency: write three capital letters such as EUR")


def _money(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    raise ValueError(f"{quoted(value)} is not an amount: write a number such as 0.05")


def _choice(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]*(:[a-z0-9_.-]+)?", value):
        name = value.partition(":")[0]
        if name in BUILT_IN:
            make_policy(value)
        return value
    raise ValueError(f"{quoted(value)} is not a way to choose: write auto or fixed:email")


Money = Annotated[float, words(_money)]
#: `opt_in`: only with a stated consent. `opt_out`: unless refused.
Consent = Literal["opt_in", "opt_out"]


class ConsentForm(Form):
    """Who may be written to without having said anything."""

    marketing: Consent = Field(
        default="opt_in", description="opt_in: only after a stated consent. opt_out: unless refused."
    )
    service: Consent = Field(default="opt_out", description="The same for service messages.")


class ChannelForm(Form):
    """The money and the consent rule of one channel."""

    cost: Money = Field(default=0.0, description="Price of one message (SMS: of one part).")
    consent_loss: Money = Field(default=3.0, description="What losing a customer's consent on this channel costs.")
    consent: ConsentForm = ConsentForm()
    credit_window: Duration = Field(
        default=0, description="How long a response counts for a message on this channel; 0: as for all channels."
    )


class PolicyForm(Form):
    """The whole policy file. Journeys can only tighten these rules."""

    currency: Annotated[str, words(_currency)] = Field(default="EUR", description="Three capital letters.")
    margin: Share = Field(default=0.3, description="Share of revenue that is margin.")
    response_value: Money = Field(
        default=1.0, description="Worth of a response without a purchase, before anything is learned."
    )
    time_zone: Annotated[str, words(_zone)] = Field(default="UTC", description="Zone of a customer who has none.")
    cap: CapPhrase | None = Field(
        default=None, description="Most marketing messages to one customer, over all journeys."
    )
    quiet_hours: Window | None = Field(default=None, description="Local time in which nothing is sent.")
    holdout: Share = Field(default=0.0, description="Share of customers who never get marketing, to measure the whole.")
    credit_window: Duration = Field(default=7 * 86_400_000, description="How long a response counts for a message.")
    exploration: Share = Field(default=0.03, description="Share of sends that try a reachable channel at random.")
    reply_value: Money = Field(default=0.0, description="Worth of a reply besides a purchase that follows it.")
    choice: Annotated[str, words(_choice)] = Field(
        default="auto",
        description="How a channel is chosen: auto (learned), or to compare: fixed:email, best_fixed, round_robin, "
        "random, ratio, eps_greedy, unpooled_thompson, or the name of an installed policy.",
    )
    nothing: Literal["never", "allowed"] = Field(
        default="never", description="allowed: send nothing when no channel is worth its cost and risk."
    )
    repeat_after: Annotated[int, words(parse_duration)] = Field(
        default=30 * 86_400_000,
        description="A step with several messages never repeats one to a customer within this time.",
    )
    channels: dict[str, ChannelForm] = Field(default={}, description="Each channel in use.")


#: Where which model stands. Channels have free names, so their model is found by the key above.
_FORMS: dict[str, type[BaseModel]] = {"consent": ConsentForm, "channels": ChannelForm}

DEFAULT = Policy(channels={name: ChannelPolicy() for name in ("email", "sms", "push")})


def parse_policy(document: Document) -> tuple[Policy, tuple[Finding, ...]]:
    """The policy, or the default one with everything that is wrong."""
    if not document.ok:
        return DEFAULT, tuple(document.findings)
    if not isinstance(document.data, dict):
        return DEFAULT, (document.finding((), "a policy is a mapping", "start with 'currency: EUR'"),)
    try:
        form = PolicyForm.model_validate(document.data)
    except ValidationError as error:
        return DEFAULT, tuple(faults.findings(error, document, PolicyForm, _FORMS, {}))
    bad = tuple(
        document.finding(
            ("channels", name), f"{quoted(name)} is not a channel name", "write a snake_case word", key=True
        )
        for name in form.channels
        if not NAME.fullmatch(name)
    )
    channels = {
        name: ChannelPolicy(
            cost=channel.cost,
            consent_loss=channel.consent_loss,
            marketing_default=channel.consent.marketing == "opt_out",
            service_default=channel.consent.service == "opt_out",
            credit_window=channel.credit_window,
        )
        for name, channel in form.channels.items()
    }
    policy = Policy(
        channels=channels or DEFAULT.channels,
        currency=form.currency,
        margin=form.margin,
        response_value=form.response_value,
        time_zone=form.time_zone,
        cap=form.cap,
        quiet_hours=form.quiet_hours,
        holdout=form.holdout,
        credit_window=form.credit_window,
        exploration=form.exploration,
        reply_value=form.reply_value,
        choice=form.choice,
        nothing=form.nothing == "allowed",
        repeat_after=form.repeat_after,
    )
    return policy, bad
