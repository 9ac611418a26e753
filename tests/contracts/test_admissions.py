"""Logins that wait for one another on a server: they leave connections to everybody else, and do not wait for ever.

This is about one backend: an embedded file has one writer, and its admissions are the shortest that it does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import asyncpg
import pytest

from keybearer.errors import Overloaded
from keybearer.server.domain.attempts import Admission, Admitted, Allowance, Attempt, Charge
from keybearer.server.domain.sessions import Moved
from keybearer.server.storage import postgres
from tests.support.backends import PostgresBackend
from tests.support.databases import Databases
from tests.support.summary import note_backend
from tests.support.world import World

pytestmark = pytest.mark.postgres

HANG = 60
POOL = 10
BUCKET = bytes(32)
HOME_HASH = sha256(b"place").digest()
"""The place from which `World.log_in` comes."""

ATTEMPT = Attempt(Charge(BUCKET, Allowance(1000)), (), ())


@pytest.fixture
async def backend(request: pytest.FixtureRequest, postgres_databases: Databases) -> AsyncIterator[PostgresBackend]:
    note_backend(request.node, postgres_databases.name, postgres_databases.version)
    backend = await PostgresBackend.connect(postgres_databases.new().url)
    yield backend
    await backend.close_all()
    postgres_databases.release()


@asynccontextmanager
async def bucket_held(url: str) -> AsyncIterator[None]:
    """For the block: who charges the application's bucket waits."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM attempt WHERE key = $1 FOR UPDATE", BUCKET)
            yield
    finally:
        await connection.close()


async def admit(world: World) -> Admission:
    return await world.storage.attempts.admit("nobody@example.com", bytes(32), lambda _: ATTEMPT)


@asynccontextmanager
async def logins_that_wait(world: World, backend: PostgresBackend) -> AsyncIterator[None]:
    """During the block more than there are connections wait to be charged; after it they all are."""
    await admit(world)
    async with bucket_held(backend.database_url), asyncio.timeout(HANG):
        admissions = [asyncio.create_task(admit(world)) for _ in range(3 * POOL)]
        await asyncio.sleep(0.1)
        yield
        assert not any(admission.done() for admission in admissions)
    async with asyncio.timeout(HANG):
        assert {admission.outcome for admission in await asyncio.gather(*admissions)} == {Admitted()}


async def test_logins_that_wait_leave_connections_to_refreshes(world: World, backend: PostgresBackend) -> None:
    login = await world.log_in()
    async with logins_that_wait(world, backend):
        assert isinstance(await login.present(), Moved)


async def test_who_is_only_looked_up_waits_for_no_admission(world: World, backend: PostgresBackend) -> None:
    login = await world.log_in()
    look_up = world.storage.attempts.find_at_home
    async with logins_that_wait(world, backend):
        found = await asyncio.gather(*(look_up(login.user.email, HOME_HASH) for _ in range(3 * POOL)))
        assert found == [login.user.id] * 3 * POOL


async def test_look_ups_leave_connections_to_refreshes(world: World, backend: PostgresBackend) -> None:
    """Those who hang (a table is locked) share a few of them, and are all answered in the end."""
    login = await world.log_in()
    look_up = world.storage.attempts.find_at_home
    connection = await asyncpg.connect(backend.database_url)
    try:
        async with asyncio.timeout(HANG):
            async with connection.transaction():
                await connection.execute("LOCK TABLE identifier IN ACCESS EXCLUSIVE MODE")
                asking = [asyncio.create_task(look_up(login.user.email, HOME_HASH)) for _ in range(10 * POOL)]
                asking += [asyncio.create_task(look_up("who@example.com", HOME_HASH)) for _ in range(10 * POOL)]
                await asyncio.sleep(0.1)
                assert isinstance(await login.present(), Moved)
                assert not any(task.done() for task in asking)
            assert await asyncio.gather(*asking) == [login.user.id] * 10 * POOL + [None] * 10 * POOL
    finally:
        await connection.close()


async def test_who_waits_too_long_behind_other_logins_is_refused(
    world: World, backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ADMISSION_TIMEOUT", 0.2)
    await admit(world)
    async with bucket_held(backend.database_url), asyncio.timeout(HANG):
        admissions = [asyncio.create_task(admit(world)) for _ in range(POOL)]
        while sum(admission.done() for admission in admissions) < POOL // 2:
            await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(*admissions, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(Overloaded) == POOL // 2
    assert [type(outcome) for outcome in outcomes].count(Admission) == POOL // 2
