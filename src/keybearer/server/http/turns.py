"""Whose turn it is: under a flood of requests that are refused, those who were answered well before go first.

A request is let in at once when its sender is known, by what was answered to him lately. All others are as well, until
many of them are refused, and more than are answered: then few have a turn at a time, so that a flood leaves time to
everybody else (docs/decisions/0015).
"""

import asyncio
from collections import deque

FEWEST, MOST = 2, 64
"""Strangers that are let in for a turn: a quarter of a millisecond's work; as much as anybody may have to wait for, and
more than come within a turn in peace."""

PAUSE = 0.001
"""Seconds between two turns, in which those who are known have the process to themselves."""

BEST_CREDIT = 8
"""Refusals in a row after which one who was known is a stranger again: tokens expire, people mistype."""

KNOWN = 50_000
"""Senders in each of two generations; those of the older one who are not heard of are forgotten first."""


class Turns:
    """One for a process, on its event loop. A sender is the address of one customer (`places.Origin`)."""

    def __init__(self) -> None:
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.at_a_time = MOST
        """Strangers who are let in for a turn."""
        self._left = MOST
        self._refused = 0
        self._owed = 0
        self._is_ending = False

    @property
    def waiting(self) -> int:
        """How many strangers wait for their turn."""
        return len(self._waiting)

    def credit(self, sender: str) -> int:
        """0: a stranger. Whoever is asked for is remembered for longer."""
        credit = self._young.get(sender)
        return self._recall(sender) if credit is None else credit

    def _recall(self, sender: str) -> int:
        credit = self._old.get(sender, 0)
        self._set_credit(sender, credit)
        return credit

    def take(self) -> bool:
        """A stranger's turn, if there is one now."""
        if not self._left:
            return False
        self._left -= 1
        self._end_turn()
        return True

    async def wait(self) -> None:
        """A stranger's turn. They are let in in the order in which they came."""
        if not self.take():
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def judge(self, *, refused: bool, is_dear: bool = False) -> None:
        """What the request of one who had a turn came to. A dear one takes a place of the next turn as well."""
        self._refused += refused
        self._owed += is_dear
        self.at_a_time = max(FEWEST, min(MOST, self.at_a_time + (-1 if refused else 1)))
        self._left = min(self._left, self.at_a_time)

    def note(self, sender: str, *, refused: bool) -> None:
        """What one of a sender's requests came to. What is no refusal changes nothing for one with `BEST_CREDIT`."""
        credit = self.credit(sender)
        self._set_credit(sender, credit - 1 if refused else min(BEST_CREDIT, credit + 1))

    def let_all_in(self) -> None:
        """The process is about to end: nobody waits any more."""
        self.at_a_time = MOST
        while self._waiting:
            self._let_in()

    def _set_credit(self, sender: str, credit: int) -> None:
        if credit <= 0:
            self._young.pop(sender, None)
            self._old.pop(sender, None)
            return
        self._young[sender] = credit
        if len(self._young) >= KNOWN:
            self._old, self._young = self._young, {}

    def _end_turn(self) -> None:
        """Pause when those who were let in have begun; most of what is refused is done then."""
        if not self._is_ending:
            self._is_ending = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_later, PAUSE, self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_ending = False
        if self._left and self._refused <= FEWEST:  # it makes no difference who is let in
            self.at_a_time = min(MOST, 2 * self.at_a_time)
        self._left = max(0, self.at_a_time - self._owed)
        self._refused = self._owed = 0
        while self._waiting and self._left:
            self._left -= self._let_in()
        if self._left < self.at_a_time:
            self._end_turn()

    def _let_in(self) -> bool:
        """The next stranger, if he waits still: a request that was cancelled has no turn."""
        turn = self._waiting.popleft()
        if turn.done():
            return False
        turn.set_result(None)
        return True
