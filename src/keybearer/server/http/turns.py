"""Whose turn it is: under a flood of requests that are refused, those who were answered well before go first.

A request is let in at once when its sender is known, by what was answered to him lately. All others are, as long as
most of them are answered well, and few at a time while they are not, so that a flood leaves time to everybody else
(docs/decisions/0015).
"""

import asyncio
from collections import deque
from collections.abc import Hashable

FEWEST, MOST = 2, 1024
"""Strangers that are let in at a time: a quarter of a millisecond's work; more than ever come between two pauses."""

COST_OF_REFUSAL = 4
"""By so many fewer are let in for each that is refused; by one more for each that is not."""

PAUSE = 0.001
"""Seconds without strangers, from when those who were let in have been answered, as far as nothing was waited for."""

BEST_CREDIT = 8
"""Refusals in a row after which one who was known is a stranger again: tokens expire, people mistype."""

KNOWN = 10_000
"""Senders in each of two generations; those of the older one who are not heard of are forgotten first."""


class Turns:
    """One for a process, on its event loop."""

    def __init__(self) -> None:
        self._young: dict[Hashable, int] = {}
        self._old: dict[Hashable, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.at_a_time = MOST
        """Strangers who are let in between two pauses."""
        self._left = MOST
        self._is_counting = False

    @property
    def waiting(self) -> int:
        """How many strangers wait for their turn."""
        return len(self._waiting)

    def credit(self, sender: Hashable) -> int:
        """0: a stranger, who has to wait for his turn."""
        credit = self._young.get(sender)
        return self._recall(sender) if credit is None else credit

    def _recall(self, sender: Hashable) -> int:
        credit = self._old.get(sender, 0)
        self._set_credit(sender, credit)
        return credit

    async def wait(self) -> None:
        """A stranger's turn. They are let in in the order in which they came."""
        if not self._left:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
            return
        self._left -= 1
        self._pause_after_this()

    def note(self, sender: Hashable, *, refused: bool) -> None:
        """What one of a sender's requests came to. What is no refusal changes nothing for one with `BEST_CREDIT`."""
        credit = self.credit(sender)
        if credit == 0:
            change = -COST_OF_REFUSAL if refused else 1
            self.at_a_time = min(MOST, max(FEWEST, self.at_a_time + change))
            self._left = min(self._left, self.at_a_time)
        self._set_credit(sender, credit - 1 if refused else min(BEST_CREDIT, credit + 1))

    def _set_credit(self, sender: Hashable, credit: int) -> None:
        if credit <= 0:
            self._young.pop(sender, None)
            self._old.pop(sender, None)
            return
        self._young[sender] = credit
        if len(self._young) >= KNOWN:
            self._old, self._young = self._young, {}

    def _pause_after_this(self) -> None:
        if not self._is_counting:
            self._is_counting = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_later, PAUSE, self._end_pause)

    def _end_pause(self) -> None:
        self._is_counting = False
        self._left = self.at_a_time
        while self._waiting and self._left:
            turn = self._waiting.popleft()
            if not turn.done():  # as it is when its request was cancelled
                turn.set_result(None)
                self._left -= 1
                self._pause_after_this()
