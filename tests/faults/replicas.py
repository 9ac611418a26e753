"""The replicas of the service: processes that are killed, kill themselves, and are started again."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults import launcher
from tests.faults.clocks import FURTHEST, TrueClock
from tests.faults.ground import Ground
from tests.faults.wire import ask_status
from tests.stage.processes import ROOT
from tests.support.ports import free_port

READY_WITHIN = 120.0
"""Seconds; a start takes about one, and a busy machine some more."""

LONGEST_LIFE = 15.0
"""Seconds from when it is ready until a replica is killed, if it has not died before."""

STEP_SHARE = 0.3
"""Of the starts, those with another time than the process before had."""

_PASSES = {
    launcher.AMID_BATCH: 25,
    launcher.AMID_STATEMENT: 600,
    launcher.BEFORE_COMMIT: 600,
    launcher.AFTER_COMMIT: 600,
    launcher.BEFORE_ANSWER: 600,
}
"""By which pass a process is dead at the latest; a transaction of several changes is rare."""


def send(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGKILL) -> None:
    """Its own way to send a signal asks the system first whether it has ended, and then nobody is told how."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


@dataclass(slots=True)
class Replica:
    """One process after another on one port, all with one clock. With `points` each dies at one of them by chance."""

    ground: Ground
    number: int
    counts: Counter[str]
    chance: Random
    points: Sequence[str] = ()
    clock: TrueClock = field(default_factory=TrueClock)
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None
    _killed: bool = False
    _ready: bool = False

    async def start(self, fate: str = "") -> None:
        """A new process; it does not answer yet."""
        ports = {"KEYBEARER_PORT": str(self.port), "KEYBEARER_METRICS_PORT": str(self.metrics_port)}
        environment = {**self.ground.environment, **self.clock.environment, **ports}
        if fate:
            environment[launcher.VARIABLE] = fate
        self._killed = self._ready = False
        self.clock.begin()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.launcher", "serve"),
                cwd=ROOT,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def wait_until_ready(self) -> None:
        """Raises TimeoutError, also when it has ended."""
        if not await self._becomes_ready():
            raise TimeoutError(f"replica {self.number} is not ready:\n{self._last_lines()}")

    async def _becomes_ready(self) -> bool:
        """False when it has ended, or takes too long."""
        deadline = time.monotonic() + READY_WITHIN
        while self.is_running and time.monotonic() < deadline:
            if await ask_status(self.port, "/health/ready") == 200:
                self._ready = True
                return True
            await asyncio.sleep(0.05)
        return False

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def wait(self) -> int:
        """Until it has ended by itself; its status."""
        assert self._process is not None
        status = await self._process.wait()
        self.clock.forget(self._process.pid)
        return status

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None and self.is_running:
            self._killed = True
            send(self._process, number)

    async def stop(self) -> None:
        self.kill()
        if self._process is not None:
            await self.wait()

    def step_clock(self) -> None:
        """Under the process that runs; one that is starting may have taken its time, or not."""
        if self.is_running and self._ready:
            self.clock.step(self._some_offset())
            self.counts["clocks of running replicas stepped"] += 1

    async def live(self) -> None:
        """Let what runs die, and start it again, until this is cancelled. Every end is counted by its cause."""
        fate = ""
        while True:
            await self._becomes_ready()
            try:
                async with asyncio.timeout(self.chance.uniform(0, LONGEST_LIFE)):
                    await self.wait()
            except TimeoutError:
                self.kill()
            self.counts[self._cause(fate, await self.wait())] += 1
            await asyncio.sleep(self.chance.uniform(0, 0.3))
            fate = self._next_fate()
            if self.chance.random() < STEP_SHARE:
                self.clock.step(self._some_offset())
                self.counts["replicas started with another time"] += 1
            await self.start(fate)

    def _some_offset(self) -> float:
        return self.chance.uniform(-FURTHEST, FURTHEST)

    def _next_fate(self) -> str:
        if not self.points:
            return ""
        point = self.chance.choice(self.points)
        return f"{point}:{self.chance.randint(1, _PASSES[point])}"

    def _cause(self, fate: str, status: int) -> str:
        if self._killed:
            return "killed at random"
        if status == -signal.SIGKILL and fate:
            return f"killed {fate.partition(':')[0]}"
        return "ended by itself"

    @property
    def _log(self) -> Path:
        return self.ground.home / f"replica-{self.number}.log"

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
