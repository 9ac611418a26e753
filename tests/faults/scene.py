"""A service that stands ready with one user, and what a test asks of it. Nothing is done to it but by the test."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.clocks import TrueClock
from tests.faults.ground import Ground
from tests.faults.operating import PASSWORD, Operator, operating
from tests.faults.replicas import Replica
from tests.faults.wire import Reply, Request, ask

WITHIN = 60.0
"""Seconds after which what does not happen has failed."""


@dataclass(slots=True)
class Scene:
    ground: Ground
    replicas: Sequence[Replica]
    operator: Operator
    api_key: str
    user: str
    username: str

    async def log_in(self) -> Held:
        reply = await self.ask(calls.log_in(self.api_key, self.username, PASSWORD))
        assert reply is not None and reply.status == 200, reply
        return Held.of(reply)

    async def ask(self, request: Request, at: int = 0) -> Reply | None:
        return await ask(self.replicas[at].port, request)

    async def refresh(self, held: Held, *, key: str | None = None, at: int = 0) -> Reply | None:
        return await self.ask(calls.refresh(self.api_key, held, key), at)

    async def granted(self, held: Held, *, key: str | None = None, at: int = 0) -> Held:
        """What a refresh grants, which must not be refused."""
        reply = await self.refresh(held, key=key, at=at)
        assert reply is not None and reply.status == 200, reply
        return Held.of(reply)

    async def refused(self, held: Held) -> None:
        """Nobody refreshes this session any more, at any replica, and its access token is soon refused everywhere."""
        for at in range(len(self.replicas)):
            reply = await self.refresh(held, key=new_key(), at=at)
            assert reply is not None and (reply.status, reply.code) == (401, "session_revoked")
        async with asyncio.timeout(WITHIN):
            for at in range(len(self.replicas)):
                while await self._accepts(held, at):
                    await asyncio.sleep(0.01)

    async def _accepts(self, held: Held, at: int) -> bool:
        reply = await self.ask(calls.inspect(self.api_key, held), at)
        return reply is None or reply.status == 200

    async def restart(self, fate: str = "") -> None:
        """The first replica: killed, and started again."""
        await self.replicas[0].stop()
        await self.replicas[0].start(fate)
        await self.replicas[0].wait_until_ready()


def new_key() -> str:
    return secrets.token_urlsafe(24)


@asynccontextmanager
async def opened(ground: Ground, clocks: Sequence[TrueClock] = ()) -> AsyncIterator[Scene]:
    """With all replicas of the ground, until the block ends. `clocks` are theirs, where not all have the machine's."""
    async with operating(ground) as operator, AsyncExitStack() as stack:
        api_key = await operator.make_application()
        user, username = await operator.make_user()
        replicas = [
            Replica(ground, number, Counter(), Random(number), clock=clock)
            for number, clock in enumerate(clocks or [TrueClock()] * ground.replicas)
        ]
        for replica in replicas:
            stack.push_async_callback(replica.stop)
            await replica.start()
        for replica in replicas:
            await replica.wait_until_ready()
        yield Scene(ground, replicas, operator, api_key, user, username)
