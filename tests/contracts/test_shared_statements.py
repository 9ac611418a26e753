"""On a server, refreshes that come while others are under way share a statement, and wait for nobody's locks but alone.

This is about one backend: an embedded file has one writer, whose transactions the other tests see.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest import mock

import asyncpg
import pytest

from keybearer.credentials.refresh_token import PresentedToken, make_binder
from keybearer.errors import StorageUnavailable
from keybearer.server.domain.sessions import Moved, RefreshOutcome, RefreshRefused, Repeated
from keybearer.server.storage import batching, postgres, schema
from tests.support.backends import POLICY, Backend, PostgresBackend
from tests.support.clock import FakeClock
from tests.support.databases import Databases, create_clock
from tests.support.outages import PATIENCE
from tests.support.postgres import TemporaryServer
from tests.support.raw_sql import fetch
from tests.support.summary import note_backend
from tests.support.world import HOME, Login, World

pytestmark = pytest.mark.postgres

W = POLICY.refresh_retry_window
HANG = 60
CONNECTIONS = 10
"""Of the storage, all in all."""
ENOUGH = batching.MAX_UNDER_WAY
"""When so many refreshes are under way, who comes waits for the next statement."""

LOCK_ALL = "LOCK TABLE session IN ACCESS EXCLUSIVE MODE"
LOCK_SOME = "SELECT 1 FROM session WHERE id = ANY($1) FOR UPDATE"
LOCK_FEED = "SELECT 1 FROM feed FOR UPDATE"
BLOCKED = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'keybearer' AND wait_event_type = 'Lock'"""
MOVES = "SELECT count(DISTINCT xmin::text) FROM session"
"""By how many transactions the rows were written last."""


@pytest.fixture
async def backend(request: pytest.FixtureRequest, postgres_databases: Databases) -> AsyncIterator[Backend]:
    note_backend(request.node, postgres_databases.name, postgres_databases.version)
    backend = await postgres_databases.new().connect()
    yield backend
    await backend.close_all()
    postgres_databases.release()


@pytest.fixture(autouse=True)
def slow_machine() -> Iterator[None]:
    """Nothing is given up because it takes its time, unless that is what a test is about."""
    with (
        mock.patch.object(postgres, "CONNECT_TIMEOUT", 2 * HANG),
        mock.patch.object(postgres, "STATEMENT_TIMEOUT", 2 * HANG),
        mock.patch.object(batching, "SLOW", 2 * HANG),
    ):
        yield


@asynccontextmanager
async def held(world: World, sql: str, *args: object) -> AsyncIterator[None]:
    """Another transaction has the locks of this statement for the block."""
    connection = await asyncpg.connect(world.backend.database_url)
    try:
        async with connection.transaction(), asyncio.timeout(HANG):
            await connection.fetch(sql, *args)
            yield
    finally:
        await connection.close()


async def until_blocked(world: World, count: int = 1) -> None:
    """Until so many statements of the storage, or more, wait for a lock."""
    async with asyncio.timeout(HANG):
        while await blocked(world) < count:
            await asyncio.sleep(0.01)


async def until_none_is_blocked(world: World) -> None:
    async with asyncio.timeout(HANG):
        while await blocked(world):
            await asyncio.sleep(0.01)


async def blocked(world: World) -> int:
    ((count,),) = await fetch(world.backend.database_url, BLOCKED)
    return int(count)


async def logins_of_one_user(world: World, count: int) -> list[Login]:
    user, application = await world.user(), await world.application()
    return [await world.log_in(user, application) for _ in range(count)]


def present_all(logins: list[Login]) -> "list[asyncio.Task[RefreshOutcome]]":
    return [asyncio.create_task(login.present()) for login in logins]


async def outcomes_of(tasks: "list[asyncio.Task[RefreshOutcome]]") -> list[RefreshOutcome | BaseException]:
    async with asyncio.timeout(HANG):
        return await asyncio.gather(*tasks, return_exceptions=True)


# --- sharing --------------------------------------------------------------------------------------------------------


async def test_two_hundred_refreshes_at_once_are_a_few_statements(world: World) -> None:
    logins = [login for _ in range(4) for login in await logins_of_one_user(world, 50)]
    outcomes = await outcomes_of(present_all(logins))
    assert {type(outcome) for outcome in outcomes} == {Moved}
    ((transactions,),) = await fetch(world.backend.database_url, MOVES)
    assert transactions <= 10


async def test_those_who_come_while_one_is_under_way_go_together(world: World) -> None:
    logins = await logins_of_one_user(world, 50)
    async with held(world, LOCK_ALL):
        tasks = present_all(logins[:ENOUGH])
        await until_blocked(world)
        for login in logins[ENOUGH:]:
            tasks += present_all([login])
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
    assert {type(outcome) for outcome in await outcomes_of(tasks)} == {Moved}
    assert await fetch(world.backend.database_url, MOVES) == [(2,)]


async def test_a_few_go_side_by_side(world: World) -> None:
    logins = await logins_of_one_user(world, ENOUGH + 5)
    tasks = []
    async with held(world, LOCK_ALL):
        for count, login in enumerate(logins[:ENOUGH], 1):
            tasks += present_all([login])
            await until_blocked(world, count)
        tasks += present_all(logins[ENOUGH:])
        await asyncio.sleep(0)
    assert {type(outcome) for outcome in await outcomes_of(tasks)} == {Moved}
    assert await fetch(world.backend.database_url, MOVES) == [(ENOUGH + 1,)]


async def test_no_statement_has_more_members_than_the_bound(world: World) -> None:
    logins = await logins_of_one_user(world, 30)
    with mock.patch.object(batching, "MAX_BATCH", 10):
        await outcomes_of(present_all(logins))
    counts = await fetch(world.backend.database_url, "SELECT count(*) FROM session GROUP BY xmin::text")
    assert sorted(counts) == [(10,), (10,), (10,)]


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
async def test_one_that_the_server_or_the_driver_cannot_take_harms_no_other(world: World, text: str) -> None:
    logins = await logins_of_one_user(world, 20)
    bad = asyncio.create_task(logins[0].present(actor=replace(HOME, agent=text)))
    outcomes = await outcomes_of([bad, *present_all(logins[1:])])
    assert isinstance(outcomes[0], Exception)
    assert not isinstance(outcomes[0], StorageUnavailable)
    assert {type(outcome) for outcome in outcomes[1:]} == {Moved}


# --- locks of others ------------------------------------------------------------------------------------------------


async def test_who_must_wait_for_a_lock_holds_up_nobody(world: World) -> None:
    """More of them than the storage has connections."""
    logins = await logins_of_one_user(world, 50)
    async with held(world, LOCK_SOME, [login.id for login in logins[:30]]):
        waiting = present_all(logins[:30])
        await until_blocked(world)
        others = present_all(logins[30:])
        assert {type(outcome) for outcome in await outcomes_of(others)} == {Moved}
        assert not any(task.done() for task in waiting)
    assert {type(outcome) for outcome in await outcomes_of(waiting)} == {Moved}


async def test_who_has_waited_for_a_lock_is_judged_by_what_its_holder_has_done(world: World) -> None:
    logins = await logins_of_one_user(world, 2)
    sql = "UPDATE session SET revoked_at = 1, revoked_reason = 'operator' WHERE id = $1"
    async with held(world, sql, logins[0].id):
        tasks = present_all(logins)
        await until_blocked(world)
    first, second = await outcomes_of(tasks)
    assert first is RefreshRefused.REVOKED
    assert isinstance(second, Moved)


async def test_a_reuse_that_waits_for_the_feed_holds_up_nobody(world: World, clock: FakeClock) -> None:
    logins = await logins_of_one_user(world, 20)
    stale = logins[0].presentation()
    await logins[0].move()
    await clock.advance(W)
    async with held(world, LOCK_FEED):
        reuse = asyncio.create_task(world.storage.sessions.refresh(stale, HOME))
        others = present_all(logins[1:])
        await until_blocked(world)
        assert {type(outcome) for outcome in await outcomes_of(others)} == {Moved}
        assert not reuse.done()
    assert await outcomes_of([reuse]) == [RefreshRefused.REUSED]


# --- who goes away --------------------------------------------------------------------------------------------------


async def test_who_goes_away_while_he_waits_for_the_next_statement_is_not_in_it(world: World) -> None:
    before, after = await logins_of_one_user(world, ENOUGH), await logins_of_one_user(world, 10)
    async with held(world, LOCK_ALL):
        under_way = present_all(before)
        await until_blocked(world)
        waiting = present_all(after)
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
    assert {type(outcome) for outcome in await outcomes_of(under_way + waiting[1::2])} == {Moved}
    assert [(await login.row()).place for login in after] == [0, 1] * 5


@pytest.mark.parametrize(("lock", "statements"), [(LOCK_ALL, 1), (LOCK_SOME, 2)])
async def test_a_statement_is_given_up_when_nobody_waits_for_it_any_more(
    world: World, lock: str, statements: int
) -> None:
    """Of those who wait for locks, the storage lets a quarter of its ten connections do so at a time."""
    logins = await logins_of_one_user(world, 5)
    args = [] if lock is LOCK_ALL else [[login.id for login in logins]]
    async with held(world, lock, *args):
        tasks = present_all(logins)
        await until_blocked(world, statements)  # one that is only on its way could not be taken back
        for task in tasks:
            task.cancel()
        await outcomes_of(tasks)
        await until_none_is_blocked(world)
    assert [(await login.row()).place for login in logins] == [0] * 5
    assert {type(outcome) for outcome in await outcomes_of(present_all(logins))} == {Moved}


async def test_one_of_many_who_goes_away_leaves_the_others_their_statement(world: World) -> None:
    logins = await logins_of_one_user(world, 5)
    async with held(world, LOCK_ALL):
        tasks = present_all(logins)
        await until_blocked(world)
        tasks[2].cancel()
        await asyncio.sleep(0)
    outcomes = await outcomes_of(tasks)
    assert [type(outcome) for outcome in outcomes] == [Moved, Moved, asyncio.CancelledError, Moved, Moved]
    assert await fetch(world.backend.database_url, MOVES) == [(1,)]


async def test_who_goes_away_with_his_answer_at_hand_does_not_end_the_next_statement(world: World) -> None:
    logins = await logins_of_one_user(world, ENOUGH + 2)

    async def cancel_the_second() -> RefreshOutcome:
        outcome = await logins[0].present()
        tasks[1].cancel()
        return outcome

    async with held(world, LOCK_ALL):
        tasks = [asyncio.create_task(cancel_the_second()), *present_all(logins[1:ENOUGH])]
        await until_blocked(world)
        tasks += present_all(logins[ENOUGH:])
        await asyncio.sleep(0)
    _, cancelled, *others = await outcomes_of(tasks)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert {type(outcome) for outcome in others} == {Moved}


def at_the_last_place(login: Login) -> PresentedToken:
    """What no session ever reaches: there is no next place to move to."""
    session, place = login.grant.session, (1 << 63) - 1
    binder = make_binder(session.nonce, session.id.bytes, place, session.moved_at)
    return replace(login.token, place=place, binder=binder)


async def test_who_goes_away_while_there_is_no_connection_is_not_in_the_statement(world: World) -> None:
    logins = await logins_of_one_user(world, 3)
    with mock.patch.object(postgres, "CONNECT_TIMEOUT", HANG):
        async with held(world, LOCK_ALL):
            others = [asyncio.create_task(world.storage.sessions.find(logins[0].id)) for _ in range(CONNECTIONS)]
            await until_blocked(world, CONNECTIONS)
            tasks = present_all(logins)
            for _ in range(20):  # turns of the event loop, until they wait for a connection
                await asyncio.sleep(0)
            tasks[1].cancel()
        outcomes = await outcomes_of(tasks)
        await asyncio.gather(*others)
    assert [type(outcome) for outcome in outcomes] == [Moved, asyncio.CancelledError, Moved]
    assert (await logins[1].row()).place == 0


async def test_who_goes_away_is_not_tried_alone(world: World) -> None:
    """Their statement fails, for what one of them has brought."""
    logins = await logins_of_one_user(world, 3)
    async with held(world, LOCK_ALL):
        tasks = [asyncio.create_task(logins[0].present(at_the_last_place(logins[0]))), *present_all(logins[1:])]
        await until_blocked(world)
        tasks[1].cancel()
        await asyncio.sleep(0)
    outcomes = await outcomes_of(tasks)
    assert isinstance(outcomes[0], asyncpg.NumericValueOutOfRangeError)
    assert isinstance(outcomes[2], Moved)
    assert isinstance(await logins[1].present(), Moved)


async def test_a_session_whose_first_presenter_has_gone_serves_the_next(world: World) -> None:
    login = await world.log_in()
    others = await logins_of_one_user(world, ENOUGH)
    async with held(world, LOCK_ALL):
        under_way = present_all(others)
        await until_blocked(world)
        tasks = present_all([login, login, login])
        await asyncio.sleep(0)
        tasks[0].cancel()
    outcomes = await outcomes_of(tasks)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, Moved, Repeated]
    assert {type(outcome) for outcome in await outcomes_of(under_way)} == {Moved}


# --- the end, and a server that hangs -------------------------------------------------------------------------------


async def test_closing_lets_finish_who_waits_for_the_next_statement(world: World) -> None:
    logins = await logins_of_one_user(world, 20)
    async with held(world, LOCK_ALL):
        tasks = present_all(logins[:ENOUGH])
        await until_blocked(world)
        tasks += present_all(logins[ENOUGH:])
        await asyncio.sleep(0)
        closing = asyncio.create_task(world.storage.close())
        await asyncio.sleep(0)
        with pytest.raises(StorageUnavailable):
            await logins[0].present()
    assert {type(outcome) for outcome in await outcomes_of(tasks)} == {Moved}
    async with asyncio.timeout(HANG):
        await closing
    world.backend.forget(world.storage)


async def test_who_has_waited_too_long_is_told(world: World) -> None:
    before, after = await logins_of_one_user(world, ENOUGH), await logins_of_one_user(world, 4)
    with mock.patch.object(postgres, "CONNECT_TIMEOUT", PATIENCE):
        async with held(world, LOCK_ALL):
            under_way = present_all(before)
            await until_blocked(world)
            waiting = present_all(after)
            await asyncio.sleep(2 * PATIENCE)
        assert {type(outcome) for outcome in await outcomes_of(waiting)} == {StorageUnavailable}
        assert {type(outcome) for outcome in await outcomes_of(under_way)} == {Moved}
    assert [(await login.row()).place for login in after] == [0] * 4


async def test_a_connection_that_hangs_does_not_hold_up_the_others() -> None:
    async with on_a_server_of_its_own() as world:
        logins = await logins_of_one_user(world, 20)
        with mock.patch.object(batching, "SLOW", PATIENCE):
            async with frozen_backend(world):
                hanging = present_all(logins[:ENOUGH])
                await asyncio.sleep(2 * PATIENCE)
                assert {type(outcome) for outcome in await outcomes_of(present_all(logins[ENOUGH:]))} == {Moved}
                assert not any(task.done() for task in hanging)
            assert {type(outcome) for outcome in await outcomes_of(hanging)} == {Moved}


@asynccontextmanager
async def frozen_backend(world: World) -> AsyncIterator[None]:
    """The one process of the server that the storage has talked to does nothing for the block."""
    sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'keybearer'"
    ((pid,),) = await fetch(world.backend.database_url, sql)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def on_a_server_of_its_own() -> AsyncIterator[World]:
    server = await asyncio.to_thread(TemporaryServer)
    try:
        await asyncio.to_thread(schema.migrate, server.url())
        await create_clock(server.url())
        backend = await PostgresBackend.connect(server.url())
        yield World(backend, await backend.open(), POLICY)
        await backend.close_all()
    finally:
        server.close()
