"""A database out of reach: every call says so, none hangs, and all goes on when it is back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from keybearer.errors import StorageUnavailable
from keybearer.server.domain.audit import SERVICE, AuditEvent, AuditKind
from keybearer.server.domain.sessions import Moved, Repeated
from tests.support.outages import STAGES, STAGES_WITHOUT_READING, Outage
from tests.support.summary import note_backend
from tests.support.world import HOME, World, answered, login_record

T = TypeVar("T")

HANG = 60
KEY = "an-idempotency-key-of-22"


@pytest.fixture(params=STAGES)
async def outage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outage]:
    async with STAGES[request.param](tmp_path) as outage, asyncio.timeout(HANG):
        note_backend(request.node, outage.world.backend.name)
        yield outage


@pytest.fixture(params=STAGES_WITHOUT_READING)
async def blackout(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outage]:
    async with STAGES_WITHOUT_READING[request.param](tmp_path) as outage, asyncio.timeout(HANG):
        note_backend(request.node, outage.world.backend.name)
        yield outage


async def test_changes_are_refused_during_an_outage_and_work_after_it(outage: Outage) -> None:
    login = await outage.world.log_in()
    outage.begin()
    with pytest.raises(StorageUnavailable):
        await login.present()
    with pytest.raises(StorageUnavailable):
        await login.end()
    with pytest.raises(StorageUnavailable):
        await outage.world.storage.audit.record(AuditEvent(AuditKind.LOGIN, SERVICE))
    outage.end()
    assert isinstance(await _eventually(login.present), Moved)


async def test_many_calls_at_once_are_all_answered(outage: Outage) -> None:
    login = await outage.world.log_in()
    outage.begin()
    presentation = login.presentation()
    calls = [outage.world.storage.sessions.refresh(presentation, HOME) for _ in range(30)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    outage.end()
    assert isinstance(await _eventually(login.present), Moved)


async def test_a_session_survives_an_outage_that_comes_in_the_middle_of_refreshes(outage: Outage) -> None:
    """It is unknown whether a refresh that failed has moved the chain: the same request is answered either way."""
    login = await outage.world.log_in()
    presentation = login.presentation(key=KEY)
    refresh = outage.world.storage.sessions.refresh
    calls = [asyncio.create_task(refresh(presentation, HOME)) for _ in range(20)]
    await asyncio.sleep(0.001)
    outage.begin()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    outage.end()
    last = await _eventually(lambda: refresh(presentation, HOME))
    tokens = {answered(outcome) for outcome in outcomes if not isinstance(outcome, BaseException)}
    assert tokens <= {answered(last)}
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)} <= {StorageUnavailable}


async def test_many_sessions_survive_an_outage_that_comes_in_the_middle_of_their_refreshes(outage: Outage) -> None:
    """Those that went together fail together; each caller has an error of its own."""
    user, application = await outage.world.user(), await outage.world.application()
    logins = [await outage.world.log_in(user, application) for _ in range(60)]
    calls = [asyncio.create_task(login.present(key=KEY)) for login in logins]
    await asyncio.sleep(0.001)
    outage.begin()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    outage.end()
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(failure) for failure in failures} <= {StorageUnavailable}
    assert len({id(failure) for failure in failures}) == len(failures)
    for login in logins:
        assert isinstance(await _eventually(partial(login.present, key=KEY)), Moved | Repeated)
        assert (await login.row()).place == 1


async def test_reading_says_so_too(blackout: Outage) -> None:
    storage = blackout.world.storage
    login = await blackout.world.log_in()
    snapshot = await storage.feed.snapshot()
    blackout.begin()
    for call in (
        storage.now(),
        storage.sessions.find(login.id),
        login_record(storage, login.user.email, b"place"),
        storage.feed.snapshot(),
        storage.feed.tail(snapshot.epoch, snapshot.position),
    ):
        with pytest.raises(StorageUnavailable):
            await call
    blackout.end()
    tail = await _eventually(lambda: storage.feed.tail(snapshot.epoch, snapshot.position))
    assert not tail.reset


async def test_a_storage_that_is_opened_during_an_outage_works_after_it(blackout: Outage) -> None:
    blackout.begin()
    storage = await blackout.world.backend.open()
    with pytest.raises(StorageUnavailable):
        await storage.now()
    blackout.end()
    assert await _eventually(storage.now)


async def test_a_closed_storage_says_so(world: World) -> None:
    await world.backend.close(world.storage)
    with pytest.raises(StorageUnavailable):
        await world.storage.now()
    with pytest.raises(StorageUnavailable):
        await world.storage.audit.record(AuditEvent(AuditKind.LOGIN, SERVICE))


async def test_closing_lets_what_is_under_way_finish(world: World) -> None:
    login = await world.log_in()
    call = asyncio.create_task(login.present())
    await asyncio.sleep(0)
    await world.storage.close()
    world.backend.forget(world.storage)
    assert isinstance(await call, Moved)


async def test_closing_twice_does_no_harm(world: World) -> None:
    await world.backend.close(world.storage)
    await world.storage.close()


async def _eventually(call: Callable[[], Awaitable[T]]) -> T:
    """The answer, once the database is back for good (a server is up a moment before it lets anybody in)."""
    while True:
        try:
            return await call()
        except StorageUnavailable:
            await asyncio.sleep(0.01)
