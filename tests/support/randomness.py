"""Randomness that is the same in every run."""

from random import Random


class SeededRandomness:
    """`ports.Randomness` from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
