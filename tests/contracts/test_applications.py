"""The port of client applications and that of their Api-Keys."""

from dataclasses import replace
from hashlib import sha256

import pytest

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.guard.state import ApiKeyState, ApplicationState
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes
from keybearer.server.domain.audit import AuditKind
from keybearer.server.domain.sessions import EndReason, Moved, RefreshRefused
from tests.support.clock import START, FakeClock
from tests.support.follower import Follower
from tests.support.world import HOME, OPERATOR, World


def new_key(world: World, application: Application, text: str = "kbp_key", **changes: object) -> ApiKey:
    key = ApiKey(
        id=world.new_id(),
        application_id=application.id,
        kind=ApiKeyKind.PUBLISHABLE,
        key_hash=sha256(text.encode()).digest(),
        hint=text[:8],
        permissions=frozenset(),
        created_at=world.clock.now(),
    )
    return replace(key, **changes)  # type: ignore[arg-type]


# --- applications ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ApplicationKind)
@pytest.mark.parametrize("lifetimes", [Lifetimes(), Lifetimes(60, 600, 6000), Lifetimes(session_idle=600)])
async def test_an_application_is_found_as_it_was_made(
    world: World, kind: ApplicationKind, lifetimes: Lifetimes
) -> None:
    origins = ("https://shop.example", "http://localhost:3000")
    application = Application(world.new_id(), 'Shop "ž" \\', kind, origins, START, lifetimes=lifetimes)
    await world.storage.applications.create(application, OPERATOR)
    assert await world.storage.applications.find(application.id) == application


async def test_no_application_is_found_under_another_id(world: World) -> None:
    await world.application()
    assert await world.storage.applications.find(world.new_id()) is None


async def test_applications_are_listed_in_the_order_in_which_they_were_made(world: World, clock: FakeClock) -> None:
    applications = []
    for name in ("b", "a", "c"):
        await clock.advance(ms=1)
        applications.append(await world.application(name=name))
    assert await world.storage.applications.list_applications() == applications


async def test_a_new_application_is_in_the_feed(world: World) -> None:
    follower = await Follower.start(world.storage.feed)
    application = await world.application()
    state = ApplicationState(str(application.id), "shop", True, frozenset({"https://shop.example"}))
    assert await follower.read() == (state,)
    assert (await world.storage.feed.snapshot()).applications == (state,)


async def test_disabling_ends_all_sessions_of_the_application_only(world: World, clock: FakeClock) -> None:
    login = await world.log_in()
    other = await world.log_in(login.user)
    disabled = await world.storage.applications.set_enabled(login.application.id, False, OPERATOR)
    assert disabled == replace(login.application, disabled_at=clock.now())
    assert await login.present() is RefreshRefused.REVOKED
    assert (await login.row()).revoked_reason is EndReason.APPLICATION_DISABLED
    assert isinstance(await other.present(), Moved)


async def test_disabling_is_in_the_feed(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await world.storage.applications.set_enabled(login.application.id, False, OPERATOR)
    await follower.read()
    assert not follower.applications[str(login.application.id)].enabled
    assert not (await Follower.start(world.storage.feed)).applications[str(login.application.id)].enabled


async def test_enabling_restores_no_session_and_no_access_token(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await world.storage.applications.set_enabled(login.application.id, False, OPERATOR)
    enabled = await world.storage.applications.set_enabled(login.application.id, True, OPERATOR)
    assert enabled == login.application
    assert await login.present() is RefreshRefused.REVOKED
    await follower.read()
    for each in (follower, await Follower.start(world.storage.feed)):
        assert each.applications[str(login.application.id)].enabled
        assert each.refuses(login.grant)


async def test_a_follower_never_sees_an_old_token_admitted_while_it_learns_of_the_enabling(world: World) -> None:
    login = await world.log_in()
    follower = await Follower.start(world.storage.feed)
    await world.storage.applications.set_enabled(login.application.id, False, OPERATOR)
    await follower.read()
    await world.storage.applications.set_enabled(login.application.id, True, OPERATOR)
    for entry in (await world.storage.feed.tail(follower.epoch, follower.position)).entries:
        follower.apply(entry)
        assert follower.refuses(login.grant) or not follower.applications[str(login.application.id)].enabled


async def test_a_login_after_enabling_is_admitted(world: World) -> None:
    login = await world.log_in()
    for enabled in (False, True):
        await world.storage.applications.set_enabled(login.application.id, enabled, OPERATOR)
    again = await world.log_in(login.user, login.application)
    assert isinstance(await again.present(), Moved)
    assert not (await Follower.start(world.storage.feed)).refuses(again.grant)


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_state_that_is_set_already_changes_nothing(world: World, clock: FakeClock, enabled: bool) -> None:
    application = await world.application()
    before = await world.storage.applications.set_enabled(application.id, enabled, OPERATOR)
    follower = await Follower.start(world.storage.feed)
    events = await world.storage.audit.list_events()
    await clock.advance(5)
    assert await world.storage.applications.set_enabled(application.id, enabled, OPERATOR) == before
    assert await follower.read() == ()
    assert await world.storage.audit.list_events() == events


async def test_enabling_no_application(world: World) -> None:
    assert await world.storage.applications.set_enabled(world.new_id(), False, OPERATOR) is None


async def test_changes_of_an_application_are_audited(world: World) -> None:
    application = await world.application()
    for enabled in (False, True):
        await world.storage.applications.set_enabled(application.id, enabled, HOME)
    events = [event.event for event in await world.storage.audit.list_events(limit=3)]
    assert [event.kind for event in events] == [
        AuditKind.APPLICATION_ENABLED,
        AuditKind.APPLICATION_DISABLED,
        AuditKind.APPLICATION_CREATED,
    ]
    assert {event.application_id for event in events} == {application.id}


# --- Api-Keys -------------------------------------------------------------------------------------------------------


async def test_a_key_is_listed_as_it_was_made(world: World) -> None:
    application = await world.application()
    key = new_key(
        world, application, kind=ApiKeyKind.SECRET, permissions=frozenset({"guard", "admin"}), expires_at=START + 1
    )
    await world.storage.api_keys.create(key, OPERATOR)
    assert await world.storage.api_keys.list_keys() == [key]


async def test_keys_are_listed_in_the_order_in_which_they_were_made(world: World, clock: FakeClock) -> None:
    shop, desk = await world.application(), await world.application()
    keys = []
    for text, application in (("kbp_2", shop), ("kbp_1", desk), ("kbp_3", shop)):
        await clock.advance(ms=1)
        keys.append(new_key(world, application, text))
        await world.storage.api_keys.create(keys[-1], OPERATOR)
    assert await world.storage.api_keys.list_keys() == keys
    assert await world.storage.api_keys.list_keys(shop.id) == [keys[0], keys[2]]
    assert await world.storage.api_keys.list_keys(world.new_id()) == []


async def test_a_new_key_is_in_the_feed(world: World) -> None:
    application = await world.application()
    follower = await Follower.start(world.storage.feed)
    key = new_key(world, application, kind=ApiKeyKind.SECRET, permissions=frozenset({"guard"}), expires_at=START + 1)
    await world.storage.api_keys.create(key, OPERATOR)
    state = ApiKeyState(str(key.id), key.key_hash, True, str(application.id), False, START + 1, frozenset({"guard"}))
    assert await follower.read() == (state,)
    assert (await world.storage.feed.snapshot()).keys == (state,)


async def test_revoking_is_at_once_and_for_good(world: World, clock: FakeClock) -> None:
    application = await world.application()
    key = new_key(world, application)
    await world.storage.api_keys.create(key, OPERATOR)
    follower = await Follower.start(world.storage.feed)
    await clock.advance(5)
    revoked = await world.storage.api_keys.revoke(key.id, OPERATOR)
    assert revoked == replace(key, revoked_at=clock.now())
    await follower.read()
    assert follower.keys[key.key_hash].revoked
    await clock.advance(5)
    assert await world.storage.api_keys.revoke(key.id, OPERATOR) == revoked
    assert await world.storage.api_keys.list_keys() == [revoked]
    assert await follower.read() == ()


async def test_revoking_leaves_the_other_keys_alone(world: World) -> None:
    application = await world.application()
    keys = [new_key(world, application, text) for text in ("kbp_old", "kbp_new")]
    for key in keys:
        await world.storage.api_keys.create(key, OPERATOR)
    await world.storage.api_keys.revoke(keys[0].id, OPERATOR)
    assert [key.revoked_at is None for key in await world.storage.api_keys.list_keys()] == [False, True]


async def test_revoking_no_key(world: World) -> None:
    assert await world.storage.api_keys.revoke(world.new_id(), OPERATOR) is None


async def test_changes_of_a_key_are_audited_without_the_key(world: World) -> None:
    application = await world.application()
    key = new_key(world, application)
    await world.storage.api_keys.create(key, OPERATOR)
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    events = [event.event for event in await world.storage.audit.list_events(limit=2)]
    assert [event.kind for event in events] == [AuditKind.API_KEY_REVOKED, AuditKind.API_KEY_CREATED]
    assert {event.application_id for event in events} == {application.id}
    assert key.key_hash.hex() not in str(events)


async def test_the_last_use_of_a_key_never_goes_back(world: World) -> None:
    application = await world.application()
    keys = [new_key(world, application, text) for text in ("kbp_1", "kbp_2")]
    for key in keys:
        await world.storage.api_keys.create(key, OPERATOR)
    await world.storage.api_keys.record_use([(keys[1].id, START + 2), (keys[0].id, START + 1)])
    await world.storage.api_keys.record_use([(keys[0].id, START + 3), (keys[1].id, START + 1)])
    assert [key.last_used_at for key in await world.storage.api_keys.list_keys()] == [START + 3, START + 2]


async def test_use_of_unknown_keys_or_of_none(world: World) -> None:
    await world.storage.api_keys.record_use([])
    await world.storage.api_keys.record_use([(world.new_id(), START)])
    assert await world.storage.api_keys.list_keys() == []
