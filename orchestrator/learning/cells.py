"""Counts that forget: sends, human opens and responses of one customer on one channel, halved every HALF_LIFE.

Where a mailbox fetches images by itself its opens say nothing, so the first machine open makes a cell blind: its opens
are dropped and never counted again. A cell's share in the pooled sums (`evidence`) is a vector of integers, so that
sums over many cells are exact whatever the order they were added and taken away in.
"""

from __future__ import annotations

import msgspec

DAY_MS = 86_400_000
#: 90 days did 3 points better for steady customers, 6 worse once habits had turned (docs/decisions/learning.md).
HALF_LIFE_MS = 45 * DAY_MS
#: Channels that report human opens. On any other a cell starts blind.
OPENS_SEEN = frozenset({"email", "push"})
BLIND = -1.0
#: Pooled sums are integers of millionths.
UNIT = 1_000_000

#: Places in the vector of a cell's evidence. Cells, sends and responses, over all cells; then, over cells that see
#: opens: cells, sends and opens, cells with opens, and their responses.
K, N, S, OPEN_K, OPEN_N, OPEN_S, AFTER_K, AFTER_S = range(8)
WIDTH = 8


class Cell(msgspec.Struct, array_like=True, gc=False):
    """Decayed sends `n`, responses `s` and human opens `o` (BLIND where they cannot be told), as of `at` (ms)."""

    n: float = 0.0
    s: float = 0.0
    at: int = 0
    o: float = BLIND

    def decay(self, at: int) -> None:
        """Bring the counts forward to `at`; time never runs backwards here."""
        if at > self.at:
            if self.n or self.s:
                factor = 2.0 ** ((self.at - at) / HALF_LIFE_MS)
                self.n *= factor
                self.s *= factor
                if self.o > 0.0:
                    self.o *= factor
            self.at = at

    def at_present(self, at: int) -> float:
        """What is left at `at` of the counts as they stand."""
        return 2.0 ** ((self.at - at) / HALF_LIFE_MS) if at > self.at else 1.0

    def sent(self, at: int) -> None:
        """One more send."""
        self.decay(at)
        self.n += 1.0

    def taken_back(self, at: int, sent_at: int, *, opened: bool = False) -> None:
        """A send of `sent_at` never reached her: it counts no more, nor does what looked like its open."""
        self.decay(at)
        weight = 2.0 ** ((sent_at - self.at) / HALF_LIFE_MS)
        self.n = max(0.0, self.n - weight)
        if opened and self.o > 0.0:
            self.o = max(0.0, self.o - weight)
        self._bound()

    def opened(self, at: int) -> None:
        """The first human open of a send."""
        self.decay(at)
        if self.o >= 0.0:
            self.o += 1.0
        self._bound()

    def responded(self, at: int, *, opened: bool = False) -> None:
        """The first response to a send; `opened` when it is also the first sign of its open."""
        self.decay(at)
        self.s += 1.0
        if opened and self.o >= 0.0:
            self.o += 1.0
        self._bound()

    def blind(self) -> None:
        """A machine opens this customer's messages."""
        self.o = BLIND

    def _bound(self) -> None:
        # An answer counts in full although its send has decayed: the ladder responses ≤ opens ≤ sends must hold.
        s, o = self.s, self.o
        if o >= 0.0:
            if o < s:
                self.o = o = s
            if self.n < o:
                self.n = o
        elif self.n < s:
            self.n = s

    def sees_opens(self) -> bool:
        """Whether human opens can be told on this channel of this customer."""
        return self.o >= 0.0

    def add_to(self, vector: list[int], sign: int) -> None:
        """Add (1) or take away (-1) the cell's evidence as it stands. What was added is exactly what is taken away."""
        n, s, o = self.n, self.s, self.o
        if n <= 0.0:
            return
        # Truncation is the same on both sides of zero.
        unit = sign * UNIT
        sends = int(n * unit)
        vector[K] += unit
        vector[N] += sends
        if s:
            responses = int(s * unit)
            vector[S] += responses
        if o >= 0.0:
            vector[OPEN_K] += unit
            vector[OPEN_N] += sends
            if o:
                vector[OPEN_S] += int(o * unit)
                vector[AFTER_K] += unit
                if s:
                    vector[AFTER_S] += responses


def new_cell(channel: str, at: int) -> Cell:
    """An empty cell for the channel."""
    return Cell(at=at, o=0.0 if channel in OPENS_SEEN else BLIND)
