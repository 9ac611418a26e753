"""Sessions under many hands at once. What holds one call after the other must hold for all of them together."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.sessions import (
    MAX_SESSIONS_PER_USER,
    Ended,
    EndReason,
    EndRefused,
    Grant,
    Moved,
    RefreshOutcome,
    RefreshRefused,
    Repeated,
    SessionRefused,
)
from keybearer.server.domain.users import UserStatus
from tests.support.backends import POLICY
from tests.support.clock import FakeClock
from tests.support.follower import Follower
from tests.support.world import HOME, OPERATOR, Login, OpenWorld, World, answered, grant_of

T = TypeVar("T")

W = POLICY.refresh_retry_window
HANG = 60
"""Seconds after which a test has hung."""


async def together(calls: list[Coroutine[Any, Any, T]]) -> list[T]:
    async with asyncio.timeout(HANG):
        return list(await asyncio.gather(*calls))


async def two_worlds(world: World, open_world: OpenWorld) -> list[World]:
    return [world, await open_world()]


async def test_100_refreshes_of_one_token_are_one_move(world: World) -> None:
    login = await world.log_in()
    presentation = login.presentation()
    outcomes = await together([world.storage.sessions.refresh(presentation, HOME) for _ in range(100)])
    assert len({answered(outcome) for outcome in outcomes}) == 1
    assert Counter(type(outcome) for outcome in outcomes) == {Moved: 1, Repeated: 99}
    assert (await login.row()).place == 1


async def test_100_refreshes_through_two_storages_are_one_move(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    presentation = (await world.log_in()).presentation()
    outcomes = await together([worlds[n % 2].storage.sessions.refresh(presentation, HOME) for n in range(100)])
    assert len({answered(outcome) for outcome in outcomes}) == 1
    assert sum(isinstance(outcome, Moved) for outcome in outcomes) == 1


async def test_predecessor_and_current_token_at_once_are_answered_alike(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    first = login.token
    second = await login.move()
    tokens = [first, second] * 30
    outcomes = await together([world.storage.sessions.refresh(login.presentation(token), HOME) for token in tokens])
    assert {answered(outcome) for outcome in outcomes} == {second}


async def test_a_stale_token_among_many_ends_the_session_once(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    stale = login.token
    await login.move()
    await clock.advance(W)
    calls = [world.storage.sessions.refresh(login.presentation(token), HOME) for token in [stale, login.token] * 20]
    outcomes = await together(calls)
    assert sum(outcome is RefreshRefused.REUSED for outcome in outcomes) == 1
    assert not await login.is_alive()
    assert await world.audited(AuditKind.REFRESH_REUSED) == 1


async def test_many_sessions_at_once_do_not_disturb_each_other(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    user, application = await world.user(), await world.application()
    logins = [await world.log_in(user, application) for _ in range(20)]
    calls: list[Coroutine[Any, Any, RefreshOutcome]] = [
        worlds[n % 2].storage.sessions.refresh(login.presentation(), HOME) for n in range(4) for login in logins
    ]
    outcomes = await together(calls)
    assert Counter(grant_of(outcome).session.id for outcome in outcomes) == {login.id: 4 for login in logins}
    assert {grant_of(outcome).session.place for outcome in outcomes} == {1}


async def test_a_session_is_ended_once(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    login = await world.log_in()
    outcomes = await together([worlds[n % 2].storage.sessions.end(login.id, EndReason.LOGOUT, HOME) for n in range(20)])
    assert sum(isinstance(outcome, Ended) for outcome in outcomes) == 1
    assert sum(outcome is EndRefused.ALREADY_ENDED for outcome in outcomes) == 19
    assert await world.audited(AuditKind.SESSION_REVOKED) == 1


async def test_every_access_token_is_refused_after_an_end_that_races_refreshes(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    sessions = world.storage.sessions
    await clock.advance(500)
    refreshes = [asyncio.create_task(sessions.refresh(login.presentation(), HOME)) for _ in range(20)]
    await login.end()
    outcomes = await together([_result(task) for task in refreshes])
    await follower.read()
    granted = [outcome.grant for outcome in outcomes if isinstance(outcome, Moved | Repeated)]
    assert all(follower.refuses(grant) for grant in (login.grant, *granted))
    assert not await login.is_alive()


async def test_no_session_survives_a_login_that_races_disabling(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    user, application = await world.user(), await world.application()
    outcomes, _ = await _logins_during(
        worlds, [world.new_session(user, application) for _ in range(40)], _disable_user(world, user.id)
    )
    assert set(map(type, outcomes)) <= {Grant, SessionRefused}
    assert not await world.storage.sessions.list_alive(user.id)


async def test_every_token_of_a_login_that_races_disabling_is_refused(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    follower = await Follower.start(world.storage.feed)
    user, application = await world.user(), await world.application()
    outcomes, _ = await _logins_during(
        worlds, [world.new_session(user, application) for _ in range(40)], _disable_user(world, user.id)
    )
    await follower.read()
    assert all(follower.refuses(outcome) for outcome in outcomes if isinstance(outcome, Grant))


async def test_no_session_survives_a_login_that_races_disabling_the_application(
    world: World, open_world: OpenWorld
) -> None:
    worlds = await two_worlds(world, open_world)
    user, application = await world.user(), await world.application()
    await _logins_during(
        worlds,
        [world.new_session(user, application) for _ in range(40)],
        world.storage.applications.set_enabled(application.id, False, OPERATOR),
    )
    assert not await world.storage.sessions.list_alive(user.id)


async def test_no_session_survives_a_login_that_races_a_new_password(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    user, application = await world.user(), await world.application()
    outcomes, _ = await _logins_during(
        worlds,
        [world.new_session(user, application, password_version=1) for _ in range(40)],
        world.storage.users.set_password(user.id, "another hash", OPERATOR),
    )
    assert not await world.storage.sessions.list_alive(user.id)
    refused = {outcome for outcome in outcomes if not isinstance(outcome, Grant)}
    assert refused <= {SessionRefused.PASSWORD_CHANGED}


async def test_refreshes_that_race_disabling_leave_nothing_valid(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    follower = await Follower.start(world.storage.feed)
    logins = await _logins_of_one_user(world, 10)
    calls = [
        asyncio.create_task(worlds[n % 2].storage.sessions.refresh(login.presentation(), HOME))
        for n in range(3)
        for login in logins
    ]
    await _disable_user(world, logins[0].user.id)
    outcomes = await together([_result(call) for call in calls])
    await follower.read()
    granted = [outcome.grant for outcome in outcomes if isinstance(outcome, Moved | Repeated)]
    assert all(follower.refuses(grant) for grant in granted)
    assert not await world.storage.sessions.list_alive(logins[0].user.id)


async def test_tokens_that_race_a_change_of_roles_have_the_new_ver_or_are_refused(
    world: World, open_world: OpenWorld, clock: FakeClock
) -> None:
    worlds = await two_worlds(world, open_world)
    follower = await Follower.start(world.storage.feed)
    logins = await _logins_of_one_user(world, 10)
    await clock.advance(600)
    calls = [
        asyncio.create_task(worlds[n % 2].storage.sessions.refresh(login.presentation(), HOME))
        for n in range(3)
        for login in logins
    ]
    user = await world.storage.users.set_roles(logins[0].user.id, add=frozenset({"clerk"}), actor=OPERATOR)
    outcomes = await together([_result(call) for call in calls])
    await follower.read()
    assert user is not None
    for grant in map(grant_of, outcomes):
        assert (grant.ver == user.ver) == (grant.roles == ("clerk",))
        assert grant.ver == user.ver or follower.refuses(grant)


async def test_opposite_orders_of_work_do_not_block_each_other(world: World, open_world: OpenWorld) -> None:
    """Everything that takes several locks at once, on the same rows, through two storages."""
    worlds = await two_worlds(world, open_world)
    logins = await _logins_of_one_user(world, 10)
    user, application = logins[0].user, logins[0].application
    calls: list[Coroutine[Any, Any, object]] = []
    for number, login in enumerate(logins):
        storage = worlds[number % 2].storage
        calls += [
            storage.sessions.refresh(login.presentation(), HOME),
            storage.sessions.create(world.new_session(user, application), HOME),
            storage.sessions.end_all(user.id, EndReason.LOGOUT_ALL, HOME, keep=login.id),
            storage.sessions.end_presented(login.presentation(), HOME, all_devices=True),
            storage.users.set_roles(user.id, add=frozenset({f"role{number}"}), actor=OPERATOR),
            storage.applications.set_enabled(application.id, number % 2 == 0, OPERATOR),
            storage.users.set_status(user.id, UserStatus.ENABLED if number % 2 else UserStatus.DISABLED, OPERATOR),
            storage.remove_expired(limit=10, audit_before=0),
        ]
    await together(calls)


async def test_the_limit_of_sessions_holds_for_logins_at_once(world: World, open_world: OpenWorld) -> None:
    worlds = await two_worlds(world, open_world)
    user, application = await world.user(), await world.application()
    new = [world.new_session(user, application) for _ in range(MAX_SESSIONS_PER_USER + 20)]
    await together([worlds[n % 2].storage.sessions.create(each, HOME) for n, each in enumerate(new)])
    alive = await world.storage.sessions.list_alive(user.id, limit=1000)
    assert len(alive) == MAX_SESSIONS_PER_USER


async def test_a_call_that_is_given_up_holds_nothing(world: World) -> None:
    """A client that goes away cancels its request: the session is as before or as after, and nothing is locked."""
    login = await world.log_in()
    presentation = login.presentation()
    for turns in range(12):
        task = asyncio.create_task(world.storage.sessions.refresh(presentation, HOME))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(HANG):
        outcome = await world.storage.sessions.refresh(presentation, HOME)
    assert grant_of(outcome).session.place == 1


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_a_transaction_that_is_given_up_holds_nothing(world: World, turns: int) -> None:
    login = await world.log_in()
    task = asyncio.create_task(world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(HANG):
        await world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME)
    assert not await login.is_alive()


async def _result(task: "asyncio.Task[T]") -> T:
    return await task


async def _logins_of_one_user(world: World, count: int) -> list[Login]:
    user, application = await world.user(), await world.application()
    return [await world.log_in(user, application) for _ in range(count)]


def _disable_user(world: World, user_id: Any) -> Coroutine[Any, Any, object]:
    return world.storage.users.set_status(user_id, UserStatus.DISABLED, OPERATOR)


async def _logins_during(
    worlds: list[World], new_sessions: list[Any], change: Coroutine[Any, Any, object]
) -> tuple[list[Grant | SessionRefused], object]:
    """Log in many times, with `change` under way among them."""
    calls: list[Coroutine[Any, Any, Any]] = [
        worlds[n % len(worlds)].storage.sessions.create(new, HOME) for n, new in enumerate(new_sessions)
    ]
    middle = len(calls) // 2
    outcomes = await together([*calls[:middle], change, *calls[middle:]])
    changed = outcomes.pop(middle)
    return outcomes, changed
