"""A database out of reach, over HTTP: 503 with `Retry-After`, readiness says so, and all goes on when it is back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.world import World, attributes, code_of, running
from tests.support.outages import STAGES_WITHOUT_READING, Outage
from tests.support.summary import note_backend

HANG = 60


@pytest.fixture(params=STAGES_WITHOUT_READING)
async def outage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outage]:
    async with STAGES_WITHOUT_READING[request.param](tmp_path) as outage, asyncio.timeout(HANG):
        note_backend(request.node, outage.world.backend.name)
        yield outage


async def test_service_is_refused_during_an_outage_and_resumes_by_itself(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(outage.world.backend) as world:
        session = await world.session()
        outage.begin()
        for answer in (await world.refresh(session["refreshToken"]), await world.log_in()):
            assert code_of(answer) == (503, "storage_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
        assert world.service.edge.turns.credit("127.0.0.1") == 1  # nobody is a stranger for what the service cannot do
        assert (await world.info(session["accessToken"])).status_code == 200

        let_process_age(world, monkeypatch, 6)
        assert (await _ready(world)) == 503
        assert (await world.info(session["accessToken"])).status_code == 200
        let_process_age(world, monkeypatch, 61)
        assert code_of(await world.info(session["accessToken"])) == (503, "storage_unavailable")

        outage.end()
        while await _ready(world) != 200:
            await asyncio.sleep(0.05)
        refreshed = attributes(await world.refresh(session["refreshToken"]))
        assert (await world.info(refreshed["accessToken"])).status_code == 200


def let_process_age(world: World, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Let time pass for the process alone: the clock cannot be told to a database that is out of reach."""
    monkeypatch.setattr(world.clock, "_now", world.clock.now() + seconds * 1000)


async def _ready(world: World) -> int:
    return (await world.request("GET", "/health/ready", key=None)).status_code
