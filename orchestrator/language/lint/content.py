"""Sends whose channel has nothing to say: content that is missing, or that only some of several messages have."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.findings import listed, quoted
from orchestrator.language.flow import before
from orchestrator.language.lint.checked import Checked
from orchestrator.language.program import Journey, Send

_LEARNED = ("auto", "same", "other")


def findings(checked: Checked) -> Iterator[Finding]:
    """Channels without content, at the step that asks for them."""
    for journey in checked.journeys():
        for index, send in checked.sends(journey):
            yield from _some_lack_it(checked, journey, send)
            yield from _priced(checked, journey, send)
            if send.channels == ("same",):
                yield from _same(checked, journey, index, send)
            elif send.channels == ("other",):
                yield from _other(checked, journey, index, send)


def carried(checked: Checked, send: Send) -> set[str]:
    """The channels that at least one message of the step has content for."""
    messages = checked.program.messages
    return {channel for name in send.messages if name in messages for channel in messages[name].channels}


def possible(checked: Checked, send: Send) -> set[str]:
    """The channels the step may end up on."""
    content = carried(checked, send)
    return content if send.channels[0] in _LEARNED else content & set(send.channels)


def _some_lack_it(checked: Checked, journey: Journey, send: Send) -> Iterator[Finding]:
    messages = checked.program.messages
    wanted = carried(checked, send) if send.channels[0] in _LEARNED else set(send.channels)
    for name in send.messages:
        lacking = sorted(wanted - set(messages[name].channels)) if name in messages else []
        if lacking and len(send.messages) > 1:
            yield checked.places.at(
                journey.slug,
                send.path,
                f"message {quoted(name)} has no {listed(lacking)} content, though others of this step do:"
                " what is learned would compare channels, not messages",
                f"add '{lacking[0]}' to messages/{name}.md, or name the channels all of them have",
                key="send",
            )


def _priced(checked: Checked, journey: Journey, send: Send) -> Iterator[Finding]:
    """A choice among channels needs to know what each costs."""
    if not checked.program.policy.channels:
        return
    for channel in sorted(possible(checked, send) - set(checked.program.policy.channels)):
        yield checked.places.at(
            journey.slug,
            send.path,
            f"{quoted(channel)} may be chosen here, but the policy says nothing of its cost and consent",
            f"add '{channel}' to 'channels' of _policy.yaml",
            key="channel",
        )


def _earlier(checked: Checked, journey: Journey, index: int) -> list[Send]:
    found = (journey.steps[one] for one in sorted(before(journey.steps, index)))
    return [step for step in found if isinstance(step, Send)]


def _same(checked: Checked, journey: Journey, index: int, send: Send) -> Iterator[Finding]:
    last = {channel for one in _earlier(checked, journey, index) for channel in possible(checked, one)}
    lacking = sorted(last - carried(checked, send))
    if lacking:
        yield checked.places.at(
            journey.slug,
            send.path,
            f"'same' may mean {listed(lacking)} here, and {listed(map(quoted, send.messages))} has no content for it",
            f"add '{lacking[0]}' to the message, or write 'channel: auto'",
            key="channel",
        )


def _other(checked: Checked, journey: Journey, index: int, send: Send) -> Iterator[Finding]:
    own = carried(checked, send)
    earlier = _earlier(checked, journey, index)
    if len(own) == 1 and any(possible(checked, one) <= own for one in earlier):
        yield checked.places.at(
            journey.slug,
            send.path,
            f"'other' leaves nothing here: {listed(sorted(own))} is all this message has, and a send before uses it",
            "add content for another channel to the message",
            key="channel",
        )
