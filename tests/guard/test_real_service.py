"""A guard and the service itself, over a socket."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.errors import (
    AccessTokenExpired,
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    ApiKeyInvalid,
    ApiKeyRevoked,
    ApplicationDisabled,
    KeybearerError,
)
from keybearer.guard import Caller, Credentials, Guard, GuardKeyRefused, Limits, Requirements, WrongService
from keybearer.server.domain.users import UserStatus
from tests.http.world import OPERATOR, World

HANG = 20.0
QUICK = Limits(refused_pause=0.2)


async def guard_key(world: World, *permissions: str) -> str:
    application = await world.add_application("Notes")
    text, _ = await world.add_key(application, ApiKeyKind.SECRET, permissions=frozenset(permissions))
    return text


def url(world: World) -> str:
    return f"http://127.0.0.1:{world.address[1]}/v1/api"


@pytest.fixture
async def guard(world: World) -> AsyncIterator[Guard]:
    guard = Guard(url(world), await guard_key(world, "guard"), limits=QUICK)
    await asyncio.to_thread(guard.start)
    yield guard
    await asyncio.to_thread(guard.close)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("keybearer-guard-")]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG):
        while not condition():
            await asyncio.sleep(0.002)


def outcome(guard: Guard, credentials: Credentials) -> type[KeybearerError] | None:
    try:
        guard.verify(credentials)
    except KeybearerError as error:
        return type(error)
    return None


def known(guard: Guard) -> tuple[object, ...]:
    """All that a guard knows, to be compared with what another one does."""
    state = guard._knowledge.state
    sessions, users = frozenset(state.revoked_sessions()), frozenset(state.revoked_users())
    return state.applications, state.keys, state.key_set_version, sessions, users


async def credentials_of(world: World) -> Credentials:
    session = await world.session()
    return Credentials(world.key, f"Bearer {session['accessToken']}")


async def test_the_caller(world: World, guard: Guard) -> None:
    session = await world.session()
    caller = guard.verify(Credentials(world.key, f"Bearer {session['accessToken']}"))
    assert isinstance(caller, Caller)
    assert caller.user_id == str(world.user.id)
    assert caller.application_id == str(world.application.id)
    assert caller.session_id == session["sessionId"]
    assert caller.claims["iss"] == "https://auth.example.com"
    assert await guard.verify_async(Credentials(world.secret, f"Bearer {session['accessToken']}")) is caller


async def test_a_log_out_arrives(world: World, guard: Guard) -> None:
    credentials = await credentials_of(world)
    assert outcome(guard, credentials) is None
    assert credentials.authorization is not None
    await world.revoke(credentials.authorization.removeprefix("Bearer "))
    await eventually(lambda: outcome(guard, credentials) is AccessTokenRevoked)
    assert guard.metrics.entries == 1 and guard.metrics.snapshots == 1


async def test_a_disabled_user_arrives(world: World, guard: Guard) -> None:
    credentials = await credentials_of(world)
    await world.storage.users.set_status(world.user.id, UserStatus.DISABLED, OPERATOR)
    await eventually(lambda: outcome(guard, credentials) is AccessTokenRevoked)


async def test_keys_and_applications_arrive(world: World, guard: Guard) -> None:
    credentials = await credentials_of(world)
    other = await world.add_application("Other")
    text, key = await world.add_key(other, ApiKeyKind.PUBLISHABLE)
    foreign = Credentials(text, credentials.authorization)
    await eventually(lambda: outcome(guard, foreign) is AccessTokenWrongApplication)
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    await eventually(lambda: outcome(guard, foreign) is ApiKeyRevoked)
    await world.storage.applications.set_enabled(world.application.id, False, OPERATOR)
    await eventually(lambda: outcome(guard, credentials) is ApplicationDisabled)
    await world.storage.applications.set_enabled(world.application.id, True, OPERATOR)


async def test_time_is_the_services(world: World, guard: Guard) -> None:
    """The service's clock is years from this machine's, and a fake one that stands still."""
    credentials = await credentials_of(world)
    assert outcome(guard, credentials) is None
    assert guard.staleness < 60
    await world.clock.advance(901)
    await eventually(lambda: outcome(guard, credentials) is AccessTokenExpired)
    assert guard.staleness < 60


async def test_a_key_with_permissions_is_refused_from_callers(world: World, guard: Guard) -> None:
    credentials = await credentials_of(world)
    internal = Credentials(await guard_key(world, "admin"), credentials.authorization)
    await eventually(
        lambda: internal.api_key is not None and guard._knowledge.state.find_key(internal.api_key) is not None
    )
    with pytest.raises(ApiKeyInvalid, match="works at Keybearer only"):
        guard.verify(internal)


async def test_a_signing_key_that_was_rotated_refuses_no_token(world: World, guard: Guard) -> None:
    old = await credentials_of(world)
    fetches = guard.metrics.key_fetches
    await world.service._renew_keys()
    assert outcome(guard, old) is None
    assert guard.metrics.key_fetches >= fetches


@pytest.mark.parametrize("permissions", [(), ("admin",)])
async def test_a_key_without_the_permission_is_refused_at_start(world: World, permissions: tuple[str, ...]) -> None:
    guard = Guard(url(world), await guard_key(world, *permissions), limits=QUICK)
    with pytest.raises(GuardKeyRefused, match="does not have the permission 'guard'"):
        await asyncio.to_thread(guard.start)


async def test_a_wrong_path_is_told_at_start(world: World) -> None:
    guard = Guard(f"http://127.0.0.1:{world.address[1]}/elsewhere", await guard_key(world, "guard"), limits=QUICK)
    with pytest.raises(WrongService, match="check base_url"):
        await asyncio.to_thread(guard.start)


async def test_another_issuer_is_told_at_start(world: World) -> None:
    guard = Guard(url(world), await guard_key(world, "guard"), issuer="https://other.example", limits=QUICK)
    with pytest.raises(WrongService, match="another issuer's"):
        await asyncio.to_thread(guard.start)


async def test_introspection_asks_the_service(world: World) -> None:
    guard = Guard(url(world), await guard_key(world, "guard"), on_stale="introspect", limits=QUICK)
    await asyncio.to_thread(guard.start)
    guard._knowledge.check._max_staleness = -1  # whatever it hears, it is not enough
    try:
        credentials = await credentials_of(world)
        caller = await guard.verify_async(credentials)
        assert caller is not None and caller.user_id == str(world.user.id)
        assert await guard.verify_async(Credentials(world.key, None), Requirements(optional=True)) is None
        assert credentials.authorization is not None
        await world.revoke(credentials.authorization.removeprefix("Bearer "))
        with pytest.raises(AccessTokenRevoked):
            await guard.verify_async(credentials)
        assert guard.metrics.introspected == 3
    finally:
        await asyncio.to_thread(guard.close)
