"""Those who use the service while somebody floods it: what they are answered, and when."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.lines import Line
from tests.faults.operating import PASSWORD
from tests.faults.scene import Scene, new_key
from tests.faults.sessions import make_sessions
from tests.faults.wire import Reply, Request

Kind = Literal["refresh", "info", "login"]
KINDS: tuple[Kind, ...] = ("refresh", "info", "login")
HOT: tuple[Kind, ...] = ("refresh", "info")
"""What everybody does all the time."""

CLIENTS = 4
GAP = 0.01
"""Seconds between two requests of one client."""

LOGIN_GAP = 2.0
_HOME = {"X-Forwarded-For": "198.51.100.7"}

PATIENCE = 60.0
"""Seconds after which an answer that has not come is none."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One request: when it was answered, by which status (0: not at all), and how long it took. In seconds."""

    kind: Kind
    at: float
    took: float
    status: int


@dataclass(slots=True)
class Pulse:
    """`beats` are in the order in which they were answered."""

    scene: Scene
    beats: list[Beat] = field(default_factory=list)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """As long as the block lasts; what is under way then is given up."""
        sessions = await make_sessions(self.scene, [self.scene.user] * CLIENTS)
        works = [self._use(held) for held in sessions]
        tasks = [asyncio.create_task(work) for work in (*works, self._log_in_again_and_again())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                if not task.cancelled():
                    task.result()

    def wrong(self) -> list[Beat]:
        """Whatever was not answered as it should be."""
        return [beat for beat in self.beats if beat.status != 200]

    def slowest(self, kinds: Sequence[Kind], since: float = 0, until: float = math.inf) -> dict[Kind, float]:
        """p99 of those that were answered meanwhile."""
        took = {kind: [b.took for b in self.beats if b.kind == kind and since <= b.at < until] for kind in kinds}
        return {kind: percentile(values, 0.99) for kind, values in took.items()}

    async def _use(self, held: Held) -> None:
        """Refresh and inspect in turn, on one connection; until something is wrong."""
        line = await Line.open(self.scene.replicas[0].port)
        try:
            while True:
                reply = await self._beat(line, "refresh", calls.refresh(self.scene.api_key, held, new_key()))
                if reply.status != 200:
                    return
                held = Held.of(reply)
                await asyncio.sleep(GAP)
                await self._beat(line, "info", calls.inspect(self.scene.api_key, held))
                await asyncio.sleep(GAP)
        finally:
            line.close()

    async def _log_in_again_and_again(self) -> None:
        """Each time on a new connection, from home, and out again: a user has a bounded number of sessions."""
        request = calls.log_in(self.scene.api_key, self.scene.username, PASSWORD)
        while True:
            line = await Line.open(self.scene.replicas[0].port)
            try:
                reply = await self._beat(line, "login", request)
                if reply.status == 200:
                    await _ask(line, at_home(calls.revoke(self.scene.api_key, Held.of(reply))))
            finally:
                line.close()
            await asyncio.sleep(LOGIN_GAP)

    async def _beat(self, line: Line, kind: Kind, request: Request) -> Reply:
        began = time.monotonic()
        reply = await _ask(line, at_home(request))
        ended = time.monotonic()
        self.beats.append(Beat(kind, ended, ended - began, reply.status))
        return reply


def at_home(request: Request) -> Request:
    """The same from where the people of this service live; it is a known place once they have logged in."""
    return Request(request.method, request.path, {**request.headers, **_HOME}, request.body)


async def _ask(line: Line, request: Request) -> Reply:
    try:
        async with asyncio.timeout(PATIENCE):
            ((status, body),) = await line.ask(request.text("keep-alive"))
    except (OSError, EOFError, TimeoutError):
        return Reply(0, {})
    return Reply(status, json.loads(body))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan
