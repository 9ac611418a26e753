"""Refreshing over HTTP: concurrency, lost answers, restarts."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import asyncpg
import pytest
from prometheus_client import generate_latest

from keybearer.server.domain.audit import AuditKind
from keybearer.server.storage.schema import sqlite_path
from tests.http.world import HANG, World, attributes, code_of, running
from tests.support.backends import Backend

KEY = "k" * 22

OTHERS = 12
"""More refreshes than the storage has under way at a time."""


@asynccontextmanager
async def writes_held_up(backend: Backend) -> AsyncIterator[None]:
    """For the block, which is short, no refresh comes to its end: another transaction has what all of them need."""
    path = sqlite_path(backend.database_url)
    if path is not None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    connection = await asyncpg.connect(backend.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_a_hundred_concurrent_refreshes_end_with_one_token(world: World) -> None:
    session = await world.session()
    answers = await asyncio.gather(*(world.refresh(session["refreshToken"]) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({attributes(answer)["refreshToken"] for answer in answers}) == 1
    for answer in answers[::25]:
        assert (await world.info(attributes(answer)["accessToken"])).status_code == 200


async def test_a_lost_answer_is_answered_again_within_the_window(world: World) -> None:
    session = await world.session()
    lost = attributes(await world.refresh(session["refreshToken"]))
    await world.advance(59.999)
    again = attributes(await world.refresh(session["refreshToken"]))
    assert again["refreshToken"] == lost["refreshToken"]


@pytest.mark.parametrize("hours", [1, 24, 24 * 29])
async def test_a_lost_answer_is_answered_again_for_its_idempotency_key(world: World, hours: int) -> None:
    session = await world.session()
    headers = {"Idempotency-Key": KEY}
    lost = attributes(await world.refresh(session["refreshToken"], headers=headers))
    await world.advance(hours * 3600)
    again = await world.refresh(session["refreshToken"], headers=headers)
    assert attributes(again)["refreshToken"] == lost["refreshToken"]


async def test_another_idempotency_key_is_no_excuse(world: World) -> None:
    session = await world.session()
    await world.refresh(session["refreshToken"], headers={"Idempotency-Key": KEY})
    await world.advance(60)
    answer = await world.refresh(session["refreshToken"], headers={"Idempotency-Key": "z" * 22})
    assert code_of(answer) == (401, "refresh_token_reused")


async def test_reuse_ends_that_session_only(world: World) -> None:
    mine, other = await world.session(), await world.session()
    await world.refresh(mine["refreshToken"])
    await world.advance(60)
    assert code_of(await world.refresh(mine["refreshToken"])) == (401, "refresh_token_reused")
    assert (await world.info(other["accessToken"])).status_code == 200
    assert (await world.refresh(other["refreshToken"])).status_code == 200


async def test_a_restart_forgets_nothing(backend: Backend) -> None:
    async with running(backend) as world:
        session = await world.session()
        moved = attributes(await world.refresh(session["refreshToken"]))
        key = world.key
    async with running(backend, populated=False) as again:
        answer = await again.refresh(session["refreshToken"], key=key)
        assert attributes(answer)["refreshToken"] == moved["refreshToken"]
        assert (await again.info(moved["accessToken"], key=key)).status_code == 200
        await again.advance(60)
        assert code_of(await again.refresh(session["refreshToken"], key=key)) == (401, "refresh_token_reused")
        assert code_of(await again.info(moved["accessToken"], key=key)) == (401, "access_token_revoked")


async def test_a_refresh_does_not_begin_when_its_client_has_gone(backend: Backend) -> None:
    """Its client asks again, elsewhere, and goes on: done late, it would present a token that is too old by then."""
    async with running(backend) as world:
        mine = await world.session()
        others = [await world.session() for _ in range(OTHERS)]
        async with writes_held_up(backend):
            before = [asyncio.create_task(world.refresh(other["refreshToken"])) for other in others]
            await asyncio.sleep(0.1)  # they come first, whatever else happens
            asking = asyncio.create_task(world.refresh(mine["refreshToken"]))
            await asyncio.sleep(0.1)
            asking.cancel()
            await until_gone(world)
        assert {answer.status_code for answer in await asyncio.gather(*before)} == {200}
        events = [event.event for event in await world.storage.audit.list_events()]
        refreshed = {str(event.session_id) for event in events if event.kind is AuditKind.REFRESH}
        assert refreshed == {other["sessionId"] for other in others}
        assert (await world.refresh(mine["refreshToken"])).status_code == 200


async def until_gone(world: World) -> None:
    name = 'keybearer_requests_total{code="",operation="refresh",status="499"} 1.0'
    async with asyncio.timeout(HANG):
        while name not in generate_latest(world.registry).decode():
            await asyncio.sleep(0.01)


async def test_an_access_token_never_outlives_its_session(backend: Backend) -> None:
    async with running(backend, {"session_absolute_lifetime": "1000", "session_idle_lifetime": "1000"}) as world:
        session = await world.session()
        await world.advance(500)
        refreshed = attributes(await world.refresh(session["refreshToken"]))
        assert refreshed["expiresIn"] == 500
        await world.advance(500)
        assert code_of(await world.info(refreshed["accessToken"])) == (401, "access_token_expired")
        assert code_of(await world.refresh(refreshed["refreshToken"])) == (401, "refresh_token_expired")
