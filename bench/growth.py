"""`make bench-growth`: the service with ten thousand, a million and ten million sessions in its tables, and with a
million entries in the feed. `--record` writes docs/growth.md; `--sizes 10000 1000000` leaves the largest out.

All databases are made first; then each has a turn in every round. The sessions that are refreshed lie everywhere among
the others.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.figures import Figures, machine
from bench.filling import SESSIONS_OF_A_USER, SPAN, fill_feed, fill_sessions, fill_users, run_sql
from bench.load import Load, run_wrk
from bench.service import PASSWORD, Bench, RunningService, generated_world, postgres_bench, sqlite_bench
from keybearer.server.adapters.passwords.schemes import hash_password
from keybearer.server.app import open_storage
from keybearer.server.flows.upkeep import BATCH
from keybearer.server.settings import load_settings

ROUNDS = 3
SIZES = (10_000, 1_000_000, 10_000_000)
ENTRIES = 1_000_000
TOKENS = 1000
REFRESHES = 15_000
SECONDS = 2
RECORD = Path(__file__).parent.parent / "docs" / "growth.md"

_BYTES = {
    "SQLite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "PostgreSQL": "SELECT pg_total_relation_size('session')",
}
_SETTLE = {
    "SQLite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "PostgreSQL": ("VACUUM (ANALYZE)", "CHECKPOINT"),
}


@dataclass(frozen=True, slots=True)
class Grown:
    """A database with `sessions` in it besides those that are measured."""

    bench: Bench
    sessions: int
    api_key: str
    bytes_a_session: float

    @property
    def name(self) -> str:
        return f"{self.bench.name}, {self.sessions:,} sessions"


Opened = Callable[[], AbstractContextManager[Bench]]

_BENCHES: tuple[Opened, ...] = (sqlite_bench, postgres_bench)


def main() -> int:
    arguments = _arguments()
    figures = Figures()
    with ExitStack() as stack:
        grown = [
            asyncio.run(_grow(stack.enter_context(opened()), size)) for size in arguments.sizes for opened in _BENCHES
        ]
        for one in grown:
            figures.add(f"bytes a session, {one.name}", one.bytes_a_session, unit="B", bound=_bound_of_bytes(one))
        for number in range(ROUNDS):
            rates: dict[str, float] = {}
            for one in grown:
                print(f"round {number + 1} of {ROUNDS}: {one.name}", flush=True)
                _measure(figures, one, number, rates)
        for one in grown:
            asyncio.run(_measure_removal(figures, one))
    for opened in _BENCHES:
        with opened() as bench:
            _measure_feed(figures, bench, asyncio.run(_lengthen_feed(bench)))
    table = figures.table({})
    print(table)
    if arguments.record:
        RECORD.write_text(_document(table))
    return 0 if all(figure.holds for figure in figures.all.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write docs/growth.md")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="sessions in the tables")
    return parser.parse_args()


async def _grow(bench: Bench, size: int) -> Grown:
    """Fills a database, and makes in it the sessions that are measured."""
    print(f"filling {bench.name} with {size:,} sessions", flush=True)
    async with generated_world(bench, users=1) as world:
        now = await world.storage.now()
        ids = await fill_users(bench.database, size // SESSIONS_OF_A_USER, hash_password(PASSWORD.encode()), now)
        await run_sql(bench.database, *_SETTLE[bench.name])
        before = await _bytes(bench)
        await fill_sessions(bench.database, size, ids, world.application.id, now, expired=_expired(size))
        await run_sql(bench.database, *_SETTLE[bench.name])
        bytes_a_session = (await _bytes(bench) - before) / size
        measured = await world.sessions(TOKENS + ROUNDS * REFRESHES, of=ids, within=SPAN)
    bench.write("access", [tokens.access_token for tokens in measured[:TOKENS]])
    for number in range(ROUNDS):
        first = TOKENS + number * REFRESHES
        bench.write(f"refresh{number}", [tokens.refresh_token for tokens in measured[first : first + REFRESHES]])
    await run_sql(bench.database, *_SETTLE[bench.name])
    return Grown(bench, size, world.api_key, bytes_a_session)


def _expired(size: int) -> int:
    return min(size // 10, 100_000)


async def _bytes(bench: Bench) -> int:
    ((size,),) = await run_sql(bench.database, _BYTES[bench.name])
    return int(size)


def _bound_of_bytes(grown: Grown) -> int | None:
    return 400 if grown.bench.name == "PostgreSQL" else None


def _measure(figures: Figures, grown: Grown, number: int, rates: dict[str, float]) -> None:
    """One round. `rates` has the refreshes of this round, by backend those of its smallest tables."""
    _read_all(grown.bench.files)
    with grown.bench.start() as service:
        figures.add(f"start to first answer, {grown.name}", service.seconds_to_first_answer, unit="s", bound=1)
        info = _load(service, grown, "info", "access", connections=32)
        figures.add(f"token info, {grown.name}", info.rate, unit="/s")
        figures.add(f"token info, p99, {grown.name}", info.p99, unit="ms")
        refresh = _load(service, grown, "refresh", f"refresh{number}", connections=64)
        figures.add(f"refresh, {grown.name}", refresh.rate, unit="/s")
        figures.add(f"refresh, p99, {grown.name}", refresh.p99, unit="ms", bound=100)
        smallest = rates.setdefault(grown.bench.name, refresh.rate)
        if smallest != refresh.rate:
            ratio = refresh.rate / smallest
            figures.add(f"refresh, {grown.name}, to the smallest", ratio, unit="x", bound=0.85, at_least=True)


def _read_all(files: Path) -> None:
    """Have the files in the memory of the machine, as a service that runs for long has them: some machines give it back
    while other databases are filled, and the disk would be measured then."""
    for path in filter(Path.is_file, files.rglob("*")):
        with suppress(FileNotFoundError), path.open("rb") as file:  # PostgreSQL removes some meanwhile
            while file.read(1 << 20):
                pass


def _load(service: RunningService, grown: Grown, script: str, data: str, *, connections: int) -> Load:
    url = f"{service.url}/v1/api/oauth/token/{script}"
    file = grown.bench.directory / data
    load = run_wrk(script, url, file, grown.api_key, connections=connections, seconds=SECONDS)
    load.require_success()
    return load


async def _measure_removal(figures: Figures, grown: Grown) -> None:
    """What upkeep does about sessions that are past their limit; its batches come one after another."""
    async with open_storage(load_settings(grown.bench.environment)) as storage:
        started, removed = time.perf_counter(), 0
        while (batch := await storage.remove_expired(limit=BATCH, audit_before=0)).total:
            removed += batch.total
        seconds = time.perf_counter() - started
    if removed < _expired(grown.sessions):
        raise RuntimeError(f"{removed} sessions were removed: this run measures nothing")
    figures.add(f"removal of expired sessions, {grown.name}", removed / seconds, unit="/s")


async def _lengthen_feed(bench: Bench) -> str:
    """The Api-Key of a guard, after the feed was given its entries."""
    async with generated_world(bench, users=1) as world:
        await fill_feed(bench.database, ENTRIES, await world.storage.now())
    await run_sql(bench.database, *_SETTLE[bench.name])
    return world.guard_key


def _measure_feed(figures: Figures, bench: Bench, guard_key: str) -> None:
    """A service with a long feed, and a guard's first snapshot of it."""
    name = f"{bench.name}, {ENTRIES:,} entries in the feed"
    for _ in range(ROUNDS):
        with bench.start() as service:
            figures.add(f"start to first answer, {name}", service.seconds_to_first_answer, unit="s")
            figures.add(f"memory at rest, {name}", service.memory() / 1e6, unit="MB")
            started = time.perf_counter()
            answer = httpx2.get(f"{service.url}/v1/api/feed/snapshot", headers={"Api-Key": guard_key}, timeout=120)
            answer.raise_for_status()
            figures.add(f"snapshot, {name}", time.perf_counter() - started, unit="s")
            figures.add(f"size of the snapshot, {name}", len(answer.content) / 1e6, unit="MB")


def _document(table: str) -> str:
    return f"""# Growth

Written by `make bench-growth ARGS=--record`: what becomes of the figures when the tables grow.

Each size has databases of its own, made first; then each has a turn in each of {ROUNDS} rounds. A user has
{SESSIONS_OF_A_USER} sessions. Those that are refreshed lie evenly among the others. The rest is as in
[benchmarks](benchmarks.md): one worker on one core, `wrk` and PostgreSQL on the other, everything durable. The bytes of
a session are those of its row and of all indexes of the table, as they are after a refresh with an Idempotency-Key by
an agent with a name of 101 characters; on SQLite those of the file. All files are read once before each round: a
machine with enough memory has them there.

{machine()}

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
