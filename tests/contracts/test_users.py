"""The users' port: names that are unique, passwords with versions, and what raises `ver`."""

import asyncio
from dataclasses import replace

import pytest

from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.sessions import EndReason, Moved, RefreshRefused
from keybearer.server.domain.users import NewUser, User, UserStatus
from keybearer.server.ports import IdentifierTaken, Storage
from tests.support.clock import FakeClock
from tests.support.follower import Follower
from tests.support.world import HOME, OPERATOR, PASSWORD_HASH, OpenWorld, World, login_record

EMAIL = "jane@example.com"
PHONE = "+41446681800"
PLACE = b"place" * 4


async def user_of(storage: Storage, user: User | NewUser) -> User:
    found = await storage.users.find(user.id)
    assert found is not None
    return found


# --- create and find ------------------------------------------------------------------------------------------------


async def test_a_new_user(world: World, clock: FakeClock) -> None:
    new = world.new_user(EMAIL, PHONE)
    user = await world.storage.users.create(new, OPERATOR)
    assert user == User(new.id, EMAIL, PHONE, "Jane", "Doe", (), UserStatus.ENABLED, 1, clock.now())
    assert await world.storage.users.find(new.id) == user


@pytest.mark.parametrize("identifier", [EMAIL, PHONE])
async def test_a_user_is_found_by_each_name(world: World, identifier: str) -> None:
    user = await world.user(EMAIL, PHONE)
    assert await world.storage.users.find_by_identifier(identifier) == user
    record = await login_record(world.storage, identifier, PLACE)
    assert record is not None
    assert (record.user_id, record.status, record.known_place) == (user.id, UserStatus.ENABLED, False)
    assert (record.password_hash, record.password_version) == (PASSWORD_HASH, 1)


async def test_nobody_is_found_by_no_name(world: World) -> None:
    await world.user(EMAIL)
    for name in ("", "john@example.com", "Jane@example.com", "' OR 1=1 --", "jane@example.com\n", "\u202e"):
        assert await world.storage.users.find_by_identifier(name) is None
        assert await login_record(world.storage, name, PLACE) is None
    assert await world.storage.users.find(world.new_id()) is None


async def test_nobody_is_found_by_a_name_that_no_database_can_hold(world: World) -> None:
    """JSON can say it, and whoever logs in may type it: it is nobody's name, not an error of ours."""
    assert await login_record(world.storage, "jane\x00@example.com", PLACE) is None
    assert await world.storage.users.find_by_identifier("jane\x00@example.com") is None


async def test_names_of_any_script_are_kept_as_they_are(world: World) -> None:
    new = replace(world.new_user("žofie@example.com"), first_name="Жанна 𝔍", last_name='"]}\\ \u202e')
    user = await world.storage.users.create(new, OPERATOR)
    assert isinstance(user, User)
    assert (user.first_name, user.last_name) == (new.first_name, new.last_name)
    assert await world.storage.users.find_by_identifier("žofie@example.com") == user


@pytest.mark.parametrize(
    ("email", "phone", "taken"), [(EMAIL, None, EMAIL), ("john@example.com", PHONE, PHONE), (EMAIL, PHONE, EMAIL)]
)
async def test_a_name_belongs_to_one_user(world: World, email: str, phone: str | None, taken: str) -> None:
    jane = await world.user(EMAIL, PHONE)
    second = world.new_user(email, phone)
    assert await world.storage.users.create(second, OPERATOR) == IdentifierTaken(taken)
    assert await world.storage.users.find(second.id) is None
    assert await world.storage.users.list_users() == [jane]


async def test_a_refused_user_leaves_its_other_name_free(world: World) -> None:
    await world.user(EMAIL, PHONE)
    await world.storage.users.create(world.new_user("john@example.com", PHONE), OPERATOR)
    await world.user("john@example.com")


async def test_one_of_many_gets_the_name(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    new = [world.new_user(EMAIL, f"+4144668{number:04}") for number in range(20)]
    outcomes = await asyncio.gather(*(worlds[n % 2].storage.users.create(u, OPERATOR) for n, u in enumerate(new)))
    (made,) = [outcome for outcome in outcomes if isinstance(outcome, User)]
    assert outcomes.count(IdentifierTaken(EMAIL)) == 19
    assert await world.storage.users.list_users() == [made]


async def test_a_new_user_is_audited(world: World) -> None:
    user = await world.user()
    newest = (await world.storage.audit.list_events(limit=1))[0]
    assert (newest.event.kind, newest.event.actor, newest.event.user_id) == (AuditKind.USER_CREATED, OPERATOR, user.id)


async def test_users_are_listed_in_pages(world: World, clock: FakeClock) -> None:
    users = []
    for _ in range(5):
        await clock.advance(ms=1)
        users.append(await world.user())
    assert await world.storage.users.list_users(limit=2) == users[:2]
    assert await world.storage.users.list_users(limit=2, after=users[1].id) == users[2:4]
    assert await world.storage.users.list_users(after=users[4].id) == []


# --- status ---------------------------------------------------------------------------------------------------------


async def test_disabling_ends_all_sessions_and_raises_ver(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user, await world.application())
    user = await world.storage.users.set_status(login.user.id, UserStatus.DISABLED, OPERATOR)
    assert user == replace(login.user, status=UserStatus.DISABLED, ver=login.user.ver + 1)
    assert user == await user_of(world.storage, login.user)
    assert [await each.present() for each in (login, other)] == [RefreshRefused.REVOKED] * 2
    row = await login.row()
    assert (row.revoked_at, row.revoked_reason) == (clock.now(), EndReason.USER_DISABLED)


async def test_disabling_is_in_the_feed(world: World) -> None:
    login, stranger = await world.log_in(), await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await world.storage.users.set_status(login.user.id, UserStatus.DISABLED, OPERATOR)
    await follower.read()
    assert [follower.refuses(each.grant) for each in (login, stranger)] == [True, False]
    assert (await Follower.start(world.storage.feed)).refuses(login.grant)


async def test_enabling_restores_no_session(world: World) -> None:
    login = await world.log_in()
    await world.storage.users.set_status(login.user.id, UserStatus.DISABLED, OPERATOR)
    user = await world.storage.users.set_status(login.user.id, UserStatus.ENABLED, OPERATOR)
    assert user is not None
    assert user.status is UserStatus.ENABLED
    assert await login.present() is RefreshRefused.REVOKED
    follower = await Follower.start(world.storage.feed)
    assert follower.refuses(login.grant)
    again = await world.log_in(login.user, login.application)
    assert not follower.refuses(again.grant)


@pytest.mark.parametrize("status", UserStatus)
async def test_a_status_that_is_set_already_changes_nothing(world: World, status: UserStatus) -> None:
    login = await world.log_in()
    before = await world.storage.users.set_status(login.user.id, status, OPERATOR)
    follower = await Follower.start(world.storage.feed)
    events = await world.storage.audit.list_events()
    assert await world.storage.users.set_status(login.user.id, status, OPERATOR) == before
    assert await follower.read() == ()
    assert await world.storage.audit.list_events() == events


async def test_a_disabled_user_is_still_found_for_login(world: World) -> None:
    """So that the right password learns that the account is disabled, and a wrong one costs as much as ever."""
    user = await world.user(EMAIL)
    await world.storage.users.set_status(user.id, UserStatus.DISABLED, OPERATOR)
    record = await login_record(world.storage, EMAIL, PLACE)
    assert record is not None
    assert (record.status, record.password_hash) == (UserStatus.DISABLED, PASSWORD_HASH)


async def test_status_of_nobody(world: World) -> None:
    assert await world.storage.users.set_status(world.new_id(), UserStatus.DISABLED, OPERATOR) is None


# --- passwords ------------------------------------------------------------------------------------------------------


async def test_a_new_password_raises_its_version_and_ver_and_ends_all_sessions(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    user = await world.storage.users.set_password(login.user.id, "new hash", OPERATOR)
    assert user == replace(login.user, ver=login.user.ver + 1)
    record = await login_record(world.storage, login.user.email, PLACE)
    assert record is not None
    assert (record.password_hash, record.password_version) == ("new hash", 2)
    assert await login.present() is RefreshRefused.REVOKED
    assert (await login.row()).revoked_reason is EndReason.PASSWORD_CHANGED
    await follower.read()
    assert follower.refuses(login.grant)
    assert await world.audited(AuditKind.PASSWORD_SET) == 1


async def test_password_of_nobody(world: World) -> None:
    assert await world.storage.users.set_password(world.new_id(), "hash", OPERATOR) is None


async def test_versions_of_passwords_set_at_once_all_differ(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    user = await world.user(EMAIL)
    users = await asyncio.gather(
        *(worlds[n % 2].storage.users.set_password(user.id, f"hash {n}", OPERATOR) for n in range(10))
    )
    record = await login_record(world.storage, EMAIL, PLACE)
    assert record is not None
    assert record.password_version == 11
    assert {each.ver for each in users if each is not None} == set(range(2, 12))


async def test_a_better_hash_ends_nothing(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    assert await world.storage.users.replace_password_hash(login.user.id, PASSWORD_HASH, "better", HOME)
    record = await login_record(world.storage, login.user.email, PLACE)
    assert record is not None
    assert (record.password_hash, record.password_version) == ("better", 1)
    assert await user_of(world.storage, login.user) == login.user
    assert isinstance(await login.present(), Moved)
    assert await follower.read() == ()
    assert await world.audited(AuditKind.PASSWORD_REHASHED) == 1


async def test_a_hash_that_has_changed_is_not_replaced(world: World) -> None:
    user = await world.user(EMAIL)
    await world.storage.users.set_password(user.id, "new hash", OPERATOR)
    assert not await world.storage.users.replace_password_hash(user.id, PASSWORD_HASH, "better", HOME)
    record = await login_record(world.storage, EMAIL, PLACE)
    assert record is not None
    assert record.password_hash == "new hash"
    assert await world.audited(AuditKind.PASSWORD_REHASHED) == 0


async def test_one_of_many_replaces_the_hash(world: World) -> None:
    user = await world.user()
    replace_hash = world.storage.users.replace_password_hash
    done = await asyncio.gather(*(replace_hash(user.id, PASSWORD_HASH, f"better {n}", HOME) for n in range(10)))
    assert done.count(True) == 1


# --- roles ----------------------------------------------------------------------------------------------------------


async def test_roles_are_sorted_and_raise_ver(world: World) -> None:
    user = await world.user()
    changed = await world.storage.users.set_roles(user.id, add=frozenset({"clerk", "auditor"}), actor=OPERATOR)
    assert changed == replace(user, roles=("auditor", "clerk"), ver=user.ver + 1)
    changed = await world.storage.users.set_roles(user.id, remove=frozenset({"clerk"}), actor=OPERATOR)
    assert changed == replace(user, roles=("auditor",), ver=user.ver + 2)
    assert changed == await user_of(world.storage, user)


async def test_roles_that_stay_the_same_change_nothing(world: World) -> None:
    user = await world.user()
    before = await world.storage.users.set_roles(user.id, add=frozenset({"clerk"}), actor=OPERATOR)
    follower = await Follower.start(world.storage.feed)
    after = await world.storage.users.set_roles(
        user.id, add=frozenset({"clerk"}), remove=frozenset({"auditor"}), actor=OPERATOR
    )
    assert after == before
    assert await follower.read() == ()


async def test_other_roles_end_no_session_but_refuse_its_access_tokens(world: World) -> None:
    login = await world.log_in()
    before = login.grant
    follower = await Follower.start(world.storage.feed)
    await world.storage.users.set_roles(login.user.id, add=frozenset({"clerk"}), actor=OPERATOR)
    await follower.read()
    assert follower.refuses(before)
    assert isinstance(await login.present(), Moved)
    assert not follower.refuses(login.grant)


async def test_each_role_is_audited(world: World) -> None:
    user = await world.user()
    await world.storage.users.set_roles(user.id, add=frozenset({"a", "b"}), actor=OPERATOR)
    await world.storage.users.set_roles(user.id, add=frozenset({"c"}), remove=frozenset({"a"}), actor=OPERATOR)
    events = [event.event for event in await world.storage.audit.list_events(limit=4)]
    roles = {(event.kind, event.detail["role"]) for event in events}
    added, removed = AuditKind.ROLE_ADDED, AuditKind.ROLE_REMOVED
    assert roles == {(added, "a"), (added, "b"), (added, "c"), (removed, "a")}


async def test_roles_of_nobody(world: World) -> None:
    assert await world.storage.users.set_roles(world.new_id(), add=frozenset({"a"}), actor=OPERATOR) is None


async def test_roles_added_at_once_are_all_there(world: World, open_world: OpenWorld) -> None:
    worlds = [world, await open_world()]
    user = await world.user()
    roles = [f"role{number}" for number in range(10)]
    await asyncio.gather(
        *(
            worlds[n % 2].storage.users.set_roles(user.id, add=frozenset({role}), actor=OPERATOR)
            for n, role in enumerate(roles)
        )
    )
    changed = await user_of(world.storage, user)
    assert changed.roles == tuple(roles)
    assert changed.ver == user.ver + 10
