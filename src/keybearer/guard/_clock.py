"""The service's time, told by the guard's own steady clock (docs/decisions/0009).

The wall clock of this machine may be wrong and may step; whether a token has expired and how old the state is are
questions about the service's time. A request whose answer says `now` brackets it: the service read its clock after the
request was sent and before the answer was there. A message of a stream brackets nothing, it may have been held up.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

log = logging.getLogger("keybearer.guard")

NANOSECONDS: Final = 1_000_000
"""In a millisecond."""

DRIFT: Final = 5000
"""Steady clocks differ by less than one part in this many."""

STEP: Final = 10_000 * NANOSECONDS
"""A service whose clock has gone back by more than this was set back; anything less is waited for."""

_STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


steady_clock: Final[Callable[[], int]] = partial(time.clock_gettime_ns, _STEADY_CLOCK)
"""Nanoseconds, from a clock that never steps and runs through a suspend. A function of ours would double its cost."""


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The service's time is the steady clock's plus something from `low` to `high`, as measured at `at`."""

    low: int
    high: int
    at: int

    def aged(self, now: int) -> "_Anchor":
        drift = (now - self.at) // DRIFT
        return _Anchor(self.low - drift, self.high + drift, now)

    def contradicts(self, other: "_Anchor") -> bool:
        return self.high < other.low or other.high < self.low


class ServiceClock:
    """Milliseconds since the epoch, as the service counts them; never behind it, ahead by a round trip at most.

    It is read by any thread, and set by one. `offset` is what is added to `steady`, in nanoseconds.
    """

    def __init__(self, steady: Callable[[], int] = steady_clock) -> None:
        self._steady = steady
        self._anchor: _Anchor | None = None
        self._setting = (0, 0)

    def now(self) -> int:
        """Never less than it was, unless the service's clock was set back."""
        offset, floor = self._setting
        now = (self._steady() + offset) // NANOSECONDS
        return now if now > floor else floor  # noqa: FURB136 - max() takes three times as long

    def observe(self, sent: int, received: int, service_now: int) -> int:
        """Take the `now` of an answer, between two readings of the steady clock. The better measurement stays, unless
        the two exclude each other.

        Answers by how many milliseconds this clock was set back: 0 but for a service whose own clock was.
        """
        read = service_now * NANOSECONDS
        new = _Anchor(read - received, read + NANOSECONDS - sent, received)
        if self._anchor is None:
            return self._set(new, floor=0)
        old = self._anchor.aged(received)
        if new.contradicts(old):
            back = old.high - new.high
            if back > STEP:
                log.warning("the service's clock was set back by %d s", back // (1000 * NANOSECONDS))
                self._set(new, floor=0)
                return back // NANOSECONDS
            return self._set(new, floor=self.now())
        if new.high - new.low < old.high - old.low:
            return self._set(new, floor=self.now())
        return 0

    def _set(self, anchor: _Anchor, floor: int) -> int:
        self._anchor = anchor
        self._setting = (anchor.high, floor)
        return 0
