from collections.abc import AsyncIterator

import pytest

from tests.http.world import World, running
from tests.support.databases import Databases


@pytest.fixture
async def world(sqlite_databases: Databases) -> AsyncIterator[World]:
    """A real service. What is decided here does not depend on its database."""
    backend = await sqlite_databases.new().connect()
    async with running(backend) as world:
        yield world
    await backend.close_all()
    sqlite_databases.release()
