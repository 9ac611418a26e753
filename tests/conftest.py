"""Fixtures of all suites that need a database: each test has a fresh one, on each backend, and a clock of its own."""

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # `tests.support`, however pytest was called

from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.ports import Storage
from tests.support.backends import POLICY, Backend
from tests.support.clock import FakeClock
from tests.support.databases import Database, Databases, PostgresDatabases, SqliteDatabases
from tests.support.summary import note_backend
from tests.support.summary import pytest_terminal_summary as pytest_terminal_summary
from tests.support.world import OpenWorld, World


def pytest_configure() -> None:
    """A run in the background of a shell begins with SIGINT ignored, and so would every process that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    databases = SqliteDatabases(tmp_path_factory.mktemp("sqlite"))
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[Databases]:
    databases = PostgresDatabases()
    yield databases
    databases.close()


@pytest.fixture(
    params=[
        pytest.param("sqlite_databases", id="sqlite"),
        pytest.param("postgres_databases", id="postgresql", marks=pytest.mark.postgres),
    ]
)
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Each backend in turn. What a test takes from it is removed when the test ends."""
    databases: Databases = request.getfixturevalue(request.param)
    note_backend(request.node, databases.name, databases.version)
    yield databases
    databases.release()


@pytest.fixture
def database(databases: Databases) -> Database:
    """A migrated database without rows."""
    return databases.new()


@pytest.fixture
async def backend(database: Database) -> AsyncIterator[Backend]:
    """That database with what a test can do to it. In the end no connection may be checked out."""
    backend = await database.connect()
    yield backend
    await backend.close_all()


@pytest.fixture
def clock(backend: Backend) -> FakeClock:
    return backend.clock


@pytest.fixture
def open_world(backend: Backend) -> OpenWorld:
    async def open_world(policy: SessionPolicy = POLICY) -> World:
        return World(backend, await backend.open(policy), policy)

    return open_world


@pytest.fixture
async def world(open_world: OpenWorld) -> World:
    return await open_world()


@pytest.fixture
def storage(world: World) -> Storage:
    return world.storage
