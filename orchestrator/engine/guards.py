"""The gate: which channels may carry this message to this customer now, and whether anything may.

Consent, caps and quiet hours are decided here and nowhere else, over all journeys, in the same atomic step that
reserves the contact. Every exclusion has a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.contracts.messages import ADDRESS_OF_CHANNEL
from orchestrator.engine.context import Turn
from orchestrator.engine.local_time import quiet_until
from orchestrator.engine.state import Contact, Run
from orchestrator.engine.zones import zone_of
from orchestrator.language.program import Cap, ChannelPolicy, Journey, MessageTemplate, Policy, Send

_NO_POLICY = ChannelPolicy()


@dataclass(frozen=True, slots=True)
class Reachable:
    """The channels left, and the reason for each one that is not."""

    channels: tuple[str, ...]
    excluded: dict[str, str]


def channel_policy(policy: Policy, channel: str) -> ChannelPolicy:
    return policy.channels.get(channel, _NO_POLICY)


def reachable(turn: Turn, journey: Journey, run: Run, send: Send, template: MessageTemplate) -> Reachable:
    """The channels that may carry the message: content, consent, address, provider, and not ignored for `other`."""
    customer = turn.customer
    asked = send.channels
    wanted: tuple[str, ...]
    excluded: dict[str, str] = {}
    if asked == ("auto",):
        wanted = tuple(sorted(template.channels))
    elif asked == ("same",):
        wanted = (run.sends[-1][0],) if run.sends else tuple(sorted(template.channels))
    elif asked == ("other",):
        # What was used in this run and not answered; when a channel was answered it is not ignored.
        ignored = {channel for channel, send_id in run.sends if not _answered(turn, send_id)}
        wanted = tuple(channel for channel in sorted(template.channels) if channel not in ignored)
        excluded = {channel: "ignored" for channel in sorted(template.channels) if channel in ignored}
    else:
        wanted = asked
    left: list[str] = []
    for channel in wanted:
        if channel not in template.channels:
            excluded[channel] = "no_content"
        elif channel in run.tried:
            excluded[channel] = "failed"
        elif journey.rollout is not None and journey.rollout.channels and channel not in journey.rollout.channels:
            excluded[channel] = "rollout"
        elif not allowed(turn, channel, journey.purpose):
            excluded[channel] = "no_consent"
        elif ADDRESS_OF_CHANNEL.get(channel, channel) not in customer.addresses:
            excluded[channel] = "no_address"
        elif channel in turn.context.unhealthy:
            excluded[channel] = "unhealthy"
        else:
            left.append(channel)
    return Reachable(tuple(left), excluded)


def allowed(turn: Turn, channel: str, purpose: str) -> bool:
    """The customer's stated consent; where she never stated one, the policy's default for the channel and purpose."""
    stated = turn.customer.consents.get(channel, {}).get(purpose)
    if stated is not None:
        return stated
    default = channel_policy(turn.context.program.policy, channel)
    return default.service_default if purpose == "service" else default.marketing_default


def _answered(turn: Turn, send_id: str) -> bool:
    return any(sent.send_id == send_id and sent.answered for sent in turn.customer.open_sends)


def held_until(turn: Turn, journey: Journey) -> tuple[int, str]:
    """The earliest moment at which caps and quiet hours let a message go, and what holds it; (now, "") for nothing."""
    policy = turn.context.program.policy
    moment, reason = turn.at, ""
    contacts = turn.customer.contacts
    if journey.purpose == "marketing" and policy.cap is not None:
        counted = [c for c in contacts if c.purpose == "marketing"]
        free = _cap_free(policy.cap, counted, moment)
        if free > moment:
            moment, reason = free, "cap"
        else:
            first = _wanted_by_others(turn, journey, policy.cap, counted)
            if first > moment:
                moment, reason = first, "priority"
    if journey.cap is not None:
        free = _cap_free(journey.cap, [c for c in contacts if c.journey == journey.slug], moment)
        if free > moment:
            moment, reason = free, "cap"
    for hours in (policy.quiet_hours, journey.quiet_hours):
        if hours is not None:
            free = quiet_until(moment, hours, zone_of(turn.customer, policy))
            if free > moment:
                moment, reason = free, reason or "quiet_hours"
    return moment, reason


def _wanted_by_others(turn: Turn, journey: Journey, cap: Cap, contacts: list[Contact]) -> int:
    """When the places left under the cap are wanted by messages of more important journeys that are held now: just
    after the first of them is due. 0 when a place is left over."""
    by_version = turn.context.by_version
    due = []
    for run in turn.customer.runs:
        other = by_version.get(run.version)
        if (
            run.waiting == "send"
            and run.due
            and not run.silent
            and other is not None
            and other.purpose == "marketing"
            and other.priority > journey.priority
        ):
            due.append(run.due)
    if not due:
        return 0
    used = sum(contact.at > turn.at - cap.window for contact in contacts)
    return min(due) + 1 if len(due) >= cap.count - used else 0


def _cap_free(cap: Cap, contacts: list[Contact], at: int) -> int:
    """The first moment from `at` on at which one more contact keeps the rolling window within the cap."""
    if cap.count <= 0:
        return at + cap.window
    times = sorted(contact.at for contact in contacts if contact.at > at - cap.window)
    if len(times) < cap.count:
        return at
    # A contact exactly `window` old no longer counts.
    return times[-cap.count] + cap.window
