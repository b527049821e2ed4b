"""Chance as a function: the same (seed, purpose, names) give the same number, so a replay repeats every draw.

One purpose each for holdout, split, rollout and choice: the arms of two experiments stay independent.
"""

from __future__ import annotations

from hashlib import blake2b

from numpy.random import PCG64, Generator

_UNIT = float(1 << 53)


def digest(seed: bytes, *names: str, size: int = 8) -> bytes:
    """A keyed hash of the names. `seed` is the installation's secret, at most 64 bytes are used."""
    return blake2b("\0".join(names).encode(), digest_size=size, key=seed[:64]).digest()


def uniform(seed: bytes, purpose: str, *names: str) -> float:
    """A number in [0, 1), sticky for the names."""
    return (int.from_bytes(digest(seed, purpose, *names), "big") >> 11) / _UNIT


class Draws:
    """A reusable generator that is set anew for each decision.

    Building a numpy generator costs more than a whole decision's draws, so one is kept and its state overwritten.
    """

    def __init__(self) -> None:
        self._bits = PCG64(0)
        self._state = self._bits.state
        self._generator = Generator(self._bits)

    def of(self, seed: bytes, purpose: str, *names: str) -> Generator:
        """The generator for these names; valid until the next call."""
        raw = digest(seed, purpose, *names, size=32)
        inner = self._state["state"]
        inner["state"] = int.from_bytes(raw[:16], "big")
        # PCG's increment must be odd.
        inner["inc"] = int.from_bytes(raw[16:], "big") | 1
        self._bits.state = self._state
        return self._generator
