"""A head that is known spares its parsing, and nothing else: it is held to what holds at the moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.http.world import BASE, OPERATOR, World

Change = Callable[[World, dict[str, Any]], Awaitable[object]]


def head_of(world: World, session: dict[str, Any], path: str = "/oauth/token/info", key: str | None = None) -> bytes:
    lines = (
        f"GET {BASE}{path} HTTP/1.1",
        "Host: auth.example.com",
        f"Api-Key: {key or world.key}",
        f"Authorization: Bearer {session['accessToken']}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """Sends a head, and takes the status and the headers of its answer."""
    reader, writer = await asyncio.open_connection(*world.address)

    async def ask(head: bytes) -> bytes:
        writer.write(head)
        async with asyncio.timeout(30):
            answer = await reader.readuntil(b"\r\n\r\n")
            for line in answer.lower().split(b"\r\n"):
                name, _, value = line.partition(b": ")
                if name == b"content-length":
                    await reader.readexactly(int(value))
        return answer

    try:
        yield ask
    finally:
        writer.close()


async def revoke(world: World, session: dict[str, Any]) -> None:
    await world.revoke(session["accessToken"])


async def let_expire(world: World, _: dict[str, Any]) -> None:
    await world.advance(901)


async def disable_application(world: World, _: dict[str, Any]) -> None:
    await world.storage.applications.set_enabled(world.application.id, False, OPERATOR)
    await world.service.follower.catch_up()


@pytest.mark.parametrize("path", ["/oauth/token/info", "/verify"])
@pytest.mark.parametrize(("change", "status"), [(revoke, b"401"), (let_expire, b"401"), (disable_application, b"403")])
async def test_it_is_refused_as_soon_as_it_is_to_be(world: World, path: str, change: Change, status: bytes) -> None:
    session = await world.session()
    head = head_of(world, session, path)
    async with connected(world) as ask:
        good = [(await ask(head)).split()[1] for _ in range(2)]
        assert good == [b"204" if path == "/verify" else b"200"] * 2
        assert world.service.edge.known_heads.find(head) is not None
        await change(world, session)
        assert (await ask(head)).split()[1] == status


async def test_each_answer_has_an_id_of_its_own(world: World) -> None:
    head = head_of(world, await world.session())
    async with connected(world) as ask:
        answers = [await ask(head) for _ in range(3)]
    ids = {line for answer in answers for line in answer.split(b"\r\n") if line.startswith(b"x-request-id:")}
    assert len(ids) == 3


async def test_nobody_is_known_by_what_needs_no_credentials_or_is_refused(world: World) -> None:
    refused = head_of(world, await world.session(), key="kb_none")
    open_to_all = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    async with connected(world) as ask:
        for head, status in ((refused, b"403"), (open_to_all, b"200")):
            assert [(await ask(head)).split()[1] for _ in range(2)] == [status] * 2
            assert world.service.edge.known_heads.find(head) is None
