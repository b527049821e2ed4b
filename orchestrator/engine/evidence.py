"""Every change of what is known of a customer's answers, in one place: the cell, and its share in the pooled sums.

The pooled sums of a partition always equal the sum of its customers' cells: each change takes the cell's old share away
and adds the new one, in the group that the customer's labels put her in.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.engine.context import Turn
from orchestrator.engine.state import OpenSend
from orchestrator.learning import pooled
from orchestrator.learning.cells import UNIT, Cell, new_cell
from orchestrator.learning.pooled import (
    CREDITS,
    LOST,
    RESPONSES,
    SENDS,
    SLOPES,
    SQUARE_UNIT,
    SQUARES,
    VALUE,
    open_vector,
)
from orchestrator.learning.priors import lean

#: A complaint weighs as several unsubscribes.
COMPLAINT = 3.0
#: A purchase belongs to the response before it, for so long: longer windows credit what was bought anyway.
VALUE_WINDOW_MS = 86_400_000


def sent(turn: Turn, send: OpenSend, *, expected: float) -> None:
    """A send was decided; it counts at once. `expected` is the mean of the rate that was believed."""
    group, channel = _group(turn), send.channel
    sums = turn.result.sums
    open_vector(sums, pooled.text_key(group, send.message), 2)[0] += UNIT
    answers = open_vector(sums, pooled.answer_key(channel), pooled.ANSWER_WIDTH)
    answers[pooled.EXPECTED + send.tired] += int(expected * UNIT)
    cell, vector = _cell(turn, channel), _vector(turn, group, channel)
    vector[SENDS] += UNIT
    cell.add_to(vector, -1)
    cell.decay(turn.at)
    context = turn.context
    belief = context.priors.belief(group, channel, context.program.policy.response_value)
    if cell.o < 0.0:
        send.lean = lean(belief.response, cell.n, cell.s)
        _tried(answers, SLOPES, send.lean, cell.n, belief.response.mean)
    else:
        send.lean = lean(belief.opens, cell.n, cell.o)
        send.lean_after = lean(belief.after_open, cell.o, cell.s)
        _tried(answers, SLOPES + 3, send.lean, cell.n, belief.opens.mean)
    cell.sent(turn.at)
    cell.add_to(vector, 1)


def taken_back(turn: Turn, send: OpenSend) -> None:
    """A send never reached her: silence about it means nothing."""
    group, channel = _group(turn), send.channel
    open_vector(turn.result.sums, pooled.text_key(group, send.message), 2)[0] -= UNIT
    cell, vector = _cell(turn, channel), _vector(turn, group, channel)
    vector[SENDS] -= UNIT
    cell.add_to(vector, -1)
    cell.taken_back(turn.at, send.at, opened=send.opened)
    cell.add_to(vector, 1)


def opened(turn: Turn, send: OpenSend) -> None:
    """The first open of a send by a person."""
    group = _group(turn)
    cell, vector = _cell(turn, send.channel), _vector(turn, group, send.channel)
    if cell.sees_opens():
        _open_came(turn, group, send, cell)
    cell.add_to(vector, -1)
    cell.opened(turn.at)
    cell.add_to(vector, 1)


def machine(turn: Turn, channel: str) -> None:
    """A machine opened or clicked: from now on opens on this channel say nothing of this customer."""
    cell = _cell(turn, channel)
    if cell.sees_opens():
        vector = _vector(turn, _group(turn), channel)
        cell.add_to(vector, -1)
        cell.blind()
        # What they leaned on is gone.
        for send in turn.customer.open_sends:
            if send.channel == channel:
                send.lean = send.lean_after = 0
        cell.add_to(vector, 1)


def responded(turn: Turn, send: OpenSend, *, delay: int, value: float) -> None:
    """The first response to a send, `delay` ms after it. `value` is what the answer itself is worth."""
    group, channel = _group(turn), send.channel
    sums = turn.result.sums
    open_vector(sums, pooled.text_key(group, send.message), 2)[1] += UNIT
    answers = open_vector(sums, pooled.answer_key(channel), pooled.ANSWER_WIDTH)
    answers[pooled.delay_step(delay)] += UNIT
    answers[pooled.CAME + send.tired] += UNIT
    cell, vector = _cell(turn, channel), _vector(turn, group, channel)
    vector[RESPONSES] += UNIT
    _credit(vector, value)
    if cell.sees_opens():
        # Who answers has opened, whether or not the mailbox said so.
        if not send.opened:
            _open_came(turn, group, send, cell)
        answers[SLOPES + 7] += 1000 * send.lean_after
    else:
        answers[SLOPES + 1] += 1000 * send.lean
    cell.add_to(vector, -1)
    cell.responded(turn.at, opened=not send.opened)
    cell.add_to(vector, 1)


def bought(turn: Turn, send: OpenSend, margin: float) -> None:
    """A purchase followed the response to a send. It feeds the pooled value, never the customer's rate."""
    _credit(_vector(turn, _group(turn), send.channel), margin)


def pending(turn: Turn) -> dict[str, float]:
    """Per channel, how many answers of the sends counted are still to be waited for: each by what has not come by its
    age. While callbacks of a channel are stale its clock stands still."""
    context, at = turn.context, turn.at
    policy, priors, stale = context.program.policy, context.priors, context.stale
    totals: dict[str, float] = {}
    longest = policy.longest_window
    for send in reversed(turn.customer.open_sends):
        channel = send.channel
        age = (min(at, stale[channel]) if channel in stale else at) - send.at
        if age >= longest and not stale:
            break
        if send.counted and not send.answered and age < policy.credit_window_of(channel):
            totals[channel] = totals.get(channel, 0.0) + 1.0 - priors.arrived(channel, age)
    return totals


def lost(turn: Turn, channel: str, weight: float = 1.0) -> None:
    """The consent for a channel was withdrawn."""
    _vector(turn, _group(turn), channel)[LOST] += int(weight * UNIT)


def moved(turn: Turn, labels: Sequence[str]) -> None:
    """The customer's labels changed from `labels`: what is known of her belongs to her new group."""
    before, after = pooled.group_of(labels), _group(turn)
    if before != after:
        for channel, cell in turn.customer.responses.items():
            cell.add_to(_vector(turn, before, channel), -1)
            cell.add_to(_vector(turn, after, channel), 1)


def _tried(answers: list[int], place: int, lean: int, trials: float, mean: float) -> None:
    """One more trial of a table: what is added to its slope's sums while its answer is not known."""
    square = lean * lean
    answers[place] += square
    answers[place + 1] -= int(1000.0 * lean * mean)
    answers[place + 2] += int(trials * square)


def _open_came(turn: Turn, group: str, send: OpenSend, cell: Cell) -> None:
    """A person opened: a success of the table of opens, and a trial of the table of responses after one."""
    context = turn.context
    answers = open_vector(turn.result.sums, pooled.answer_key(send.channel), pooled.ANSWER_WIDTH)
    answers[SLOPES + 4] += 1000 * send.lean
    belief = context.priors.belief(group, send.channel, context.program.policy.response_value)
    _tried(answers, SLOPES + 6, send.lean_after, cell.o, belief.after_open.mean)


def _group(turn: Turn) -> str:
    return pooled.group_of(turn.customer.segments)


def _vector(turn: Turn, group: str, channel: str) -> list[int]:
    return open_vector(turn.result.sums, pooled.cell_key(group, channel), pooled.CELL_WIDTH)


def _cell(turn: Turn, channel: str) -> Cell:
    cells = turn.customer.responses
    cell = cells.get(channel)
    if cell is None:
        cell = cells[channel] = new_cell(channel, turn.at)
    return cell


def _credit(vector: list[int], value: float) -> None:
    value = pooled.credit(value)
    if not value:
        return
    vector[CREDITS] += UNIT
    vector[VALUE] += round(value * UNIT)
    vector[SQUARES] += round(value * value * SQUARE_UNIT)
