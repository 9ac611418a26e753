"""The port of secret keys: one next and one active key of a purpose, whoever works on them at once."""

import asyncio
from dataclasses import replace

import pytest

from keybearer.guard.state import KeySetChanged
from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from tests.support.clock import START, FakeClock
from tests.support.follower import Follower
from tests.support.world import OPERATOR, OpenWorld, World

SEALED = b"\x00sealed\xff"


def key(
    id: int, state: KeyState = KeyState.NEXT, purpose: KeyPurpose = KeyPurpose.SIGNING, usable_from: int = START
) -> SecretKey:
    return SecretKey(
        id=id,
        purpose=purpose,
        algorithm="ES256" if purpose is KeyPurpose.SIGNING else "HS256",
        kid=f"kid{id}",
        state=state,
        encrypted=SEALED,
        created_at=START + id % 1000,
        usable_from=usable_from,
        activated_at=START if state is KeyState.ACTIVE else None,
    )


async def states(world: World) -> dict[int, KeyState]:
    return {each.id: each.state for each in await world.storage.secret_keys.list_keys()}


async def test_a_key_is_listed_as_it_was_added(world: World) -> None:
    added = key((1 << 32) - 1, KeyState.ACTIVE)
    assert await world.storage.secret_keys.add(added, OPERATOR)
    assert await world.storage.secret_keys.list_keys() == [added]


async def test_keys_are_listed_oldest_first(world: World) -> None:
    old, new = key(5, KeyState.ACTIVE), key(6)
    for each in (new, old):
        await world.storage.secret_keys.add(each, OPERATOR)
    assert await world.storage.secret_keys.list_keys() == [old, new]


@pytest.mark.parametrize("state", [KeyState.NEXT, KeyState.ACTIVE])
async def test_a_purpose_has_one_key_in_a_state(world: World, state: KeyState) -> None:
    assert await world.storage.secret_keys.add(key(1, state), OPERATOR)
    follower = await Follower.start(world.storage.feed)
    assert not await world.storage.secret_keys.add(key(2, state), OPERATOR)
    assert await states(world) == {1: state}
    assert await follower.read() == ()
    assert await world.audited(AuditKind.SECRET_KEY_CREATED) == 1


async def test_each_purpose_has_its_own(world: World) -> None:
    for id, purpose in enumerate(KeyPurpose):
        assert await world.storage.secret_keys.add(key(2 * id, KeyState.ACTIVE, purpose), OPERATOR)
        assert await world.storage.secret_keys.add(key(2 * id + 1, KeyState.NEXT, purpose), OPERATOR)


async def test_of_keys_added_at_once_one_is(world: World, open_world: OpenWorld) -> None:
    """As when two replicas start on an empty database."""
    worlds = [world, await open_world()]
    added = await asyncio.gather(
        *(worlds[id % 2].storage.secret_keys.add(key(id, KeyState.ACTIVE), OPERATOR) for id in range(10))
    )
    assert added.count(True) == 1
    assert await states(world) == {added.index(True): KeyState.ACTIVE}


async def test_activating_retires_the_active_key(world: World, clock: FakeClock) -> None:
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    await clock.advance(5)
    assert await world.storage.secret_keys.activate(2, OPERATOR)
    old, new = await world.storage.secret_keys.list_keys()
    assert (old.state, old.retired_at) == (KeyState.RETIRED, clock.now())
    assert (new.state, new.activated_at) == (KeyState.ACTIVE, clock.now())


async def test_activating_leaves_other_purposes_alone(world: World) -> None:
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE, KeyPurpose.REFRESH_TOKEN), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    assert await world.storage.secret_keys.activate(2, OPERATOR)
    assert await states(world) == {1: KeyState.ACTIVE, 2: KeyState.ACTIVE}


async def test_a_key_is_not_activated_before_it_is_usable(world: World, clock: FakeClock) -> None:
    await world.storage.secret_keys.add(key(1, usable_from=START + 5000), OPERATOR)
    await clock.advance(5, ms=-1)
    assert not await world.storage.secret_keys.activate(1, OPERATOR)
    assert await states(world) == {1: KeyState.NEXT}
    await clock.advance(ms=1)
    assert await world.storage.secret_keys.activate(1, OPERATOR)


async def test_only_a_next_key_is_activated(world: World) -> None:
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    await world.storage.secret_keys.activate(2, OPERATOR)
    assert [await world.storage.secret_keys.activate(id, OPERATOR) for id in (1, 2, 3)] == [False] * 3
    assert await states(world) == {1: KeyState.RETIRED, 2: KeyState.ACTIVE}


async def test_of_many_who_activate_one_does(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    done = await asyncio.gather(*(worlds[n % 2].storage.secret_keys.activate(2, OPERATOR) for n in range(10)))
    assert done.count(True) == 1
    assert await states(world) == {1: KeyState.RETIRED, 2: KeyState.ACTIVE}


async def test_a_next_key_can_follow_once_the_last_is_active(world: World) -> None:
    await world.storage.secret_keys.add(key(1), OPERATOR)
    await world.storage.secret_keys.activate(1, OPERATOR)
    assert await world.storage.secret_keys.add(key(2), OPERATOR)


async def test_retired_keys_are_removed_from_an_instant_on(world: World, clock: FakeClock) -> None:
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    await world.storage.secret_keys.activate(2, OPERATOR)
    assert await world.storage.secret_keys.remove_retired(KeyPurpose.SIGNING, clock.now(), OPERATOR) == 0
    assert await world.storage.secret_keys.remove_retired(KeyPurpose.SIGNING, clock.now() + 1, OPERATOR) == 1
    assert await states(world) == {2: KeyState.ACTIVE}


async def test_retired_keys_of_another_purpose_stay(world: World, clock: FakeClock) -> None:
    for id, purpose in ((1, KeyPurpose.SIGNING), (3, KeyPurpose.REFRESH_TOKEN)):
        await world.storage.secret_keys.add(key(id, KeyState.ACTIVE, purpose), OPERATOR)
        await world.storage.secret_keys.add(key(id + 1, KeyState.NEXT, purpose), OPERATOR)
        await world.storage.secret_keys.activate(id + 1, OPERATOR)
    assert await world.storage.secret_keys.remove_retired(KeyPurpose.REFRESH_TOKEN, clock.now() + 1, OPERATOR) == 1
    assert set(await states(world)) == {1, 2, 4}


async def test_every_change_of_the_signing_keys_is_another_key_set(world: World, clock: FakeClock) -> None:
    follower = await Follower.start(world.storage.feed)
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(key(2), OPERATOR)
    await world.storage.secret_keys.activate(2, OPERATOR)
    await world.storage.secret_keys.remove_retired(KeyPurpose.SIGNING, clock.now() + 1, OPERATOR)
    entries = await follower.read()
    versions = [entry.version for entry in entries if isinstance(entry, KeySetChanged)]
    assert len(versions) == len(set(versions)) == 4
    assert versions == sorted(versions)
    assert (await world.storage.feed.snapshot()).key_set_version == versions[-1]


async def test_changes_of_secret_keys_are_audited_without_the_keys(world: World) -> None:
    await world.storage.secret_keys.add(key(1, KeyState.ACTIVE), OPERATOR)
    await world.storage.secret_keys.add(replace(key(2), kid="kid2"), OPERATOR)
    await world.storage.secret_keys.activate(2, OPERATOR)
    events = [event.event for event in await world.storage.audit.list_events(limit=4)]
    assert sorted(event.kind for event in events) == [
        AuditKind.SECRET_KEY_ACTIVATED,
        AuditKind.SECRET_KEY_CREATED,
        AuditKind.SECRET_KEY_CREATED,
        AuditKind.SECRET_KEY_RETIRED,
    ]
    assert "sealed" not in str(events)
