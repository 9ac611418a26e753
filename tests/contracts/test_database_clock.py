"""On a server, time is the server's: processes on machines whose clocks disagree measure alike.

This is about one backend: an embedded file has no clock but its machine's.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from keybearer.server.domain.sessions import Moved, Repeated, SessionPolicy
from keybearer.server.ports import Storage
from keybearer.server.storage.postgres import PostgresStorage
from tests.support.backends import POLICY, PostgresBackend
from tests.support.databases import Databases
from tests.support.randomness import SeededRandomness
from tests.support.summary import note_backend
from tests.support.world import HOME, World

pytestmark = pytest.mark.postgres

SERVER_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class WithServerClock(PostgresBackend):
    """The backend with the clock that a storage has in service."""

    async def open(self, policy: SessionPolicy = POLICY) -> Storage:
        storage = PostgresStorage(self.database_url, policy, SeededRandomness())
        await storage.open()
        self._open.append(storage)
        return storage


@pytest.fixture
async def backend(request: pytest.FixtureRequest, postgres_databases: Databases) -> AsyncIterator[WithServerClock]:
    note_backend(request.node, postgres_databases.name, postgres_databases.version)
    database_url = postgres_databases.new().url
    backend = WithServerClock(database_url, await asyncpg.connect(database_url))
    yield backend
    await backend.close_all()
    postgres_databases.release()


@contextmanager
def process_clock(ahead: float) -> Iterator[None]:
    """This process's wall clock, `ahead` seconds ahead of the server's (which runs on this machine)."""
    wall, wall_ns = time.time, time.time_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: wall() + ahead)
        patch.setattr(time, "time_ns", lambda: wall_ns() + round(ahead * 1e9))
        yield


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
async def test_now_is_the_servers(world: World, backend: WithServerClock, ahead: float) -> None:
    with process_clock(ahead):
        before = await backend._connection.fetchval(SERVER_NOW)
        now = await world.storage.now()
        after = await backend._connection.fetchval(SERVER_NOW)
    assert before <= now <= after


async def test_instants_on_rows_are_the_servers(world: World, backend: WithServerClock) -> None:
    before = await backend._connection.fetchval(SERVER_NOW)
    with process_clock(3600):
        login = await world.log_in()
        moved = await login.move()
    after = await backend._connection.fetchval(SERVER_NOW)
    assert before <= login.grant.session.created_at <= moved.moved_at <= after


@pytest.mark.parametrize("ahead", [(-120, 120), (120, -120)])
async def test_two_processes_that_disagree_by_minutes_measure_the_same_window(
    world: World, backend: WithServerClock, ahead: tuple[float, float]
) -> None:
    """The window is 60 s: by the clocks of the processes the last move would be 4 minutes old, or in the future."""
    other = await backend.open()
    with process_clock(ahead[0]):
        login = await world.log_in()
        predecessor = login.token
        assert isinstance(await login.present(), Moved)
    with process_clock(ahead[1]):
        for token in (predecessor, login.token):
            assert isinstance(await other.sessions.refresh(login.presentation(token), HOME), Repeated)


async def test_the_clock_moves_within_a_process_too(world: World) -> None:
    first = await world.storage.now()
    while await world.storage.now() == first:
        pass
    assert await world.storage.now() > first
