"""Clients that refresh without a pause, and replicas that are replaced meanwhile."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.replicas import Replica
from tests.faults.scene import WITHIN, Scene, new_key
from tests.faults.wire import ask, ask_status

CLIENTS = 20


async def refresh_for_ever(scene: Scene, held: Held, port: int, statuses: "Counter[int]") -> None:
    """One client; 0 counts for no answer."""
    while True:
        reply = await ask(port, calls.refresh(scene.api_key, held, new_key()))
        statuses[reply.status if reply is not None else 0] += 1
        if reply is not None and reply.status == 200:
            held = Held.of(reply)


@asynccontextmanager
async def under_load(scene: Scene, port: int) -> AsyncIterator["Counter[int]"]:
    """What clients are answered who refresh without a pause until the block ends."""
    statuses = Counter[int]()
    async with asyncio.TaskGroup() as group:
        clients = [
            group.create_task(refresh_for_ever(scene, await scene.log_in(), port, statuses)) for _ in range(CLIENTS)
        ]
        yield statuses
        for client in clients:
            client.cancel()


async def until_answered(port: int, path: str) -> None:
    """With 200."""
    async with asyncio.timeout(WITHIN):
        while await ask_status(port, path) != 200:
            await asyncio.sleep(0.05)


async def restart_in_peace(replica: Replica, successor: Replica | None = None) -> None:
    """As an orchestrator does: SIGTERM, and the next process when this one has ended by itself. `successor` is the next
    one when it is of another release."""
    replica.kill(signal.SIGTERM)
    async with asyncio.timeout(WITHIN):
        assert await replica.wait() == 0
    following = successor or replica
    await following.start()
    await following.wait_until_ready()
