"""One run: a service on a fresh database, clients, faults for a while, peace, and the verdict."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from tests.faults import launcher
from tests.faults.checker import Rules, Verdict, Watch, check
from tests.faults.clocks import SteppedClock
from tests.faults.front import Front
from tests.faults.ground import STALENESS, WINDOW, Backend, Ground, prepared
from tests.faults.history import Journal, Reader
from tests.faults.leavings import look_for_secrets
from tests.faults.operating import PASSWORD, Operator, attempt, operating
from tests.faults.orders import Orders
from tests.faults.replicas import Replica, send
from tests.stage.processes import ROOT
from tests.support.secret_scan import Report

RULES = Rules(WINDOW, STALENESS)

USERS = 10
PLAIN_PROCESSES = 2

DROP_SHARE = 0.05
"""Of the connections through the front, those that lose their answers."""

CUTS = 30
CUT_EVERY = 0.02
"""Seconds: most connections are there for a few milliseconds only."""

START_WITHIN = 300.0
"""Seconds in which every client must have logged in; on an idle machine it takes a few."""

SETTLE_WITHIN = 180.0
"""Seconds in which every client must have decided its last refresh once the faults are over."""

REPORT_EVERY = 3.0


@dataclass(frozen=True, slots=True)
class Load:
    """Sessions of each process of plain clients, and of the one process of stored ones."""

    plain: int = 50
    stored: int = 8


FULL = Load()


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run has come to so far; `left` is in seconds."""

    backend: Backend
    left: float
    refreshes: int
    kills: int
    drops: int
    lost: int
    branches: int


Show = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Result:
    """`faults` are counts by what was done; `missing` is what was acknowledged and not found afterwards."""

    backend: Backend
    seed: str
    seconds: float
    faults: dict[str, int]
    verdict: Verdict
    missing: list[str]
    undecided: int
    secrets: Report


@dataclass(slots=True)
class _ClientProcess:
    """A process of clients, and how it is started again."""

    module: str
    orders: Orders
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._tell(msgspec.json.encode(self.orders))

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            send(self.process)
            await self.process.wait()

    async def settle(self) -> bool:
        """Let every client decide its last refresh; False when one could not."""
        assert self.process is not None
        self._tell(b"over")
        try:
            async with asyncio.timeout(SETTLE_WITHIN):
                return await self.process.wait() == 0
        except TimeoutError:
            return False

    def _tell(self, line: bytes) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(line + b"\n")


@dataclass(slots=True)
class Trial:
    ground: Ground
    seed: str
    chance: Random
    front: Front
    replicas: list[Replica]
    operator: Operator
    clients: list[_ClientProcess]
    counts: Counter[str]
    reader: Reader
    watch: Watch = field(default_factory=Watch)

    async def run(self, seconds: float, show: Show) -> Result:
        """Faults for so long; then the service is left in peace, and every client must come to its end."""
        await self._start_replicas()
        for client in self.clients:
            await client.start()
        await self._wait_for_logins()
        self.front.drop_share = DROP_SHARE
        until = time.monotonic() + seconds
        async with _tasks(self._watch(until, show), *(replica.live() for replica in self.replicas)):
            await self._harm(until)
        return await self._end(seconds)

    async def _start_replicas(self) -> None:
        for replica in self.replicas:
            await replica.stop()
            await replica.start()
        for replica in self.replicas:
            await replica.wait_until_ready()

    async def _wait_for_logins(self) -> None:
        async with asyncio.timeout(START_WITHIN):
            while self.watch.logins < sum(client.orders.sessions for client in self.clients):
                await asyncio.sleep(0.2)
                self.watch.add(await asyncio.to_thread(self.reader.new))

    async def _end(self, seconds: float) -> Result:
        self.front.drop_share = 0.0
        await self._start_replicas()
        settled = await asyncio.gather(*(client.settle() for client in self.clients))
        self.counts["answers dropped after commit"] = self.front.dropped
        self.counts["connections of clients cut"] = self.front.cut
        return Result(
            backend=self.ground.backend,
            seed=self.seed,
            seconds=seconds,
            faults=dict(self.counts),
            verdict=await asyncio.to_thread(lambda: check(Reader(self.ground.histories).new(), RULES)),
            missing=await self.operator.missing(),
            undecided=settled.count(False),
            secrets=await look_for_secrets(self.ground, self.operator, self.replicas),
        )

    # --- what is done to it ------------------------------------------------------------------------------------------

    async def _harm(self, until: float) -> None:
        """One thing after another, by chance."""
        harms: list[tuple[int, Callable[[], object]]] = [
            (15, self._cut_clients),
            (6, self._disable_user),
            (12, self._make_user_and_key),
            (8, self._kill_stored_clients),
            (10, self._step_clock),
        ]
        if self.ground.server is not None:
            harms += [(8, self._crash_database), (15, self._cut_database)]
        weights, actions = zip(*harms, strict=True)
        while time.monotonic() < until:
            await asyncio.sleep(self.chance.uniform(0.3, 2))
            done = self.chance.choices(actions, weights)[0]()
            assert asyncio.iscoroutine(done)
            await done

    async def _cut_clients(self) -> None:
        for _ in range(CUTS):
            self.front.cut_all()
            await asyncio.sleep(CUT_EVERY)

    async def _disable_user(self) -> None:
        user = self.chance.choice(list(self.clients[0].orders.users))
        await self.operator.disable(user, self.chance.uniform(0, 0.5))
        self.counts["users disabled"] += 1

    async def _make_user_and_key(self) -> None:
        for work in (self.operator.make_user, self.operator.make_key):
            self.counts["users and keys made"] += await attempt(work)

    async def _kill_stored_clients(self) -> None:
        await self.clients[-1].kill()
        await self.clients[-1].start()
        self.counts["client processes killed"] += 1

    async def _step_clock(self) -> None:
        self.chance.choice(self.replicas).step_clock()

    async def _crash_database(self) -> None:
        self.counts["PostgreSQL killed"] += 1
        await self.ground.crash_database(self.chance.uniform(0, 1.5))

    async def _cut_database(self) -> None:
        self.counts["connections of PostgreSQL cut"] += await self.ground.cut_database()

    # --- what is shown -----------------------------------------------------------------------------------------------

    async def _watch(self, until: float, show: Show) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            self.watch.add(await asyncio.to_thread(self.reader.new))
            show(
                Progress(
                    backend=self.ground.backend,
                    left=max(0.0, until - time.monotonic()),
                    refreshes=self.watch.refreshes,
                    kills=sum(count for cause, count in self.counts.items() if "killed" in cause),
                    drops=self.front.dropped,
                    lost=self.watch.lost,
                    branches=self.watch.branches,
                )
            )


@asynccontextmanager
async def _tasks(*works: "asyncio._CoroutineLike[None]") -> AsyncIterator[None]:
    """These go on until the block ends; a failure of one of them ends it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` are those of the faults; start and end come to them. The same seed chooses the same faults. `keep` is
    where histories and logs stay."""

    backend: Backend
    seed: str
    seconds: float
    load: Load = FULL
    keep: Path | None = None


async def run_trial(plan: Plan, show: Show) -> Result:
    backend, seed, load = plan.backend, plan.seed, plan.load
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(prepared(backend, keep=plan.keep))
        operator = await stack.enter_async_context(operating(ground))
        api_key = await operator.make_application()
        users = dict([await operator.make_user() for _ in range(USERS)])
        chance, counts = Random(seed), Counter[str]()
        points = [point for point in launcher.POINTS if backend == "sqlite" or point != launcher.AMID_BATCH]
        replicas = [
            Replica(ground, number, counts, Random(f"{seed} replica {number}"), points, _make_clock(ground, number))
            for number in range(ground.replicas)
        ]
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        front = Front([replica.port for replica in replicas], Random(f"{seed} front"))
        await stack.enter_async_context(front.listening())
        orders = Orders(
            seed=f"{seed} clients",
            directory=str(ground.home),
            histories=str(ground.histories),
            handed_out=str(ground.handed_out),
            api_key=api_key,
            password=PASSWORD,
            users=users,
            front=front.port,
            ports=tuple(replica.port for replica in replicas),
            window=WINDOW,
            sessions=load.plain,
        )
        clients = _client_processes(orders, load.stored, ground.home)
        for client in clients:
            stack.push_async_callback(client.kill)
        trial = Trial(ground, seed, chance, front, replicas, operator, clients, counts, Reader(ground.histories))
        return await trial.run(plan.seconds, show)


def _make_clock(ground: Ground, number: int) -> SteppedClock:
    """Of a replica. Ages are measured by it where the storage has no other, as SQLite has none."""
    own = ground.server is None
    journal = Journal(ground.histories / f"clock-{number}.jsonl") if own else None
    return SteppedClock(ground.home / f"clock-{number}", journal)


def _client_processes(orders: Orders, stored: int, home: Path) -> list[_ClientProcess]:
    """The stored ones last."""
    plain = [
        _ClientProcess(
            "tests.faults.plain_clients",
            msgspec.structs.replace(orders, seed=f"{orders.seed} {number}"),
            home / f"plain-{number}.log",
        )
        for number in range(PLAIN_PROCESSES)
    ]
    keeping = msgspec.structs.replace(orders, sessions=stored)
    return [*plain, _ClientProcess("tests.faults.stored_clients", keeping, home / "stored.log")]
