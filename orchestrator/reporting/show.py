"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.learning.lift import Interval
from orchestrator.learning.off_policy import Verdict
from orchestrator.reporting.report import JourneyReport, Report


def lines_of(report: Report) -> Iterator[str]:
    """The lines of the whole report."""
    if not report.journeys:
        yield "No would-be send is in the log yet: nothing to report."
        return
    for journey in report.journeys:
        yield from _journey(journey, report.currency)
        yield ""
    yield (
        f"{report.goals} goal events, {report.value:,.2f} {report.currency}".rstrip()
        + ": each counted once, for the last would-be send before it."
    )


def _journey(journey: JourneyReport, currency: str) -> Iterator[str]:
    yield journey.journey
    yield f"  {journey.says}"
    yield f"  {'':10}{'customers':>10}{'converted':>10}{'rate':>8}{'value':>14}{'waiting':>9}"
    for name, arm in (("treated", journey.treated), ("holdout", journey.held_out)):
        rate = f"{arm.converted / arm.exposed:.1%}" if arm.exposed else "-"
        yield f"  {name:10}{arm.exposed:>10}{arm.converted:>10}{rate:>8}{arm.value:>14,.2f}{arm.waiting:>9}"
    yield f"  lift: {_percent(journey.lift_converted)} conversions, {_money(journey.lift_value, currency)} a customer"
    worth = "not known" if journey.margin_per_cost is None else f"{journey.margin_per_cost:,.2f}"
    yield f"  cost {journey.cost:,.2f} {currency}".rstrip() + f", margin on top for each unit of it: {worth}"
    if journey.lines:
        yield f"  {'arm':9}{'step':24}{'channel':10}{'sends':>8}{'converted':>10}{'value':>14}{'cost':>10}"
    for line in journey.lines:
        yield (
            f"  {line.arm:9}{line.step[:23]:24}{line.channel:10}{line.exposed:>8}{line.converted:>10}"
            f"{line.value:>14,.2f}{line.cost:>10,.2f}"
        )


def verdict_lines(verdict: Verdict, policy: str, currency: str) -> Iterator[str]:
    """A verdict on a policy of choice."""
    yield (
        f"{verdict.choices} choices of {verdict.customers} customers; for {policy} they say as much as"
        f" {verdict.effective:.0f} (mean weight {verdict.mean_weight:.3f}, largest {verdict.most_weight:.1f})"
    )
    if verdict.refused:
        yield verdict.refused
        return
    unit = f"{currency} a choice".strip()
    for name, estimate in (("what ran", verdict.ran), (policy, verdict.dr), ("the difference", verdict.gain)):
        if estimate is not None:
            yield f"  {name:20}{estimate.value:>10.4f}  ({estimate.low:.4f} to {estimate.high:.4f}) {unit}"
    if verdict.ips is not None and verdict.snips is not None:
        yield f"  IPS {verdict.ips.value:.4f}, SNIPS {verdict.snips.value:.4f}; above: doubly robust"
    if verdict.gain is not None:
        if verdict.gain.low > 0.0:
            yield f"{policy} would have brought more by answers; whether it makes people buy, only a holdout proves."
        elif verdict.gain.high < 0.0:
            yield f"{policy} would have brought less."
        else:
            yield "The log does not tell which of the two is better."


def _percent(lift: Interval | None) -> str:
    if lift is None:
        return "not known"
    return f"{100 * lift.estimate:+.2f} % points ({100 * lift.low:+.2f} to {100 * lift.high:+.2f})"


def _money(lift: Interval | None, currency: str) -> str:
    if lift is None:
        return "value not known"
    return f"{lift.estimate:+.2f} {currency} ({lift.low:+.2f} to {lift.high:+.2f})"
