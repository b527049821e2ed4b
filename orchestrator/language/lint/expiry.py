"""Messages that expire while they are held: quiet hours, or a best hour, that may last longer than `expires`."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import Finding
from orchestrator.language.lint.checked import DAY, MINUTE, Checked, span
from orchestrator.language.program import QuietHours, Send


def findings(checked: Checked) -> Iterator[Finding]:
    """Sends that some customers can never get, because of the hour at which they come to the step."""
    policy = checked.program.policy
    for journey in checked.journeys():
        windows = [
            (hours, whose)
            for hours, whose in ((policy.quiet_hours, "the company's"), (journey.quiet_hours, "its"))
            if hours
        ]
        longest, whose = max(((_length(hours), whose) for hours, whose in windows), default=(0, ""))
        for _, send in checked.sends(journey):
            hold, why = longest, f"{whose} quiet hours last {span(longest)}"
            if _waits_for_an_hour(send):
                hold, why = DAY, "the hour it waits for comes once in 24 hours"
            if hold and send.expires < hold:
                yield checked.places.at(
                    journey.slug,
                    send.path,
                    f"this may expire before it is allowed to go: {why}, it expires after {span(send.expires)}",
                    f"write 'expires: {span(_rounded(hold))}' or more",
                    key="expires",
                )


def _waits_for_an_hour(send: Send) -> bool:
    """Whether the step holds its message for an hour of the day."""
    return send.at != "now"


def _length(hours: QuietHours) -> int:
    return ((hours.end - hours.start) % 1_440) * MINUTE


def _rounded(ms: int) -> int:
    """Up to whole hours."""
    return -(-ms // (60 * MINUTE)) * 60 * MINUTE
