"""The clock and the randomness of a client."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from keybearer.base64url import encode_base64url


def _make_key() -> str:
    """32 random bytes in 43 characters of R4's alphabet."""
    return encode_base64url(os.urandom(32))


def _chance() -> float:
    """At least 0, below 1."""
    return int.from_bytes(os.urandom(4)) / 2**32


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`now` is the time of day that other processes share, in seconds since the Unix epoch; `steady` never steps."""

    now: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    make_key: Callable[[], str] = _make_key
    chance: Callable[[], float] = _chance


REAL = Surroundings()
