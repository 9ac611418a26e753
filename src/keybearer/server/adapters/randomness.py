"""Randomness from the operating system."""

import os


class SystemRandomness:
    """`ports.Randomness` from the kernel's generator; safe to fork, because nothing is kept."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)
