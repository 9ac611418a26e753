"""A service under one flood after another: what its memory, its tables and its users come to."""

import asyncio
import json
import resource
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Self

import asyncpg
import msgspec
import psutil

from tests.faults import calls
from tests.faults.calls import Held
from tests.faults.floods import FloodOrders
from tests.faults.ground import Ground
from tests.faults.operating import PASSWORD
from tests.faults.pulse import HOT, KINDS, Kind, Pulse, at_home
from tests.faults.scene import Scene
from tests.stage.processes import ROOT

SETTINGS = {
    "KEYBEARER_ACCESS_TOKEN_LIFETIME": "900",
    "KEYBEARER_REFRESH_RETRY_WINDOW": "60",
    "KEYBEARER_MAX_STALENESS": "60",
    "KEYBEARER_LOG_LEVEL": "info",
    "KEYBEARER_HASH_PER_ADDRESS_LIMIT": "32",
    "KEYBEARER_LIMIT_NAME_KNOWN": "10",
    "KEYBEARER_LIMIT_NAME_UNKNOWN": "30",
    "KEYBEARER_LIMIT_ADDRESS": "100",
    "KEYBEARER_LIMIT_NETWORK": "1000",
    "KEYBEARER_LIMIT_APPLICATION": "1000",
    "KEYBEARER_TRUSTED_PROXIES": "127.0.0.1",
}
"""What the service has by default; and a proxy, which names the address that each request comes from."""

SAMPLE_EVERY = 0.1
WINDOW = 1.0
"""Seconds of which the slowest request in a hundred is taken, when it is asked whether all is as before."""
LONGEST_RECOVERY = 30.0
"""Seconds after a flood in which it is looked for the first second that is as in peace."""


@dataclass(slots=True)
class Figures:
    """One flood. Times in seconds, memory in bytes; `idle` and `during` are the p99 by what was asked. Of `asked`
    requests of those who use the service `wrong` were not answered as they should be; `attempts` are rows."""

    kind: str
    size: int
    seconds: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    memory_before: int = 0
    memory_peak: int = 0
    memory_after: int = 0
    idle: dict[Kind, float] = field(default_factory=dict)
    during: dict[Kind, float] = field(default_factory=dict)
    recovery: float = 0.0
    asked: int = 0
    wrong: int = 0
    attempts: int = 0

    @property
    def growth(self) -> int:
        return self.memory_peak - self.memory_before


@dataclass(slots=True)
class Flooded:
    """`held` are good tokens, to make false ones of; `idle` is the p99 in peace, in seconds, by what is asked."""

    scene: Scene
    held: Held
    idle: dict[Kind, float]
    longest_recovery: float = LONGEST_RECOVERY

    @classmethod
    async def of(cls, scene: Scene, *, rest: float, longest_recovery: float = LONGEST_RECOVERY) -> Self:
        """Whoever uses the service has logged in from home before. It is measured in peace for so many seconds."""
        request = at_home(calls.log_in(scene.api_key, scene.username, PASSWORD))
        reply = await scene.ask(request)
        assert reply is not None and reply.status == 200, reply
        pulse = Pulse(scene)
        async with pulse.beating():
            await asyncio.sleep(rest)
        return cls(scene, Held.of(reply), pulse.slowest(KINDS), longest_recovery)

    async def flood(self, kind: str, size: int, seconds: float = 120.0) -> Figures:
        """One flood from its beginning until the service answers as in peace, or is given up to do so."""
        pulse, memory = Pulse(self.scene), Memory(psutil.Process(self.scene.replicas[0].pid))
        figures = Figures(kind, size, memory_before=memory.now(), idle=dict(self.idle))
        async with pulse.beating(), memory.watched():
            began = time.monotonic()
            figures.answers = await self._pour(kind, size, seconds)
            ended = time.monotonic()
            figures.seconds = ended - began
            figures.during = pulse.slowest(KINDS, began, ended)
            figures.recovery = await self._recover(pulse, ended)
        figures.memory_peak, figures.memory_after = memory.peak, memory.now()
        figures.asked, figures.wrong = len(pulse.beats), len(pulse.wrong())
        figures.attempts = await count_rows(self.scene.ground, "attempt")
        return figures

    async def _pour(self, kind: str, size: int, seconds: float) -> dict[str, int]:
        """What the flood was answered."""
        port, api_key = self.scene.replicas[0].port, self.scene.api_key
        orders = FloodOrders(kind, port, size, api_key, self.held.access_token, self.held.refresh_token, seconds)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.floods"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            out, _ = await process.communicate(msgspec.json.encode(orders) + b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0
        answers: dict[str, int] = json.loads(out)
        return answers

    async def _recover(self, pulse: Pulse, ended: float) -> float:
        """Seconds from the end of the flood until the slowest requests of a second take twice as long as in peace, at
        most."""
        while (now := time.monotonic()) < ended + self.longest_recovery:
            since = now - WINDOW
            slowest = pulse.slowest(HOT, since, now)
            if since >= ended and all(slowest[kind] <= 2 * self.idle[kind] for kind in HOT):
                return since - ended
            await asyncio.sleep(SAMPLE_EVERY)
        return self.longest_recovery


@dataclass(slots=True)
class Memory:
    """Of one process: what it holds, in bytes."""

    process: psutil.Process
    peak: int = 0

    def now(self) -> int:
        held: int = self.process.memory_info().rss
        return held

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self.now())
            await asyncio.sleep(SAMPLE_EVERY)


async def count_rows(ground: Ground, table: str) -> int:
    """Whatever the service thinks of them."""
    if ground.server is not None:
        connection = await asyncpg.connect(ground.server.url())
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
        finally:
            await connection.close()
    path = ground.environment["KEYBEARER_DATABASE"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as file:
        (count,) = file.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


def allow_connections() -> None:
    """As many open files as this user may have, for this process and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
