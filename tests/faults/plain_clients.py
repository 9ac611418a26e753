"""`python -m tests.faults.plain_clients`: sessions held by plain HTTP, each by a task that keeps only its token and the
Idempotency-Key of the refresh that is under way.

Orders come on standard input. A line after them says that all faults are over: then every session is refreshed once
more, and the process ends.
"""

import asyncio
import secrets
import sys
import time
from dataclasses import dataclass, field
from random import Random

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.history import ANYWHERE, Journal, name_of_key
from tests.faults.launcher import die
from tests.faults.orders import Orders, parse_orders
from tests.faults.wire import Cut, Reply, Request, ask
from tests.support.secret_scan import Ledger

LONGEST_GAP = 1.2
"""Seconds between two things that a client does."""

AT_ONCE = 0.05
"""Seconds until a client asks again at once: one that asks without any pause hinders the service in its start."""

LATE_SHARE = 0.3
"""Of the questions that come again, those that wait until the retry window is over."""

LONGEST_WAIT = 8.0
"""Seconds after which no request lies in the service any more: it waits for its database for seven at most."""

_CUTS = (Cut.NONE, Cut.AMID_REQUEST, Cut.AFTER_REQUEST, Cut.AMID_ANSWER)
_CUT_WEIGHTS = (85, 3, 9, 3)


@dataclass(slots=True)
class Client:
    """One user's client. It begins a new session whenever the one before has ended."""

    orders: Orders
    journal: Journal
    ledger: Ledger
    chance: Random
    user: str
    stopping: asyncio.Event
    held: Held | None = None
    before: Held | None = field(default=None)
    """What it held before the last move, as a tab that was left open does."""
    unanswered_at: float = -LONGEST_WAIT
    """When it last asked for a refresh in vain (monotonic seconds)."""

    async def live(self) -> None:
        while not self.stopping.is_set():
            await self._pause()
            if self.held is None:
                await self._log_in()
            else:
                await self._act(self.held)
        if self.held is not None:
            await self._refresh(self.held)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self.chance.uniform(0, LONGEST_GAP)):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def _act(self, held: Held) -> None:
        what = self.chance.random()
        if what < 0.70:
            await self._refresh(held)
        elif what < 0.80:
            await self._refresh(held, at_once=2)
        elif what < 0.88:
            await self._repeat()
        elif what < 0.96:
            await self._inspect(held, self._somewhere())
        elif what < 0.98:
            await self._log_out(held)
        else:
            await asyncio.gather(self._refresh(held, rounds=1), self._log_out(held))

    # --- log in ------------------------------------------------------------------------------------------------------

    async def _log_in(self) -> None:
        id = self.journal.ask("login", user=self.user)
        request = calls.log_in(self.orders.api_key, self.orders.users[self.user], self.orders.password)
        reply = await self._ask(request, self._somewhere())
        if reply is None:
            return
        if reply.status != 200:
            self.journal.answer(id, reply.status, code=reply.code)
            return
        self.before, self.held = None, Held.of(reply)
        self.journal.answer(id, 200, session=self.held.id, token=self.held.token)

    # --- refresh -----------------------------------------------------------------------------------------------------

    async def _refresh(self, held: Held, *, at_once: int = 1, rounds: int = sys.maxsize) -> None:
        """Until it is decided: what is not is asked again, at once or after the retry window, with the same key."""
        held.key = held.key or secrets.token_urlsafe(24)
        for _ in range(rounds):
            replies = await asyncio.gather(*(self._present(held) for _ in range(at_once)))
            decided = [reply for reply in replies if reply is not None and reply.status in (200, 401)]
            if decided:
                self._take(held, decided)
                return
            if self.chance.random() < LATE_SHARE:
                await asyncio.sleep(self.orders.window + self.chance.uniform(0.1, 1))
            else:
                await asyncio.sleep(AT_ONCE)

    def _take(self, held: Held, decided: list[Reply]) -> None:
        if self.held is not held:
            return  # a logout has gone before
        granted = [Held.of(reply) for reply in decided if reply.status == 200]
        if not granted:
            self.before = self.held = None
            return
        # One of two at once may have been answered with the token that it presented, before the other moved the chain.
        moved = [after for after in granted if after.refresh_token != held.refresh_token]
        self.held = (moved or granted)[-1]
        if moved:
            self.before = held
        else:
            self.held.key = held.key  # the answer to the other may be lost, and may have moved the chain with this key

    async def _repeat(self) -> None:
        """What another tab does that was late: the token before the current one, with the key that had moved it.

        Where nobody knows what came of it, no tab refreshes before it can have come: the token would be too old then.
        Nor does a tab come late while a refresh may still lie in the service and move the chain on. With a retry window
        longer than that, as it is unless somebody shortens it, neither can happen.
        """
        is_settled = time.monotonic() > self.unanswered_at + LONGEST_WAIT
        if self.before is not None and is_settled and await self._present(self.before) is None:
            await asyncio.sleep(LONGEST_WAIT)

    async def _present(self, held: Held) -> Reply | None:
        assert held.key is not None
        at = self._somewhere()
        id = self.journal.ask(
            "refresh", user=self.user, session=held.id, token=held.token, key=name_of_key(held.key), where=at[1]
        )
        cut = self.chance.choices(_CUTS, _CUT_WEIGHTS)[0] if not self.stopping.is_set() else Cut.NONE
        reply = await self._ask(calls.refresh(self.orders.api_key, held, held.key), at, cut)
        if reply is None:
            self.unanswered_at = time.monotonic()
        elif reply.status == 200:
            self.journal.answer(id, 200, token=Held.of(reply).token)
        else:
            self._answer(id, reply)
        return reply

    # --- the rest ----------------------------------------------------------------------------------------------------

    async def _inspect(self, held: Held, at: tuple[int, int]) -> None:
        id = self.journal.ask("info", user=self.user, session=held.id, where=at[1])
        self._answer(id, await self._ask(calls.inspect(self.orders.api_key, held), at))

    async def _log_out(self, held: Held) -> None:
        """Until it is decided; and then everywhere what is over is tried."""
        if self.held is held:
            self.before = self.held = None
        while True:
            at = self._somewhere()
            id = self.journal.ask("logout", user=self.user, session=held.id, token=held.token, where=at[1])
            reply = await self._ask(calls.revoke(self.orders.api_key, held), at)
            self._answer(id, reply)
            if reply is not None and reply.status in (200, 401):
                break
            await asyncio.sleep(AT_ONCE)
        held.key = held.key or secrets.token_urlsafe(24)
        for number, port in enumerate(self.orders.ports):
            await self._inspect(held, (port, number))
        await self._present(held)

    def _answer(self, id: str, reply: Reply | None) -> None:
        if reply is not None:
            self.journal.answer(id, reply.status, code=reply.code)

    def _somewhere(self) -> tuple[int, int]:
        """Port and number of a replica; or of the front, which chooses one."""
        if self.chance.random() < 0.5:
            return self.orders.front, ANYWHERE
        number = self.chance.randrange(len(self.orders.ports))
        return self.orders.ports[number], number

    async def _ask(self, request: Request, at: tuple[int, int], cut: Cut = Cut.NONE) -> Reply | None:
        reply = await ask(at[0], request, cut, self.chance.uniform(0, 0.005))
        if reply is not None and reply.status == 200:
            calls.note_credentials(self.ledger, reply)
        return reply


async def run(orders: Orders) -> None:
    """Until the parent says that all is over; a parent that has gone ends this process at once."""
    journal, ledger = Journal(orders.history), Ledger(orders.ledger)
    stopping, chance = asyncio.Event(), Random(orders.seed)
    users = list(orders.users)
    clients = [
        Client(orders, journal, ledger, Random(chance.random()), users[number % len(users)], stopping)
        for number in range(orders.sessions)
    ]
    lives = asyncio.gather(*(client.live() for client in clients))
    if not await asyncio.to_thread(sys.stdin.readline):
        die()
    stopping.set()
    await lives


if __name__ == "__main__":
    asyncio.run(run(parse_orders(sys.stdin.readline())))
