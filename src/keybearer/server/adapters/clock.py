"""The process's clock: the wall clock, without its steps.

Ages of refresh tokens decide about sessions, so a corrected clock must not make them older or younger at once. The
clock is the wall clock of its first reading, carried on by one that no correction touches and that runs through a
suspend, and drawn towards the wall clock slowly enough for no age to be wrong by more than one part in 2,000.
"""

import threading
import time
from collections.abc import Callable

SLEW = 2000
"""One part in this many of the time that passes is corrected."""


def _wall() -> int:
    return time.time_ns()


_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _steady() -> int:
    return time.clock_gettime_ns(_STEADY_CLOCK)


class SystemClock:
    """`ports.Clock`, for any thread. `wall` and `steady` answer nanoseconds; `steady` never steps."""

    def __init__(self, wall: Callable[[], int] = _wall, steady: Callable[[], int] = _steady) -> None:
        self._wall = wall
        self._steady = steady
        self._lock = threading.Lock()  # the storage's threads read the clock too, and no moment may count twice
        self._last_steady = steady()
        self._value = wall()

    def now(self) -> int:
        """Milliseconds since the Unix epoch."""
        with self._lock:
            steady = self._steady()
            passed = steady - self._last_steady
            if passed > 0:
                self._last_steady = steady
                self._value += passed + self._correction(passed)
            return self._value // 1_000_000

    def drift(self) -> int:
        """Milliseconds by which the wall clock is ahead of this one."""
        return self._wall() // 1_000_000 - self.now()

    def _correction(self, passed: int) -> int:
        most = passed // SLEW
        behind = self._wall() - (self._value + passed)
        return max(-most, min(most, behind))
