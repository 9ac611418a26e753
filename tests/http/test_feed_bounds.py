"""What whoever has a guard's key can cost the service: readers that stop, and many snapshots at once."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
import pytest

from keybearer.guard.state import RevokedSession
from keybearer.server.domain.ids import uuid7
from keybearer.server.flows import snapshot_turns
from keybearer.server.flows.snapshot_turns import AT_ONCE
from keybearer.server.http import protocol
from keybearer.server.http.feed import LONGEST
from tests.http.test_feed import FEED, SNAPSHOT, add_guard, until
from tests.http.world import HANG, OPERATOR, World, code_of, running
from tests.support.backends import Backend

MANY_ORIGINS = tuple(f"https://{number:0200}.example.com" for number in range(2000))
"""Of an application whose entry takes 400 kB: ten of them are more than the sockets of a loopback connection keep."""

SESSIONS = 70_000
"""That have ended: 6 MB of a snapshot, more than those sockets keep, too."""


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[socket.socket]:
    """A connection that takes little unread."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        await asyncio.get_running_loop().sock_connect(reader, world.address)
        yield reader


async def ask(reader: socket.socket, path: str, key: str) -> bytes:
    """The beginning of the answer."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(reader, f"GET {path} HTTP/1.1\r\nHost: x\r\nApi-Key: {key}\r\n\r\n".encode())
    async with asyncio.timeout(20):
        return await loop.sock_recv(reader, 1024)


def is_held(reader: socket.socket) -> bool:
    """Whether this process, which is the service too, has the other end open."""
    own = reader.getsockname()
    return any(connection.raddr == own for connection in psutil.Process().net_connections("tcp"))


def revoke_many(world: World) -> None:
    for number in range(SESSIONS):
        id = str(uuid7(number, world.randomness.bytes(10)))
        world.service.state.apply(RevokedSession(id, world.clock.now() + 900_000))


@asynccontextmanager
async def taken(world: World, key: str) -> AsyncIterator[list[socket.socket]]:
    """All turns, by readers that have stopped."""
    revoke_many(world)
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(connected(world)) for _ in range(AT_ONCE)]
        for reader in readers:
            assert (await ask(reader, SNAPSHOT, key)).startswith(b"HTTP/1.1 200 ")
        yield readers
    await until(lambda: world.service.snapshot_turns.count == 0)


@pytest.fixture
async def key(world: World) -> str:
    return (await add_guard(world))[0]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy with other tests."""
    monkeypatch.setattr(snapshot_turns, "PATIENCE", HANG)


# --- readers that stop -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [FEED, SNAPSHOT])
async def test_a_reader_that_stops_is_cut_off(
    world: World, key: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert protocol.SEND_TIMEOUT == 30
    monkeypatch.setattr(protocol, "SEND_TIMEOUT", 0.3)
    applications = [await world.add_application(f"Large {number}", MANY_ORIGINS) for number in range(20)]
    await world.service.follower.catch_up()
    async with connected(world) as reader:
        assert (await ask(reader, path, key)).startswith(b"HTTP/1.1 200 ")
        assert is_held(reader)
        for application in applications:
            await world.storage.applications.set_enabled(application.id, False, OPERATOR)
        await until(lambda: not is_held(reader))
        await until(lambda: world.service.streams.count == world.service.snapshot_turns.count == 0)
    assert (await world.request("GET", SNAPSHOT, key=key)).status_code == 200


async def test_a_reader_that_is_too_slow_for_a_snapshot_gets_a_part_of_it(world: World, key: str) -> None:
    revoke_many(world)
    async with connected(world) as reader:
        received = await ask(reader, SNAPSHOT, key)
        await world.advance(LONGEST / 1000 + 1)
        async with asyncio.timeout(20):
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += await asyncio.get_running_loop().sock_recv(reader, 65_536)
    assert 0 < received.count(b'"expiresAt":') < SESSIONS
    assert world.service.snapshot_turns.count == 0


# --- snapshots at once -----------------------------------------------------------------------------------------------


async def test_who_gets_no_turn_is_refused_and_told_when_to_come_back(
    world: World, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_turns, "PATIENCE", 0.1)
    async with taken(world, key):
        refused = await world.request("GET", SNAPSHOT, key=key)
        assert code_of(refused) == (503, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert world.service.snapshot_turns.count == AT_ONCE
    assert (await world.request("GET", SNAPSHOT, key=key)).status_code == 200


async def test_a_snapshot_that_is_known_needs_no_turn(world: World, key: str) -> None:
    async with taken(world, key):
        follower = world.service.follower
        known = {"If-None-Match": f'"{follower.epoch}:{follower.position}"'}
        assert (await world.request("GET", SNAPSHOT, key=key, headers=known)).status_code == 304


@pytest.mark.usefixtures("patient")
async def test_who_waits_is_served_when_another_has_gone(world: World, key: str) -> None:
    async with taken(world, key) as readers:
        waiting = asyncio.create_task(world.request("GET", SNAPSHOT, key=key))
        await until(lambda: world.service.snapshot_turns.count == AT_ONCE + 1)
        readers[3].close()
        answer = await waiting
    document = answer.json()
    assert answer.status_code == 200 and len(document["sessions"]) == SESSIONS
    assert answer.headers["etag"] == f'W/"{document["epoch"]}:{document["position"]}"'


@pytest.mark.usefixtures("patient")
async def test_those_who_wait_are_bounded(backend: Backend) -> None:
    async with running(backend, {"feed_streams": str(AT_ONCE + 1)}) as world:
        key, _ = await add_guard(world)
        async with taken(world, key) as readers:
            waiting = asyncio.create_task(world.request("GET", SNAPSHOT, key=key))
            await until(lambda: world.service.snapshot_turns.count == AT_ONCE + 1)
            assert code_of(await world.request("GET", SNAPSHOT, key=key)) == (503, "overloaded")
            readers[0].close()
            assert (await waiting).status_code == 200


@pytest.mark.usefixtures("patient")
async def test_many_guards_that_start_at_once_are_all_served(world: World, key: str) -> None:
    """Eight times as many as have a turn; none need come back."""
    answers = await asyncio.gather(*(world.request("GET", SNAPSHOT, key=key) for _ in range(8 * AT_ONCE)))
    assert [answer.status_code for answer in answers] == [200] * 8 * AT_ONCE
