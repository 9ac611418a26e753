from collections.abc import AsyncIterator

import pytest

from tests.http.world import World, running
from tests.support.backends import Backend


@pytest.fixture
async def world(backend: Backend) -> AsyncIterator[World]:
    async with running(backend) as world:
        yield world
