"""The feed's port: whoever has seen position n has seen everything up to n."""

import asyncio
from dataclasses import replace
from hashlib import sha256

import pytest

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.guard.state import RevokedSession, RevokedUser
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.revocations import ENTRY_GRACE, STATE_ENTRY_LIFETIME
from keybearer.server.domain.sessions import EndReason
from keybearer.server.domain.users import UserStatus
from tests.support.backends import POLICY
from tests.support.clock import FakeClock
from tests.support.follower import Follower
from tests.support.world import HOME, OPERATOR, OpenWorld, World

HANG = 60


async def test_the_feed_of_a_new_database_is_empty(world: World, clock: FakeClock) -> None:
    snapshot = await world.storage.feed.snapshot()
    assert (snapshot.applications, snapshot.keys, snapshot.sessions, snapshot.users) == ((), (), (), ())
    assert snapshot.as_of == clock.now()
    tail = await world.storage.feed.tail(snapshot.epoch, snapshot.position)
    assert (tail.epoch, tail.position, tail.entries, tail.reset) == (snapshot.epoch, snapshot.position, (), False)


async def test_a_tail_says_when_it_was_read(world: World, clock: FakeClock) -> None:
    snapshot = await world.storage.feed.snapshot()
    await clock.advance(5)
    assert (await world.storage.feed.tail(snapshot.epoch, snapshot.position)).as_of == clock.now()


async def test_entries_come_in_the_order_of_their_commits(world: World) -> None:
    logins = [await world.log_in() for _ in range(5)]
    follower = await Follower.start(world.storage.feed)
    for login in reversed(logins):
        await login.end()
    entries = [entry for entry in await follower.read() if isinstance(entry, RevokedSession)]
    assert [entry.id for entry in entries] == [str(login.id) for login in reversed(logins)]


async def test_a_tail_answers_what_is_new_only(world: World) -> None:
    first, second = await world.log_in(), await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await first.end()
    assert len(await follower.read()) == 1
    assert await follower.read() == ()
    await second.end()
    assert len(await follower.read()) == 1


async def test_a_position_can_be_resumed_any_number_of_times(world: World) -> None:
    first = await world.log_in()
    snapshot = await world.storage.feed.snapshot()
    await first.end()
    tails = [await world.storage.feed.tail(snapshot.epoch, snapshot.position) for _ in range(3)]
    assert tails[0] == tails[1] == tails[2]
    assert len(tails[0].entries) == 1


async def test_a_position_is_resumed_after_a_restart(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await login.end()
    await world.reopen()
    follower.feed = world.storage.feed
    await follower.read()
    assert follower.refuses(login.grant)


async def test_what_one_storage_revokes_another_one_sees(world: World, open_world: OpenWorld) -> None:
    follower = await Follower.start((await open_world()).storage.feed)
    login = await world.log_in()
    await login.end()
    await follower.read()
    assert follower.refuses(login.grant)


async def test_an_entry_is_there_as_soon_as_the_change_is(world: World, open_world: OpenWorld) -> None:
    """Entry and change are one transaction: whoever sees the row ended sees the entry."""
    login = await world.log_in()
    other = await open_world()
    follower = await Follower.start(other.storage.feed)
    ending = asyncio.create_task(login.end())
    async with asyncio.timeout(HANG):
        while (await other.storage.sessions.find(login.id)).revoked_at is None:  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await follower.read()
    assert follower.refuses(login.grant)
    await ending


async def test_a_running_tail_misses_none_of_many_revocations(world: World, open_world: OpenWorld) -> None:
    """Revocations of all kinds from two storages at once, followed from a third one while they happen."""
    worlds = [world, await open_world()]
    application = await world.application()
    logins = [await world.log_in(application=application) for _ in range(60)]
    follower = await Follower.start((await open_world()).storage.feed)
    done = asyncio.Event()

    async def follow() -> list[str]:
        seen: list[str] = []
        while not done.is_set():
            seen += [entry.id for entry in await follower.read() if isinstance(entry, RevokedSession | RevokedUser)]
        return seen

    following = asyncio.create_task(follow())
    async with asyncio.timeout(HANG):
        await asyncio.gather(
            *(
                worlds[n % 2].storage.sessions.end(login.id, EndReason.LOGOUT, HOME)
                if n % 3
                else worlds[n % 2].storage.users.set_status(login.user.id, UserStatus.DISABLED, OPERATOR)
                for n, login in enumerate(logins)
            )
        )
        done.set()
        seen = await following
        await follower.read()
    assert all(follower.refuses(login.grant) for login in logins)
    assert len(seen) == len(set(seen))


async def test_positions_are_dense_enough_to_resume_from_each(world: World) -> None:
    logins = [await world.log_in() for _ in range(4)]
    start = await world.storage.feed.snapshot()
    positions = []
    for login in logins:
        await login.end()
        positions.append((await world.storage.feed.snapshot()).position)
    assert positions == sorted(set(positions))
    for number, position in enumerate(positions, start=1):
        assert len((await world.storage.feed.tail(start.epoch, position)).entries) == len(logins) - number


async def test_a_follower_far_behind_catches_up_in_steps(world: World) -> None:
    """Enabling an application names each of its ended sessions: 100 of them, a dozen times, exceed one answer."""
    user, application = await world.user(), await world.application()
    login = await world.log_in(user, application)
    for _ in range(99):
        await world.log_in(user, application)
    follower = await Follower.start(world.storage.feed)
    for _ in range(12):
        for enabled in (False, True):
            await world.storage.applications.set_enabled(application.id, enabled, OPERATOR)
    again = await world.log_in(user, application)
    await again.end()
    steps = 0
    while await follower.read():
        steps += 1
    assert steps > 1
    assert follower.position == (await world.storage.feed.snapshot()).position
    assert follower.refuses(login.grant)
    assert follower.refuses(again.grant)


# --- reset ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", ["", "another"])
async def test_another_epoch_is_a_reset(world: World, epoch: str) -> None:
    snapshot = await world.storage.feed.snapshot()
    tail = await world.storage.feed.tail(epoch, snapshot.position)
    assert (tail.reset, tail.entries, tail.epoch) == (True, (), snapshot.epoch)


@pytest.mark.parametrize("position", [-1, 10_000])
async def test_a_position_that_never_was_is_a_reset(world: World, position: int) -> None:
    """Ahead of the log: the database was restored, or a failover has lost the last commits."""
    snapshot = await world.storage.feed.snapshot()
    assert (await world.storage.feed.tail(snapshot.epoch, position)).reset


async def test_a_position_whose_entries_are_gone_is_a_reset(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    before = await world.storage.feed.snapshot()
    await login.end()
    after = await world.storage.feed.snapshot()
    await clock.set(login.grant.expires_at + ENTRY_GRACE * 1000)
    await world.storage.remove_expired(limit=100, audit_before=0)
    assert (await world.storage.feed.tail(before.epoch, before.position)).reset
    assert not (await world.storage.feed.tail(after.epoch, after.position)).reset


async def test_after_a_reset_the_snapshot_says_all(world: World, clock: FakeClock) -> None:
    gone = await world.log_in()
    await gone.end()
    await clock.advance(POLICY.access_token_lifetime + ENTRY_GRACE)
    login = await world.log_in(gone.user, gone.application)
    await login.end()
    await world.storage.remove_expired(limit=100, audit_before=0)
    follower = await Follower.start(world.storage.feed)
    assert set(follower.sessions) == {str(login.id)}
    assert set(follower.applications) == {str(login.application.id)}


# --- snapshot -------------------------------------------------------------------------------------------------------


async def test_snapshot_and_tail_tell_the_same(world: World) -> None:
    follower = await Follower.start(world.storage.feed)
    login, other = await world.log_in(), await world.log_in()
    key = ApiKey(
        world.new_id(), login.application.id, ApiKeyKind.PUBLISHABLE, sha256(b"k").digest(), "kbp_", frozenset(), 0
    )
    await world.storage.api_keys.create(key, OPERATOR)
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    await login.end()
    for _ in range(2):
        await world.storage.users.set_roles(other.user.id, add=frozenset({"a"}), actor=OPERATOR)
        await world.storage.users.set_roles(other.user.id, remove=frozenset({"a"}), actor=OPERATOR)
    await world.storage.applications.set_enabled(other.application.id, False, OPERATOR)
    await follower.read()
    fresh = await Follower.start(world.storage.feed)
    assert replace(fresh, feed=follower.feed) == follower


async def test_entries_may_be_taken_twice_and_late(world: World) -> None:
    login = await world.log_in()
    before = await world.storage.feed.snapshot()
    await world.storage.users.set_roles(login.user.id, add=frozenset({"a"}), actor=OPERATOR)
    await world.storage.users.set_roles(login.user.id, add=frozenset({"b"}), actor=OPERATOR)
    await world.storage.applications.set_enabled(login.application.id, False, OPERATOR)
    follower = await Follower.start(world.storage.feed)
    expected = replace(follower)
    for entry in (await world.storage.feed.tail(before.epoch, before.position)).entries:
        follower.apply(entry)
    assert follower == expected


async def test_a_snapshot_forgets_a_revocation_when_its_last_token_has_long_expired(
    world: World, clock: FakeClock
) -> None:
    login = await world.log_in()
    await world.storage.sessions.end_all(login.user.id, EndReason.LOGOUT_ALL, HOME)
    other = await world.log_in()
    await other.end()
    await clock.set(login.grant.expires_at)
    assert (await Follower.start(world.storage.feed)).refuses(login.grant)
    await clock.set(login.grant.expires_at + ENTRY_GRACE * 1000)
    snapshot = await world.storage.feed.snapshot()
    assert (snapshot.sessions, snapshot.users) == ((), ())


async def test_a_users_entry_outlives_every_access_token_with_a_lower_ver(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, login.application)
    await clock.advance(500)
    await login.present()
    await world.storage.users.set_roles(login.user.id, add=frozenset({"a"}), actor=OPERATOR)
    follower = await Follower.start(world.storage.feed)
    assert [follower.refuses(each.grant) for each in (login, other)] == [True, True]


async def test_a_users_entry_outlives_the_tokens_of_all_sessions_that_it_ends(world: World, clock: FakeClock) -> None:
    logins = [await world.log_in()]
    await clock.advance(500)
    logins.append(await world.log_in(logins[0].user, logins[0].application))
    await clock.advance(100)
    await world.storage.sessions.end_all(logins[0].user.id, EndReason.LOGOUT_ALL, HOME)
    follower = await Follower.start(world.storage.feed)
    assert [follower.refuses(login.grant) for login in logins] == [True, True]


async def test_a_users_entry_outlives_the_token_of_a_session_that_was_removed(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    await login.end()
    await world.storage.remove_expired(limit=100, audit_before=0)
    await world.storage.users.set_roles(login.user.id, add=frozenset({"a"}), actor=OPERATOR)
    assert (await Follower.start(world.storage.feed)).refuses(login.grant)


async def test_state_entries_leave_the_log_and_stay_in_the_snapshot(world: World, clock: FakeClock) -> None:
    application = await world.application()
    await clock.advance(STATE_ENTRY_LIFETIME)
    removed = await world.storage.remove_expired(limit=100, audit_before=0)
    assert removed.entries == 1
    assert [state.id for state in (await world.storage.feed.snapshot()).applications] == [str(application.id)]


async def test_a_snapshot_under_changes_is_of_one_moment(world: World, open_world: OpenWorld) -> None:
    """Application and key are made in this order: no snapshot may know a key without its application."""
    other = await open_world()
    done = asyncio.Event()

    async def look() -> int:
        looked = 0
        while not done.is_set():
            snapshot = await other.storage.feed.snapshot()
            assert {key.application_id for key in snapshot.keys} <= {each.id for each in snapshot.applications}
            tail = await other.storage.feed.tail(snapshot.epoch, snapshot.position)
            assert not tail.reset
            looked += 1
        return looked

    looking = asyncio.create_task(look())
    for number in range(30):
        application = await world.application()
        text = str(number).encode()
        key = ApiKey(
            world.new_id(), application.id, ApiKeyKind.PUBLISHABLE, sha256(text).digest(), "kbp_", frozenset(), 0
        )
        await world.storage.api_keys.create(key, OPERATOR)
    done.set()
    async with asyncio.timeout(HANG):
        assert await looking > 0
