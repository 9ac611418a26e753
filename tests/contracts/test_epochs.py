"""A database that has gone back in time: what was given out in the time that is lost is not mistaken for another."""

import asyncio
from dataclasses import replace

from keybearer.guard.state import KeySetChanged
from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from keybearer.server.domain.sessions import EndReason, Moved, RefreshRefused
from tests.support.clock import START, FakeClock
from tests.support.follower import Follower
from tests.support.world import OPERATOR, OpenWorld, World

OLD_SIGNING = SecretKey(1, KeyPurpose.SIGNING, "ES256", "kid1", KeyState.ACTIVE, b"sealed", START, START, START)
OLD_NEXT = replace(OLD_SIGNING, id=2, kid="kid2", state=KeyState.NEXT, activated_at=None)
OLD_REFRESH = replace(OLD_SIGNING, id=3, kid="kid3", purpose=KeyPurpose.REFRESH_TOKEN, algorithm="HS256")
NEW = (replace(OLD_SIGNING, id=11, kid="kid11"), replace(OLD_REFRESH, id=13, kid="kid13"))


async def add_keys(world: World) -> None:
    for key in (OLD_SIGNING, OLD_NEXT, OLD_REFRESH):
        assert await world.storage.secret_keys.add(key, OPERATOR)


async def test_a_follower_of_the_old_epoch_must_take_the_snapshot(world: World) -> None:
    before = await world.storage.feed.snapshot()
    begun = await world.storage.begin_epoch(OPERATOR)
    assert (await world.storage.feed.tail(before.epoch, before.position)).reset
    tail = await world.storage.feed.tail(begun.epoch, begun.position)
    assert (tail.reset, tail.entries) == (False, ())
    assert begun.epoch != before.epoch


async def test_no_two_epochs_are_the_same(world: World) -> None:
    epochs = {(await world.storage.feed.snapshot()).epoch}
    for _ in range(3):
        epochs.add((await world.storage.begin_epoch(OPERATOR)).epoch)
        epochs.add((await world.storage.start_over(NEW, OPERATOR)).epoch)
    assert len(epochs) == 7


async def test_the_snapshot_goes_on_where_the_old_epoch_was(world: World) -> None:
    """Revocations that the database still knows stay in effect."""
    login = await world.log_in()
    await login.end()
    await world.storage.begin_epoch(OPERATOR)
    assert (await Follower.start(world.storage.feed)).refuses(login.grant)


async def test_entries_follow_in_the_new_epoch(world: World) -> None:
    await world.storage.begin_epoch(OPERATOR)
    follower = await Follower.start(world.storage.feed)
    login = await world.log_in()
    await login.end()
    await follower.read()
    assert follower.refuses(login.grant)


async def test_sessions_that_are_kept_can_be_refreshed(world: World) -> None:
    login = await world.log_in()
    begun = await world.storage.begin_epoch(OPERATOR)
    assert begun.sessions == 0
    assert isinstance(await login.present(), Moved)
    assert not (await Follower.start(world.storage.feed)).refuses(login.grant)


async def test_a_ver_of_the_lost_time_is_not_given_again(world: World, clock: FakeClock) -> None:
    """A token was issued with a `ver` that the database has forgotten. What ends all of the user's tokens ends it."""
    login = await world.log_in()
    lost = replace(login.grant, ver=login.grant.ver + 1000)
    await clock.advance(1)
    await world.storage.begin_epoch(OPERATOR)
    assert not (await Follower.start(world.storage.feed)).refuses(login.grant)
    await world.storage.users.set_roles(login.user.id, add=frozenset({"a"}), actor=OPERATOR)
    follower = await Follower.start(world.storage.feed)
    assert follower.refuses(lost) and follower.refuses(login.grant)


async def test_a_version_of_the_key_set_is_not_given_again(world: World, clock: FakeClock) -> None:
    """A guard that has loaded a version of the lost time must load the keys anew, and after every change again."""
    await add_keys(world)
    lost = (await world.storage.feed.snapshot()).key_set_version + 1000
    await clock.advance(1)
    await world.storage.begin_epoch(OPERATOR)
    follower = await Follower.start(world.storage.feed)
    begun = (await world.storage.feed.snapshot()).key_set_version
    assert begun > lost
    await world.storage.secret_keys.activate(OLD_NEXT.id, OPERATOR)
    assert await follower.read() == (KeySetChanged(begun + 1),)


async def test_each_epoch_is_beyond_the_one_before(world: World) -> None:
    """Within a millisecond, and when the clock was set back."""
    versions = []
    for _ in range(3):
        await world.storage.begin_epoch(OPERATOR)
        versions.append((await world.storage.feed.snapshot()).key_set_version)
    assert versions == sorted(set(versions))


# --- starting over ---------------------------------------------------------------------------------------------------


async def test_all_sessions_end(world: World, clock: FakeClock) -> None:
    application = await world.application()
    logins = [await world.log_in(application=application) for _ in range(3)]
    ended = await world.log_in(application=application)
    await ended.end()
    await clock.advance(1)
    begun = await world.storage.start_over(NEW, OPERATOR)
    assert (begun.sessions, begun.at) == (3, clock.now())
    for login in logins:
        assert (await login.row()).revoked_reason is EndReason.RESTORED
        assert await login.present() is RefreshRefused.REVOKED
    assert (await ended.row()).revoked_reason is EndReason.LOGOUT
    assert await world.storage.sessions.list_alive(None) == []
    assert isinstance(await (await world.log_in()).present(), Moved)


async def test_all_keys_are_replaced(world: World) -> None:
    await add_keys(world)
    before = (await world.storage.feed.snapshot()).key_set_version
    await world.storage.start_over(NEW, OPERATOR)
    assert set(await world.storage.secret_keys.list_keys()) == set(NEW)
    assert (await world.storage.feed.snapshot()).key_set_version > before


async def test_keys_are_made_where_there_were_none(world: World) -> None:
    await world.storage.start_over(NEW, OPERATOR)
    assert set(await world.storage.secret_keys.list_keys()) == set(NEW)


async def test_applications_keys_and_users_stay(world: World) -> None:
    login = await world.log_in()
    before = await world.storage.feed.snapshot()
    await world.storage.start_over(NEW, OPERATOR)
    after = await world.storage.feed.snapshot()
    assert (after.applications, after.keys) == (before.applications, before.keys)
    assert await world.storage.users.find(login.user.id) == login.user


async def test_the_trail_tells_of_it(world: World) -> None:
    await add_keys(world)
    await world.log_in()
    before = await world.storage.feed.snapshot()
    begun = await world.storage.start_over(NEW, OPERATOR)
    newest = (await world.storage.audit.list_events(limit=1))[0].event
    assert newest.kind is AuditKind.EPOCH_BEGUN and newest.actor == OPERATOR
    assert newest.detail == {"epoch": begun.epoch, "before": before.epoch, "sessions": "1"}
    assert await world.audited(AuditKind.SECRET_KEY_RETIRED) == 3
    assert await world.audited(AuditKind.SECRET_KEY_CREATED) == 5
    kept = await world.storage.begin_epoch(OPERATOR)
    newest = (await world.storage.audit.list_events(limit=1))[0].event
    assert newest.detail == {"epoch": kept.epoch, "before": begun.epoch}


async def test_two_at_once_leave_one_set_of_keys(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    await add_keys(world)
    sets = [tuple(replace(key, id=key.id + 100 * number) for key in NEW) for number in range(6)]
    async with asyncio.timeout(60):
        begun = await asyncio.gather(
            *(worlds[number % 2].storage.start_over(keys, OPERATOR) for number, keys in enumerate(sets))
        )
    assert tuple(await world.storage.secret_keys.list_keys()) in sets
    assert (await world.storage.feed.snapshot()).epoch in {each.epoch for each in begun}
