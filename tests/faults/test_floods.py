"""Floods from one machine: the service's memory is bounded, nobody who uses it notices more than a delay, and nothing
of a flood stays.

`make floods` makes them larger, and measures the delays.
"""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.faults import launcher
from tests.faults.flooded import SETTINGS, Figures, Flooded, allow_connections, count_rows
from tests.faults.ground import Backend, prepared
from tests.faults.scene import WITHIN, opened
from tests.support.summary import note_backend

MOST_GROWTH = 256 << 20
"""Bytes by which the process may grow: thousands of connections, each with a request, take most of it."""

QUIET = {
    **SETTINGS,
    "KEYBEARER_HASH_THREADS": str(len(os.sched_getaffinity(0))),
    "KEYBEARER_LIMIT_PERIOD": "5",
    launcher.UPKEEP: "1",
}
"""What a flood leaves in the limiter is worth nothing after seconds, and is then removed."""

SLOW_SECONDS = 35.0
"""More than the service gives a head (15 s) and a body (10 s, and what comes of it later 15 s more)."""

FEW_FILES = 256

ANSWERED = {
    "keys": {"403"},
    "access tokens": {"401"},
    "refresh tokens": {"401"},
    "usernames": {"401", "429", "503"},
    "large bodies": {"413", "none"},
    "logins": {"401", "429", "503"},
}
"""What a flood may be answered."""

FLOODS = {
    "sqlite": {
        "keys": 4_000,
        "access tokens": 2_000,
        "refresh tokens": 2_000,
        "usernames": 800,
        "large bodies": 40,
        "logins": 2_000,
    },
    "postgresql": {"usernames": 500, "logins": 1_500},
}
"""How large, on each backend. PostgreSQL's has those that the database sees."""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def test_a_flood_is_borne_and_leaves_nothing(backend: Backend, request: pytest.FixtureRequest) -> None:
    note_backend(request.node, backend)
    allow_connections()
    with prepared(backend, replicas=1, settings=QUIET) as ground:
        async with opened(ground) as scene:
            flooded = await Flooded.of(scene, rest=1, longest_recovery=1.5)
            process = psutil.Process(scene.replicas[0].pid)
            before = process.memory_info().rss
            for kind, size in FLOODS[backend].items():
                figures = await flooded.flood(kind, size)
                check(figures, ANSWERED[kind])
                assert figures.memory_peak - before < MOST_GROWTH, figures
            await until_gone(flooded, process)
            assert process.memory_info().rss - before < MOST_GROWTH


@pytest.mark.slow
async def test_slow_and_idle_connections_shut_nobody_out() -> None:
    """The service was started where a process may have few files open, and strangers hold more connections."""
    with few_files(), prepared("sqlite", replicas=1, settings=QUIET) as ground:
        async with opened(ground) as scene:
            allow_connections()
            flooded = await Flooded.of(scene, rest=1, longest_recovery=1.5)
            size = 6 * FEW_FILES
            figures = await flooded.flood("slow clients", size, SLOW_SECONDS)
            check(figures, {"none", "400", "left"})
            assert figures.answers["400"] == size // 3  # the bodies that came too slowly
            assert figures.answers["left"] <= size // 6  # who has made a request may stay longer
            assert figures.growth < MOST_GROWTH
            await until_gone(flooded, psutil.Process(scene.replicas[0].pid))


def check(figures: Figures, expected: set[str]) -> None:
    assert sum(figures.answers.values()) == figures.size, figures
    assert figures.answers.keys() <= expected, figures
    assert figures.asked > 0 and figures.wrong == 0, figures


async def until_gone(flooded: Flooded, process: psutil.Process) -> None:
    """No connection and no row of the limiter is left of it."""
    async with asyncio.timeout(WITHIN):
        while any(connection.status == psutil.CONN_ESTABLISHED for connection in process.net_connections("tcp")):
            await asyncio.sleep(0.1)
        while await count_rows(flooded.scene.ground, "attempt") > 0:
            await asyncio.sleep(0.1)


@contextmanager
def few_files() -> Iterator[None]:
    """For what is started meanwhile."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_FILES, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
