"""`make bench`: measure Keybearer alone, print the figures beside their floors, and compare with the last recorded run.

Every figure is the median of three rounds, and the rounds of all figures are interleaved: the machine is shared and
noisy.
`--record` writes bench/last.json and docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import client, guard, login_times, revocation
from bench.bare import bare_server
from bench.figures import Figures, machine
from bench.load import Load, run_wrk
from bench.service import PASSWORD, SERVER_CORE, Bench, RunningService, generated_world, postgres_bench, sqlite_bench
from keybearer.server.domain.audit import SERVICE
from keybearer.server.domain.users import UserStatus

ROUNDS = 3
LOAD_SECONDS = 4
REFRESH_SECONDS = 3
GENTLE_SECONDS = 2
INFO_BYTES = 620
"""Of the document of a token info, about."""
RECORD = Path(__file__).parent / "last.json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"
TOKENS = 1000
REFRESHES = 24_000
GENTLE_REFRESHES = 12_000
FRESH = 60_000
"""Access tokens that are seen for the first time in a round: more than can be asked about."""
USERS = 1500
"""A user has 100 sessions at most; a new one ends the oldest."""
REFUSALS = 60
REVOCATIONS = 1000
PAUSE = 2
"""Milliseconds between an answer and the next token info of a connection, on average, where the load is not full."""
REFRESH_PAUSE = 20
"""The same for refreshes."""

_OWN_HASH = """
from keybearer.server.adapters.passwords.schemes import hash_password
"""
_COMMON_HASH = """
from argon2 import PasswordHasher
hash_password = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash
"""
_RAW_HASHES = """
import time
end = time.perf_counter() + 3
count = 0
while time.perf_counter() < end:
    hash_password(b"correct horse battery")
    count += 1
print(count / 3)
"""


def main() -> int:
    arguments = _arguments()
    figures = Figures()
    refusals: dict[str, list[float]] = {}
    with sqlite_bench() as sqlite, postgres_bench() as postgres:
        key = {bench.name: asyncio.run(_prepare(bench)) for bench in (sqlite, postgres)}
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            _measure_start(figures, sqlite)
            _measure_info(figures, sqlite, key[sqlite.name])
            _measure_first_sight(figures, sqlite, key[sqlite.name], number)
            _measure_login(figures, sqlite, key[sqlite.name])
            _measure_refusals(figures, sqlite, key[sqlite.name], refusals)
            _measure_queue(figures, sqlite, key[sqlite.name])
            for bench, floor in ((sqlite, 4000), (postgres, 2000)):
                _measure_refresh(figures, bench, key[bench.name], floor, number)
            guard.measure(figures)
            client.measure(figures)
    with postgres_bench() as postgres:
        delays = revocation.measure(postgres, REVOCATIONS)
    slowest = max(revocation.percentile(found, 0.99) for found in delays.values())
    figures.add("revocation to refusal, p99 of the slowest", slowest * 1000, unit="ms", bound=100, at_least=False)
    table = "\n\n".join((figures.table(_last()), revocation.table(delays), login_times.table(refusals)))
    print(table)
    if arguments.record:
        RECORD.write_text(json.dumps({name: figure.value for name, figure in figures.all.items()}, indent=2) + "\n")
        DOCUMENT.write_text(_document(table))
    return 0 if all(figure.holds for figure in figures.all.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write bench/last.json and docs/benchmarks.md")
    return parser.parse_args()


async def _prepare(bench: Bench) -> str:
    """The users, and the access tokens for token info; answers the Api-Key."""
    async with generated_world(bench, users=USERS) as world:
        disabled = world.users.pop()
        sessions = await world.sessions(TOKENS)
        bench.write("access", [tokens.access_token for tokens in sessions])
        bench.write("users", [f"{user.email} {PASSWORD}" for user in world.users])
        bench.write("disabled", [disabled.email])
        for number in range(ROUNDS):
            refresh = await world.sessions(REFRESHES)
            bench.write(f"refresh{number}", [tokens.refresh_token for tokens in refresh])
            gentle = await world.sessions(GENTLE_REFRESHES)
            bench.write(f"gentle{number}", [tokens.refresh_token for tokens in gentle])
            fresh = (world.issuer.issue(sessions[turn % TOKENS].grant) for turn in range(FRESH))
            bench.write(f"fresh{number}", [tokens.access_token for tokens in fresh])
        await world.storage.users.set_status(disabled.id, UserStatus.DISABLED, SERVICE)
        return world.api_key


def _measure_start(figures: Figures, bench: Bench) -> None:
    with bench.start() as service:
        figures.add("start to first answer", service.seconds_to_first_answer, unit="s", bound=1, at_least=False)
        figures.add("memory at rest", service.memory() / 1e6, unit="MB", bound=100, at_least=False)


def _measure_info(figures: Figures, bench: Bench, api_key: str) -> None:
    """Token info with 1,000 distinct tokens in turn; then its p99 idle and while logins flood the hash queue.

    The p99 is that of clients who ask for 70 % of what the worker can do: when it can do no more, it tells how long the
    clients' queue is. Beside it stands the p99 under the same flood at full load, where the hashes' share of the core
    (nice 19: a hundredth, in slices of the kernel's tick) is felt by every hundredth request.
    """
    with bench.start() as service:
        load = _info(service, bench, api_key, connections=32)
        figures.add("token info", load.rate, unit="/s", bound=20_000, at_least=True)
        figures.add(
            "token info, to a bare protocol on uvloop", load.rate / _bare(bench), unit="x", bound=0.7, at_least=True
        )
        connections = round(0.7 * load.rate * (PAUSE + load.p50 / 32) / 1000)
        idle = _info(service, bench, api_key, connections=connections, pause=PAUSE)
        figures.add("token info at 70 % of capacity, p99", idle.p99, unit="ms", bound=5)
        under_flood = _info_under_flood(service, bench, api_key, connections=connections, pause=PAUSE)
        figures.add("the same under a login flood", under_flood.p99, unit="ms", bound=5)
        figures.add("the same under a login flood, to idle", under_flood.p99 / idle.p99, unit="x", bound=2)
        full = _info_under_flood(service, bench, api_key, connections=4)
        figures.add("token info at full load under a login flood, p99", full.p99, unit="ms")


def _bare(bench: Bench) -> float:
    """What the same requests get at most, with answers of the same size."""
    with bare_server(INFO_BYTES) as server:
        return run_wrk("info", server.url, bench.directory / "access", "", connections=32, seconds=LOAD_SECONDS).rate


def _measure_first_sight(figures: Figures, bench: Bench, api_key: str, number: int) -> None:
    """Token info of tokens that the process has not seen before, and what it holds when it has seen so many."""
    with bench.start() as service:
        load = _info(service, bench, api_key, connections=32, data=f"fresh{number}")
        if load.rate * LOAD_SECONDS > FRESH:
            raise RuntimeError("too few tokens: this run measures nothing")
        figures.add("token info, each token for the first time", load.rate, unit="/s")
        figures.add("memory with 20,000 remembered tokens", service.memory() / 1e6, unit="MB")


def _info_under_flood(service: RunningService, bench: Bench, api_key: str, *, connections: int, pause: int = 0) -> Load:
    with ThreadPoolExecutor() as pool:
        flood = pool.submit(_login, service, bench, api_key, 64, 8)
        load = _info(service, bench, api_key, connections=connections, pause=pause)
        flood.result()
    return load


def _measure_login(figures: Figures, bench: Bench, api_key: str) -> None:
    """Logins with one hashing thread, against raw hashes of the same cost on the same core just before and after: those
    of argon2-cffi, with which other Python services hash; and our own by libsodium, which take less, to tell what a
    login costs besides."""
    before = _raw_hashes(_COMMON_HASH), _raw_hashes(_OWN_HASH)
    with bench.start() as service:
        load = _login(service, bench, api_key, 8, 8)
    common, own = _raw_hashes(_COMMON_HASH) + before[0], _raw_hashes(_OWN_HASH) + before[1]
    figures.add("login", load.rate, unit="/s")
    figures.add("login, to raw hashes by argon2-cffi", 2 * load.rate / common, unit="x", bound=0.95, at_least=True)
    figures.add("login, to raw hashes by libsodium", 2 * load.rate / own, unit="x")


def _measure_refusals(figures: Figures, bench: Bench, api_key: str, refusals: dict[str, list[float]]) -> None:
    """The times of refused logins; `refusals` gathers them over the rounds."""
    usernames = {
        "unknown user": login_times.UNKNOWN,
        "wrong password": (bench.directory / "users").read_text().split(" ", 1)[0],
        "wrong password, disabled account": (bench.directory / "disabled").read_text().strip(),
    }
    with bench.start() as service:
        times = login_times.measure_refusals(service, api_key, usernames, REFUSALS)
    for cause, found in times.items():
        refusals.setdefault(cause, []).extend(found)
    figures.add(
        "refused login, slowest cause to fastest", login_times.spread(times), unit="x", bound=1.1, at_least=False
    )


def _measure_queue(figures: Figures, bench: Bench, api_key: str) -> None:
    """Memory with 500 logins waiting."""
    with bench.start() as service, ThreadPoolExecutor() as pool:
        flood = pool.submit(_login, service, bench, api_key, 500, 5)
        peak = 0
        while not flood.done():
            peak = max(peak, service.memory())
        figures.add("memory with 500 logins in the queue", peak / 1e6, unit="MB", bound=250, at_least=False)


def _measure_refresh(figures: Figures, bench: Bench, api_key: str, floor: float, number: int) -> None:
    """One refresh each of distinct sessions, durable; then the p99 of those who leave a part of the capacity unused."""
    name = f"refresh, {bench.name}"
    with bench.start() as service:
        load = _refresh(service, bench, api_key, f"refresh{number}", connections=64)
        # Of the time between two refreshes of a connection the answer takes about a fifth.
        connections = round(0.7 * load.rate * REFRESH_PAUSE * 1.2 / 1000)
        gentle = _refresh(service, bench, api_key, f"gentle{number}", connections=connections, pause=REFRESH_PAUSE)
    figures.add(name, load.rate, unit="/s", bound=floor, at_least=True)
    figures.add(f"{name}, p99", load.p99, unit="ms", bound=100, at_least=False)
    figures.add(f"{name}, at part of capacity", gentle.rate / load.rate, unit="x")
    figures.add(f"{name}, at part of capacity, p99", gentle.p99, unit="ms", bound=20)


def _refresh(
    service: RunningService, bench: Bench, api_key: str, data: str, *, connections: int, pause: int = 0
) -> Load:
    url, file = f"{service.url}/v1/api/oauth/token/refresh", bench.directory / data
    seconds = GENTLE_SECONDS if pause else REFRESH_SECONDS
    load = run_wrk("refresh", url, file, api_key, connections=connections, seconds=seconds, pause=pause)
    load.require_success()
    return load


def _info(
    service: RunningService, bench: Bench, api_key: str, *, connections: int, pause: int = 0, data: str = "access"
) -> Load:
    url, file = f"{service.url}/v1/api/oauth/token/info", bench.directory / data
    load = run_wrk("info", url, file, api_key, connections=connections, seconds=LOAD_SECONDS, pause=pause)
    load.require_success()
    return load


def _login(service: RunningService, bench: Bench, api_key: str, connections: int, seconds: int) -> Load:
    url = f"{service.url}/v1/api/oauth/token"
    return run_wrk("login", url, bench.directory / "users", api_key, connections=connections, seconds=seconds)


def _raw_hashes(hash_password: str) -> float:
    """Hashes a second by the function that the code makes."""
    command = ("taskset", "-c", str(SERVER_CORE), sys.executable, "-c", hash_password + _RAW_HASHES)
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _last() -> dict[str, float]:
    """The medians of the last recorded run, by name."""
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def _document(table: str) -> str:
    return f"""# Benchmarks

Written by `make bench-record`; `make bench` measures again and compares with this record.

The service runs as installed, one worker pinned to one core; `wrk` (one thread) and PostgreSQL share the other. SQLite
runs with `synchronous = FULL`, PostgreSQL with `fsync` and `synchronous_commit` on. Sessions are made by a generator;
each refresh is of another session; token info takes {TOKENS} tokens in turn. Each figure is the median of {ROUNDS}
rounds, with all figures interleaved. Logins are compared with raw hashes of the same cost on the same core, measured
before and after. "At 70 % of capacity" connections pause between their requests, {PAUSE} ms on average (refreshes "at
part of capacity": {REFRESH_PAUSE} ms), as clients do that know nothing of one another; everywhere else each asks again
as soon as it is answered.
The guard is measured in processes of its own; revocations once, with two replicas on PostgreSQL and three guards.
What the client adds to a request is measured before transports that answer without a network.

{machine()}

{table}
"""


if __name__ == "__main__":
    sys.exit(main())
