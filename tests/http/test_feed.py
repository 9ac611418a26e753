"""The credential feed: every change arrives, streams resume without a gap, and end when they must."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import generate_latest

from keybearer.base64url import encode_base64url
from keybearer.credentials.api_key import ApiKeyKind, hash_api_key
from keybearer.guard.state import RevokedSession
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.ids import uuid7
from keybearer.server.domain.revocations import FeedBatch
from keybearer.server.domain.secret_keys import KeyPurpose
from keybearer.server.domain.sessions import EndReason
from keybearer.server.domain.users import UserStatus
from keybearer.server.flows import stream_feed
from keybearer.server.flows.recent_entries import RecentEntries
from tests.http.events import Event, streaming
from tests.http.test_outage import let_process_age
from tests.http.test_outage import outage as outage
from tests.http.world import BASE, OPERATOR, ORIGIN, PASSWORD, World, attributes, code_of, running
from tests.support.backends import Backend
from tests.support.outages import Outage
from tests.support.raw_sql import fetch

SNAPSHOT = f"{BASE}/feed/snapshot"
FEED = f"{BASE}/feed"
INFO = f"{BASE}/oauth/token/info"
VERIFY = f"{BASE}/verify"
GUARD = frozenset({"guard"})


@pytest.fixture
async def guard(world: World) -> tuple[str, ApiKey]:
    return await add_guard(world)


async def add_guard(world: World) -> tuple[str, ApiKey]:
    return await world.add_key(world.application, ApiKeyKind.SECRET, permissions=GUARD)


async def snapshot(world: World, key: str, **options: Any) -> dict[str, Any]:
    answer = await world.request("GET", SNAPSHOT, key=key, **options)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def end_session(world: World) -> str:
    """End a new session; its id."""
    session = await world.session()
    await world.revoke(session["accessToken"])
    return str(session["sessionId"])


# --- what arrives ----------------------------------------------------------------------------------------------------

Change = Callable[[World, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Makes a change, given a session of the world's user; answers what the entry about it must say."""

CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    CHANGES[function.__name__] = function
    return function


@change
async def logout(world: World, session: dict[str, Any]) -> dict[str, Any]:
    assert (await world.revoke(session["accessToken"])).status_code == 200
    return {"kind": "session", "id": session["sessionId"]}


@change
async def logout_everywhere(world: World, session: dict[str, Any]) -> dict[str, Any]:
    assert (await world.revoke(session["accessToken"], params={"allDevices": "true"})).status_code == 200
    return {"kind": "user", "id": str(world.user.id), "ver": world.user.ver + 1}


@change
async def own_session_ended(world: World, session: dict[str, Any]) -> dict[str, Any]:
    other = await world.session()
    path = f"{BASE}/sessions/{session['sessionId']}"
    assert (await world.request("DELETE", path, token=other["accessToken"])).status_code == 204
    return {"kind": "session", "id": session["sessionId"]}


@change
async def reuse(world: World, session: dict[str, Any]) -> dict[str, Any]:
    attributes(await world.refresh(session["refreshToken"]))
    await world.advance(60)
    assert code_of(await world.refresh(session["refreshToken"])) == (401, "refresh_token_reused")
    return {"kind": "session", "id": session["sessionId"]}


@change
async def administrator(world: World, session: dict[str, Any]) -> dict[str, Any]:
    await world.storage.sessions.end(UUID(session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    return {"kind": "session", "id": session["sessionId"]}


@change
async def user_disabled(world: World, session: dict[str, Any]) -> dict[str, Any]:
    await world.storage.users.set_status(world.user.id, UserStatus.DISABLED, OPERATOR)
    return {"kind": "user", "id": str(world.user.id), "ver": world.user.ver + 1}


@change
async def role_changed(world: World, session: dict[str, Any]) -> dict[str, Any]:
    await world.storage.users.set_roles(world.user.id, add=frozenset({"editor"}), actor=OPERATOR)
    return {"kind": "user", "id": str(world.user.id), "ver": world.user.ver + 1}


@change
async def password_changed(world: World, session: dict[str, Any]) -> dict[str, Any]:
    await world.storage.users.set_password(world.user.id, await world.hasher.hash(PASSWORD), OPERATOR)
    return {"kind": "user", "id": str(world.user.id), "ver": world.user.ver + 1}


@change
async def application_disabled(world: World, session: dict[str, Any]) -> dict[str, Any]:
    other = await world.add_application("Other")
    await world.storage.applications.set_enabled(other.id, False, OPERATOR)
    return {"kind": "application", "id": str(other.id), "state": "disabled", "origins": [ORIGIN]}


@change
async def key_revoked(world: World, session: dict[str, Any]) -> dict[str, Any]:
    text, key = await world.add_key(world.application, ApiKeyKind.SECRET)
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    return {"kind": "key", "hash": encode_base64url(hash_api_key(text)), "keyKind": "secret", "state": "revoked"}


@change
async def signing_key_added(world: World, session: dict[str, Any]) -> dict[str, Any]:
    await world.service._keys.rotate(KeyPurpose.SIGNING, OPERATOR)
    return {"kind": "keySet"}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_arrives(world: World, guard: tuple[str, ApiKey], name: str) -> None:
    session = await world.session()
    async with streaming(world, guard[0]) as stream:
        first = await stream.events.heartbeat()
        expected = await CHANGES[name](world, session)
        while True:
            entries = await stream.events.batch()
            if any(expected.items() <= entry.data.items() for entry in entries):
                break
        assert all(position_of(entry) > first.data["position"] for entry in entries)


def position_of(event: Event) -> int:
    assert event.id is not None
    return int(event.id.rpartition(":")[2])


async def test_an_entry_lasts_as_long_as_the_tokens_that_it_concerns(world: World, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        await stream.events.heartbeat()
        await end_session(world)
        (entry,) = await stream.events.batch()
    assert entry.data["expiresAt"] >= world.clock.now() + 900_000


async def test_a_revocation_of_another_process_arrives(world: World, backend: Backend) -> None:
    session = await world.session()
    key, _ = await add_guard(world)
    async with running(backend, populated=False) as other, streaming(other, key) as stream:
        await stream.events.heartbeat()
        began = time.monotonic()
        await world.revoke(session["accessToken"])
        (entry,) = await stream.events.batch()
        assert time.monotonic() - began < 2
        assert entry.data["id"] == session["sessionId"]
        assert code_of(await other.info(session["accessToken"], key=world.key)) == (401, "access_token_revoked")


# --- the form of a stream --------------------------------------------------------------------------------------------


async def test_a_stream_begins_with_a_heartbeat(world: World, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        event = await stream.events.heartbeat()
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store"
    assert "x-request-id" in stream.headers and "content-length" not in stream.headers
    follower = world.service.follower
    assert event.data == {
        "asOf": world.service.state.as_of,
        "now": world.clock.now(),
        "position": follower.position,
    }
    assert event.id == f"{follower.epoch}:{follower.position}"


async def test_a_heartbeat_comes_every_few_seconds(
    world: World, guard: tuple[str, ApiKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stream_feed.PULSE_INTERVAL == 5.0
    monkeypatch.setattr(stream_feed, "PULSE_INTERVAL", 0.05)
    async with streaming(world, guard[0]) as stream:
        first = await stream.events.heartbeat()
        await world.advance(3)
        while (event := await stream.events.heartbeat()).data["asOf"] == first.data["asOf"]:
            pass
    assert event.data["asOf"] == event.data["now"] == first.data["now"] + 3000
    assert event.data["position"] == first.data["position"]


async def test_every_entry_has_the_id_of_its_position(world: World, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        before = await stream.events.heartbeat()
        sessions = [await world.session() for _ in range(3)]
        await world.storage.users.set_status(world.user.id, UserStatus.DISABLED, OPERATOR)
        events = await stream.events.batch()
    positions = [position_of(event) for event in events]
    assert positions == sorted(set(positions))
    assert positions[0] == position_of(before) + 1
    assert len(sessions) == 3


# --- resuming --------------------------------------------------------------------------------------------------------


async def test_a_stream_resumes_without_a_gap(world: World, guard: tuple[str, ApiKey]) -> None:
    ended = []
    async with streaming(world, guard[0]) as stream:
        last = (await stream.events.heartbeat()).id
    received: list[Event] = []
    for _ in range(3):
        received.clear()
        ended += [await end_session(world) for _ in range(3)]
        async with streaming(world, guard[0], last) as stream:
            while len(received) < 3:
                received += await stream.events.batch()
        last = received[-1].id
        assert [event.data["id"] for event in received] == ended[-3:]


async def test_a_stream_resumes_from_the_database(world: World, guard: tuple[str, ApiKey]) -> None:
    """Positions that this process has never had in memory, as after a restart."""
    async with streaming(world, guard[0]) as stream:
        last = (await stream.events.heartbeat()).id
    ended = [await end_session(world) for _ in range(5)]
    world.service.follower.recent.restart(world.service.follower.position)
    async with streaming(world, guard[0], last) as stream:
        received = await stream.events.batch()
    assert [event.data["id"] for event in received] == ended


async def test_a_long_way_is_caught_up_in_parts(
    world: World, guard: tuple[str, ApiKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with streaming(world, guard[0]) as stream:
        last = (await stream.events.heartbeat()).id
    count = 1200
    user = await world.add_user("many@example.com")
    for number in range(count):
        await world.storage.users.set_roles(
            user.id, add=frozenset({f"role{number % 2}"}), remove=frozenset({f"role{1 - number % 2}"}), actor=OPERATOR
        )
    await world.service.follower.catch_up()
    world.service.follower.recent.restart(world.service.follower.position)
    async with streaming(world, guard[0], last) as stream:
        received = await stream.events.batch()
    assert [event.data["ver"] for event in received] == list(range(user.ver + 1, user.ver + 1 + count))


@pytest.mark.parametrize("last", ["nonsense", "", "another-epoch:0", "{epoch}:-1", "{epoch}:99999999", "{epoch}:x"])
async def test_a_position_that_is_none_of_ours_is_reset(world: World, guard: tuple[str, ApiKey], last: str) -> None:
    async with streaming(world, guard[0], last.format(epoch=world.service.follower.epoch)) as stream:
        event = await stream.events.next()
        assert event is not None and (event.kind, event.data) == ("reset", {})
        assert await stream.events.next() is None


async def test_a_position_that_is_gone_is_reset(world: World, guard: tuple[str, ApiKey]) -> None:
    first = await snapshot(world, guard[0])
    await end_session(world)
    await world.advance(10 * 86400)
    await world.service.upkeep.remove_expired()
    world.service.follower.recent.restart(world.service.follower.position)
    async with streaming(world, guard[0], f"{first['epoch']}:{first['position']}") as stream:
        event = await stream.events.next()
        assert event is not None and event.kind == "reset"


async def test_a_new_epoch_resets_streams_that_run(world: World, backend: Backend, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        last = (await stream.events.heartbeat()).id
        await fetch(backend.database_url, "UPDATE feed SET epoch = 'another'")
        assert [event.kind for event in await stream.events.end()] == ["reset"]
    async with streaming(world, guard[0], last) as stream:
        assert [event.kind for event in await stream.events.end()] == ["reset"]
    assert (await snapshot(world, guard[0]))["epoch"] == "another"


async def test_a_guard_may_come_from_a_process_that_is_ahead(world: World, backend: Backend) -> None:
    """The position is the database's, and this process has not read so far yet."""
    key, _ = await add_guard(world)
    async with running(backend, populated=False) as ahead:
        before = world.service.follower.epoch, world.service.follower.position
        await end_session(world)
        await ahead.service.follower.catch_up()
        last = f"{ahead.service.follower.epoch}:{ahead.service.follower.position}"
        world.service.follower.epoch, world.service.follower.position = before
        async with streaming(world, key, last) as stream:
            assert (await stream.events.heartbeat()).id == last


def test_recent_entries_are_bounded() -> None:
    recent = RecentEntries(limit=10)
    recent.restart(100)
    for end in range(103, 200, 3):
        entries = tuple((position, RevokedSession(str(position), 0)) for position in range(end - 2, end + 1))
        recent.add(FeedBatch("epoch", end, entries))
    assert recent.start == 190
    assert recent.find_after(189) is None
    for position in (190, 191, 192):
        batch = recent.find_after(position)
        assert batch is not None and batch.position == 193
        assert [at for at, _ in batch.entries] == list(range(position + 1, 194))
    assert recent.find_after(199) is None


# --- the snapshot ----------------------------------------------------------------------------------------------------


async def test_a_snapshot_is_the_whole_state(world: World, guard: tuple[str, ApiKey]) -> None:
    ended = [await end_session(world) for _ in range(2)]
    await world.storage.users.set_status(world.user.id, UserStatus.DISABLED, OPERATOR)
    text, key = await world.add_key(world.application, ApiKeyKind.SECRET, expires_at=world.clock.now() + 5000)
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    disabled = await world.add_application("Other", origins=())
    await world.storage.applications.set_enabled(disabled.id, False, OPERATOR)
    await world.service.follower.catch_up()
    document = await snapshot(world, guard[0])
    follower = world.service.follower
    assert (document["epoch"], document["position"]) == (follower.epoch, follower.position)
    assert document["asOf"] == document["now"] == world.clock.now()
    assert document["issuer"] == document["audience"] == "https://auth.example.com"
    assert document["keySetVersion"] == world.service.state.key_set_version
    assert list(document)[-2:] == ["sessions", "users"]
    applications = {application["id"]: application for application in document["applications"]}
    assert applications[str(world.application.id)]["origins"] == [ORIGIN]
    assert applications[str(disabled.id)]["state"] == "disabled"
    keys = {key["hash"]: key for key in document["keys"]}
    assert len(keys) == 4
    assert keys[encode_base64url(hash_api_key(guard[0]))]["hasPermissions"] is True
    revoked = keys[encode_base64url(hash_api_key(text))]
    assert (revoked["state"], revoked["expiresAt"]) == ("revoked", world.clock.now() + 5000)
    assert revoked["applicationId"] == str(world.application.id)
    assert set(ended) <= {session["id"] for session in document["sessions"]}
    assert [user["id"] for user in document["users"]] == [str(world.user.id)]
    assert document["users"][0]["ver"] == world.user.ver + 1


async def test_a_snapshot_of_many_sessions_lets_others_be_answered(world: World, guard: tuple[str, ApiKey]) -> None:
    ids = {str(uuid7(number, world.randomness.bytes(10))) for number in range(100_000)}
    for id in ids:
        world.service.state.apply(RevokedSession(id, world.clock.now() + 900_000))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    taking = asyncio.create_task(world.request("GET", SNAPSHOT, key=guard[0]))
    watching = asyncio.create_task(watch())
    answer = await taking
    watching.cancel()
    assert {session["id"] for session in answer.json()["sessions"]} == ids
    assert longest < 0.5  # in truth a few milliseconds; the machine of the tests may be busy


async def test_changes_while_a_snapshot_is_sent_do_no_harm(world: World, guard: tuple[str, ApiKey]) -> None:
    """What was there before is in it; what is added meanwhile comes with the stream."""
    state = world.service.state
    before = {str(uuid7(number, world.randomness.bytes(10))) for number in range(20_000)}
    for id in before:
        state.apply(RevokedSession(id, world.clock.now() + 900_000))
    taking = asyncio.create_task(snapshot(world, guard[0]))
    for number in range(2000):
        state.apply(RevokedSession(str(uuid7(number, world.randomness.bytes(10))), world.clock.now() + 900_000))
        await asyncio.sleep(0)
    document = await taking
    assert before <= {session["id"] for session in document["sessions"]}


async def test_a_snapshot_that_is_known_is_not_sent_again(world: World, guard: tuple[str, ApiKey]) -> None:
    answer = await world.request("GET", SNAPSHOT, key=guard[0])
    tag = answer.headers["etag"]
    assert tag == f'W/"{answer.json()["epoch"]}:{answer.json()["position"]}"'
    for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        again = await world.request("GET", SNAPSHOT, key=guard[0], headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    await end_session(world)
    fresh = await world.request("GET", SNAPSHOT, key=guard[0], headers={"If-None-Match": tag})
    assert fresh.status_code == 200 and fresh.headers["etag"] != tag


async def test_snapshot_and_stream_leave_nothing_out(world: World, guard: tuple[str, ApiKey]) -> None:
    for _ in range(3):
        await end_session(world)
    document = await snapshot(world, guard[0])
    known = {session["id"] for session in document["sessions"]}
    late = await end_session(world)
    async with streaming(world, guard[0], f"{document['epoch']}:{document['position']}") as stream:
        known |= {event.data["id"] for event in await stream.events.batch()}
    assert late in known and len(known) == 4


# --- who may, and when it ends ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SNAPSHOT, FEED])
async def test_only_a_guard_may(world: World, path: str) -> None:
    admin, _ = await world.add_key(world.application, ApiKeyKind.SECRET, permissions=frozenset({"admin"}))
    public, _ = await world.add_key(world.application, ApiKeyKind.PUBLISHABLE, permissions=GUARD)
    for key in (world.key, world.secret, admin, public):
        assert code_of(await world.request("GET", path, key=key)) == (403, "permission_denied")
    assert code_of(await world.request("GET", path, key=None)) == (403, "api_key_missing")
    key, _ = await add_guard(world)
    answer = await world.request("GET", path, key=key, headers={"Origin": ORIGIN})
    assert code_of(answer) == (403, "origin_not_allowed")
    for method in ("HEAD", "POST"):
        assert (await world.request(method, path, key=key)).status_code == 405


async def test_the_rest_of_the_service_takes_a_guards_key(world: World, guard: tuple[str, ApiKey]) -> None:
    session = await world.session(key=guard[0])
    assert (await world.info(session["accessToken"], key=guard[0])).status_code == 200


async def test_a_revoked_key_ends_its_streams(world: World, guard: tuple[str, ApiKey]) -> None:
    other, _ = await add_guard(world)
    async with streaming(world, guard[0]) as stream, streaming(world, other) as going_on:
        await stream.events.heartbeat()
        await going_on.events.heartbeat()
        await world.storage.api_keys.revoke(guard[1].id, OPERATOR)
        assert await stream.events.end() == []
        assert [event.data["kind"] for event in await going_on.events.batch()] == ["key"]
    assert code_of(await world.request("GET", FEED, key=guard[0])) == (403, "api_key_revoked")


async def test_an_expired_key_ends_its_streams(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_feed, "PULSE_INTERVAL", 0.05)
    expires_at = world.clock.now() + 1000
    key, _ = await world.add_key(world.application, ApiKeyKind.SECRET, permissions=GUARD, expires_at=expires_at)
    async with streaming(world, key) as stream:
        await stream.events.heartbeat()
        await world.advance(1)
        assert all(event.kind == "heartbeat" for event in await stream.events.end())


async def test_a_disabled_application_ends_its_streams(world: World, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        await stream.events.heartbeat()
        await world.storage.applications.set_enabled(world.application.id, False, OPERATOR)
        assert await stream.events.end() == []


async def test_streams_are_bounded(backend: Backend) -> None:
    async with running(backend, {"feed_streams": "2"}) as world:
        key, _ = await add_guard(world)
        async with streaming(world, key) as first, streaming(world, key) as second:
            await first.events.heartbeat()
            await second.events.heartbeat()
            refused = await world.request("GET", FEED, key=key)
            assert code_of(refused) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) >= 1
        await until(lambda: world.service.streams.count == 0)
        async with streaming(world, key) as third:
            await third.events.heartbeat()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_reader_that_has_gone_is_noticed(world: World, guard: tuple[str, ApiKey]) -> None:
    async with streaming(world, guard[0]) as stream:
        await stream.events.heartbeat()
        assert world.service.streams.count == 1
    await until(lambda: world.service.streams.count == 0)


async def test_a_slow_reader_costs_no_memory_and_misses_nothing(
    world: World, guard: tuple[str, ApiKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads nothing while more passes than the process and the sockets keep; then all of it."""
    monkeypatch.setattr(world.service.follower, "recent", RecentEntries(limit=10))
    world.service.follower.recent.restart(world.service.follower.position)
    async with streaming(world, guard[0]) as stream:
        await stream.events.heartbeat()
        user = await world.add_user("many@example.com")
        for number in range(300):
            add, remove = (frozenset({f"role{(number + more) % 2}"}) for more in (0, 1))
            await world.storage.users.set_roles(user.id, add=add, remove=remove, actor=OPERATOR)
        received: list[Event] = []
        while len(received) < 300:
            received += await stream.events.batch()
    assert [event.data["ver"] for event in received] == list(range(user.ver + 1, user.ver + 301))


async def test_streams_end_at_shutdown(backend: Backend) -> None:
    async with asyncio.timeout(15), running(backend, {"shutdown_grace": "60"}) as world:
        key, _ = await add_guard(world)
        async with streaming(world, key) as stream, streaming(world, key) as other:
            await stream.events.heartbeat()
            await other.events.heartbeat()
            ending = asyncio.create_task(stream.events.end())
            world.service.drain()
            assert await ending == []
            assert await other.events.end() == []
            assert code_of(await world.request("GET", FEED, key=key)) == (503, "overloaded")
            assert (await world.request("GET", "/health/ready", key=None)).status_code == 503


async def test_a_service_with_streams_stops_quickly(backend: Backend) -> None:
    began = 0.0
    async with running(backend, {"shutdown_grace": "60"}) as world:
        key, _ = await add_guard(world)
        reader, writer = await asyncio.open_connection(*world.address)
        writer.write(f"GET {FEED} HTTP/1.1\r\nHost: x\r\nApi-Key: {key}\r\n\r\n".encode())
        await reader.readuntil(b"event: heartbeat")
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert world.service.draining
    writer.close()


async def test_a_stream_is_counted_when_it_begins(world: World, guard: tuple[str, ApiKey]) -> None:
    name = 'keybearer_requests_total{code="",operation="followFeed",status="200"} 1.0'
    async with streaming(world, guard[0]) as stream:
        await stream.events.heartbeat()
        assert name in generate_latest(world.registry).decode()
        await asyncio.sleep(0.2)
    await until(lambda: world.service.streams.count == 0)
    text = generate_latest(world.registry).decode()
    assert name in text
    assert 'keybearer_request_seconds_bucket{le="0.1",operation="followFeed"} 1.0' in text


async def test_out_of_sight_of_the_database(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams end in time for guards to find another process; token info and snapshot hold out for as long as guards
    would; then all of them say that they cannot tell."""
    monkeypatch.setattr(stream_feed, "PULSE_INTERVAL", 0.05)
    async with running(outage.world.backend) as world:
        session = await world.session()
        key, _ = await add_guard(world)
        async with streaming(world, key) as stream:
            first = await stream.events.heartbeat()
            outage.begin()
            let_process_age(world, monkeypatch, 30)
            event = await stream.events.heartbeat()
            while event.data["now"] == first.data["now"]:
                event = await stream.events.heartbeat()
            assert event.data["asOf"] == first.data["asOf"]
            let_process_age(world, monkeypatch, 1)
            await stream.events.end()
        assert code_of(await world.request("GET", FEED, key=key)) == (503, "storage_unavailable")
        assert (await snapshot(world, key))["asOf"] == first.data["asOf"]
        assert (await world.request("GET", VERIFY, token=session["accessToken"])).status_code == 204

        let_process_age(world, monkeypatch, 30)
        for path, sent in ((FEED, key), (SNAPSHOT, key), (INFO, world.key), (VERIFY, world.key)):
            answer = await world.request("GET", path, key=sent, token=session["accessToken"])
            assert code_of(answer) == (503, "storage_unavailable"), path
            assert int(answer.headers["retry-after"]) >= 1

        outage.end()
        await until(world.service.is_ready)
        async with streaming(world, key, first.id) as stream:
            assert (await stream.events.heartbeat()).data["asOf"] > first.data["asOf"]


async def test_a_position_that_the_process_cannot_look_up_is_not_reset(outage: Outage) -> None:
    """Whether it is one of the database's only the database knows."""
    async with running(outage.world.backend) as world:
        key, _ = await add_guard(world)
        outage.begin()
        last = f"{world.service.follower.epoch}:{world.service.follower.position + 1}"
        answer = await world.request("GET", FEED, key=key, headers={"Last-Event-ID": last})
        assert code_of(answer) == (503, "storage_unavailable")
        outage.end()
