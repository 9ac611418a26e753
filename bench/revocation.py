"""How long after a revocation was answered the token is still accepted: two replicas on PostgreSQL, three guards.

    python -m bench.revocation [--count 1000]

Each guard is a process of its own, as a guarded service is. The replicas take turns in answering the revocation. Guards
and replicas are asked about the token in a close loop; what counts is the time from the 200 to the first refusal.
"""

import argparse
import asyncio
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

import httpx2

from bench.service import Bench, RunningService, generated_world, postgres_bench

GUARDS = 3
REPLICAS = 2
PAUSE = 0.0005
"""Seconds between two questions about one token."""

PATIENCE = 30.0
"""Seconds in which everyone must have refused."""

Delays = dict[str, list[float]]
"""Seconds from the answered revocation to the first refusal, by who refused; 0 for who refused before the answer."""


@dataclass(frozen=True, slots=True)
class Observer:
    """One guard in a process of its own: it is told a token, says when it accepts it, and when it refuses it."""

    process: "subprocess.Popen[str]"
    orders: IO[str]
    words: IO[str]

    @classmethod
    def start(cls, service: RunningService, api_key: str, guard_key: str) -> "Observer":
        command = (sys.executable, "-m", "bench.revocation_observer", service.url, api_key)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if process.stdin is None or process.stdout is None:
            raise TypeError("the process has no pipes")
        observer = cls(process, process.stdin, process.stdout)
        observer.tell(guard_key)
        observer.read()
        return observer

    def tell(self, line: str) -> None:
        self.orders.write(line + "\n")
        self.orders.flush()

    def read(self) -> str:
        line = self.words.readline().strip()
        if not line:
            raise RuntimeError("a guard's process has ended")
        return line

    def stop(self) -> None:
        self.orders.close()
        self.process.wait(30)
        self.words.close()


@dataclass(frozen=True, slots=True)
class Platform:
    replicas: Sequence[RunningService]
    observers: Sequence[Observer]
    api_key: str


def measure(bench: Bench, count: int) -> Delays:
    """The delays of `count` revocations. Raises when a token is not accepted before, or never refused after."""
    api_key, guard_key, tokens = asyncio.run(_prepare(bench, count))
    delays: Delays = {}
    with _platform(bench, api_key, guard_key) as platform, ThreadPoolExecutor(REPLICAS) as pool:
        for number, token in enumerate(tokens):
            for name, delay in _revoke(platform, pool, token, number % REPLICAS).items():
                delays.setdefault(name, []).append(delay)
    return delays


def percentile(found: Sequence[float], share: float) -> float:
    return sorted(found)[math.ceil(share * len(found)) - 1]


def table(delays: Delays) -> str:
    rows = [
        f"| {name} | {len(found)} | {statistics.median(found) * 1000:.1f} | {percentile(found, 0.99) * 1000:.1f} "
        f"| {max(found) * 1000:.1f} |"
        for name, found in delays.items()
    ]
    head = "| from the 200 of a revocation to the first refusal by | count | p50 ms | p99 ms | max ms |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])


async def _prepare(bench: Bench, count: int) -> tuple[str, str, list[str]]:
    async with generated_world(bench, users=count // 20 + 1) as world:
        sessions = await world.sessions(count)
        return world.api_key, world.guard_key, [tokens.access_token for tokens in sessions]


@contextmanager
def _platform(bench: Bench, api_key: str, guard_key: str) -> Iterator[Platform]:
    with ExitStack() as stack:
        replicas = [stack.enter_context(bench.start()) for _ in range(REPLICAS)]
        observers = []
        for number in range(GUARDS):
            observer = Observer.start(replicas[number % REPLICAS], api_key, guard_key)
            stack.callback(observer.stop)
            observers.append(observer)
        yield Platform(replicas, observers, api_key)


def _revoke(platform: Platform, pool: ThreadPoolExecutor, token: str, at: int) -> dict[str, float]:
    headers = {"Api-Key": platform.api_key, "Authorization": f"Bearer {token}"}
    for observer in platform.observers:
        observer.tell(token)
    for observer in platform.observers:
        observer.read()
    refusals = [pool.submit(_first_refusal, replica, headers) for replica in platform.replicas]
    answer = httpx2.post(f"{platform.replicas[at].url}/v1/api/oauth/token/revoke", headers=headers)
    revoked = time.monotonic()
    answer.raise_for_status()
    found = {f"guard {number + 1}": float(observer.read()) for number, observer in enumerate(platform.observers)}
    for number, refusal in enumerate(refusals):
        found["the replica that answered" if number == at else "the other replica"] = refusal.result()
    return {name: max(0.0, moment - revoked) for name, moment in found.items()}


def _first_refusal(replica: RunningService, headers: dict[str, str]) -> float:
    with httpx2.Client(headers=headers) as client:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if client.get(f"{replica.url}/v1/api/oauth/token/info").status_code == 401:
                return time.monotonic()
            time.sleep(PAUSE)
    raise RuntimeError("a replica has never refused the revoked token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    with postgres_bench() as bench:
        print(table(measure(bench, parser.parse_args().count)))


if __name__ == "__main__":
    main()
