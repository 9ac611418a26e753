"""A real browser's preflight, and refusals that its page can read: at the service and at every integration.

CORS is what the page of each in docs/integrations has. The proxy is in tests/examples/test_nginx_forward_auth.py.
"""

from pathlib import Path

import pytest

from tests.guard.integrations.browser import SAID, tell_from_a_page
from tests.guard.integrations.corpus import add_internal_key
from tests.guard.integrations.targets import TARGETS, Target, url_of
from tests.http.world import BASE, World

WITH_CORS = [target for target in TARGETS if target.has_routes]


async def test_the_service_itself(world: World) -> None:
    url = f"{url_of(world)}{BASE}/oauth/token/info"
    assert await tell_from_a_page(url, world.key, (await world.session())["accessToken"]) == SAID


@pytest.mark.parametrize("target", WITH_CORS, ids=lambda target: target.name)
async def test_an_integration(world: World, target: Target, tmp_path: Path) -> None:
    key = await add_internal_key(world, "guard")
    async with target.running(tmp_path / "page", url_of(world), key) as (host, port):
        url = f"http://{host}:{port}{target.path}"
        assert await tell_from_a_page(url, world.key, (await world.session())["accessToken"]) == SAID
