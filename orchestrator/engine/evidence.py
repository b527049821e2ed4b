"""Every change of what is known of a customer's answers, in one place: the cell, and its share in the pooled sums.

The pooled sums of a partition always equal the sum of its customers' cells: each change takes the cell's old share away
and adds the new one, in the group that the customer's labels put her in.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.engine.context import Turn
from orchestrator.engine.state import OpenSend
from orchestrator.learning import pooled
from orchestrator.learning.cells import OPENS_SEEN, UNIT, Cell, new_cell

#: A complaint weighs as several unsubscribes.
COMPLAINT = 3.0
#: A purchase belongs to the response before it, for so long: longer windows credit what was bought anyway.
VALUE_WINDOW_MS = 86_400_000


def sent(turn: Turn, send: OpenSend, *, expected: float) -> None:
    """A send was decided; it counts at once. `expected` is the mean of the rate that was believed."""
    group = _group(turn)
    sums = turn.result.sums
    pooled.add(sums, pooled.money_key(group, send.channel), pooled.money(sends=1))
    pooled.add(sums, pooled.text_key(group, send.message), (UNIT, 0))
    pooled.add(
        sums, pooled.tired_key(send.channel), pooled.one(2 * pooled.PRESSURES, send.tired, round(expected * UNIT))
    )
    cell, before = _open(turn, send.channel)
    cell.sent(turn.at)
    _close(turn, group, send.channel, cell, before)


def taken_back(turn: Turn, send: OpenSend) -> None:
    """A send never reached her: silence about it means nothing."""
    group = _group(turn)
    sums = turn.result.sums
    pooled.add(sums, pooled.money_key(group, send.channel), pooled.money(sends=-1))
    pooled.add(sums, pooled.text_key(group, send.message), (-UNIT, 0))
    cell, before = _open(turn, send.channel)
    cell.taken_back(turn.at, send.at, opened=send.opened)
    _close(turn, group, send.channel, cell, before)


def opened(turn: Turn, send: OpenSend) -> None:
    """The first open of a send by a person."""
    cell, before = _open(turn, send.channel)
    cell.opened(turn.at)
    _close(turn, _group(turn), send.channel, cell, before)


def machine(turn: Turn, channel: str) -> None:
    """A machine opened or clicked: from now on opens on this channel say nothing of this customer."""
    cell, before = _open(turn, channel)
    cell.blind()
    _close(turn, _group(turn), channel, cell, before)


def responded(turn: Turn, send: OpenSend, *, delay: int, value: float) -> None:
    """The first response to a send, `delay` ms after it. `value` is what the answer itself is worth."""
    group = _group(turn)
    sums = turn.result.sums
    pooled.add(sums, pooled.money_key(group, send.channel), pooled.money(responses=1, value=value))
    pooled.add(sums, pooled.text_key(group, send.message), (0, UNIT))
    pooled.add(sums, pooled.delay_key(send.channel), pooled.one(pooled.DELAYS, pooled.delay_step(delay)))
    pooled.add(sums, pooled.tired_key(send.channel), pooled.one(2 * pooled.PRESSURES, pooled.PRESSURES + send.tired))
    cell, before = _open(turn, send.channel)
    if send.channel in OPENS_SEEN and not send.opened:
        # Who answers has opened, whether or not the mailbox said so.
        cell.opened(turn.at)
    cell.responded(turn.at)
    _close(turn, group, send.channel, cell, before)


def bought(turn: Turn, send: OpenSend, margin: float) -> None:
    """A purchase followed the response to a send. It feeds the pooled value, never the customer's rate."""
    if margin > 0.0:
        key = pooled.money_key(_group(turn), send.channel)
        pooled.add(turn.result.sums, key, pooled.money(value=margin))


def pending(turn: Turn, channel: str) -> float:
    """How many answers of the sends counted are still to be waited for: each send by what has not come by its age.

    While callbacks of the channel are stale its clock stands still.
    """
    now = min(turn.at, turn.context.stale.get(channel, turn.at))
    window = turn.context.program.policy.credit_window_of(channel)
    priors = turn.context.priors
    total = 0.0
    for send in reversed(turn.customer.open_sends):
        age = now - send.at
        if age >= window:
            break
        if send.channel == channel and send.counted and not send.answered:
            total += 1.0 - priors.arrived(channel, age)
    return total


def lost(turn: Turn, channel: str, weight: float = 1.0) -> None:
    """The consent for a channel was withdrawn."""
    pooled.add(turn.result.sums, pooled.money_key(_group(turn), channel), pooled.money(lost=weight))


def moved(turn: Turn, labels: Sequence[str]) -> None:
    """The customer's labels changed from `labels`: what is known of her belongs to her new group."""
    before, after = pooled.group_of(labels), _group(turn)
    if before == after:
        return
    for channel, cell in turn.customer.responses.items():
        share = cell.evidence()
        pooled.add(turn.result.sums, pooled.cell_key(before, channel), [-by for by in share])
        pooled.add(turn.result.sums, pooled.cell_key(after, channel), share)


def _group(turn: Turn) -> str:
    return pooled.group_of(turn.customer.segments)


def _open(turn: Turn, channel: str) -> tuple[Cell, list[int]]:
    cell = turn.customer.responses.get(channel)
    if cell is None:
        cell = turn.customer.responses[channel] = new_cell(channel, turn.at)
    return cell, cell.evidence()


def _close(turn: Turn, group: str, channel: str, cell: Cell, before: list[int]) -> None:
    after = cell.evidence()
    change = [new - old for new, old in zip(after, before, strict=True)]
    pooled.add(turn.result.sums, pooled.cell_key(group, channel), change)
