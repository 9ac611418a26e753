"""A flood of requests that are refused: who was answered well before does not wait behind it, whatever the proxy."""

import asyncio

from tests.http.world import HANG, ORIGIN, World, attributes, running
from tests.support.backends import Backend

INFO = "/v1/api/oauth/token/info"
TRUSTING = {"trusted_proxies": "127.0.0.1/32"}
HOME = {"X-Forwarded-For": "198.51.100.7"}
PEER = "127.0.0.1"
FLOOD = 300


async def flood(world: World, first: int) -> list[asyncio.Task[int]]:
    """Requests with a key that is none, each from an address and on a connection of its own; all of them are sent."""
    lines = await asyncio.gather(*(asyncio.open_connection(*world.address) for _ in range(FLOOD)))
    tasks = []
    for number, (reader, writer) in enumerate(lines, first):
        address = f"203.0.{number // 250}.{number % 250}"
        writer.write(
            f"GET {INFO} HTTP/1.1\r\nHost: x\r\nApi-Key: no\r\nX-Forwarded-For: {address}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        tasks.append(asyncio.create_task(status_of(reader, writer)))
    return tasks


async def status_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    async with asyncio.timeout(HANG):
        answer = await reader.read()
    writer.close()
    return int(answer[9:12])


async def test_who_was_answered_well_goes_before_a_flood(backend: Backend) -> None:
    async with running(backend, TRUSTING) as world:
        session = attributes(await world.log_in(headers=HOME))
        await asyncio.gather(*await flood(world, 0))
        strangers = await flood(world, FLOOD)
        answer = await world.info(session["accessToken"], headers=HOME)
        refreshed = await world.refresh(session["refreshToken"], headers=HOME)
        health = await world.client.get("/health/live")
        waiting = sum(not stranger.done() for stranger in strangers)
        assert (answer.status_code, refreshed.status_code, health.status_code) == (200, 200, 200)
        assert waiting > 0
        assert set(await asyncio.gather(*strangers)) == {403}


async def test_a_stranger_has_his_turn_in_a_flood(backend: Backend) -> None:
    async with running(backend, TRUSTING) as world:
        session = attributes(await world.log_in(headers=HOME))
        await asyncio.gather(*await flood(world, 0))
        strangers = await flood(world, FLOOD)
        answer = await world.info(session["accessToken"], headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.status_code == 200
        assert set(await asyncio.gather(*strangers)) == {403}


async def test_a_token_that_was_seen_before_goes_before_a_flood_of_the_same_sender(world: World) -> None:
    """As behind a proxy that is not trusted."""
    tokens = [(await world.session())["accessToken"] for _ in range(2)]
    ended, token = tokens
    for known in tokens:
        await world.info(known)
    await world.revoke(ended)
    await asyncio.gather(*await flood(world, 0))
    assert world.service.edge.turns.credit(PEER) == 0
    strangers = await flood(world, FLOOD)
    refused = asyncio.create_task(world.info(ended))
    assert (await world.info(token)).status_code == 200
    assert sum(not stranger.done() for stranger in strangers) > 0
    assert not refused.done()
    assert set(await asyncio.gather(*strangers)) == {403}
    assert (await refused).status_code == 401


async def test_only_answers_that_took_credentials_make_a_sender_known(world: World) -> None:
    turns = world.service.edge.turns
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    for method, path, headers in (("GET", "/health/live", {}), ("OPTIONS", INFO, preflight), ("GET", "/none", {})):
        await world.client.request(method, path, headers=headers)
        assert turns.credit(PEER) == 0
    session = await world.session()
    assert turns.credit(PEER) == 1
    await world.info(session["accessToken"])
    assert turns.credit(PEER) == 2
    await world.info("none")
    assert turns.credit(PEER) == 1


async def test_a_trusted_proxy_speaks_for_many(backend: Backend) -> None:
    async with running(backend, TRUSTING) as world:
        await world.log_in(headers=HOME)
        turns = world.service.edge.turns
        assert turns.credit(hash((PEER, b"198.51.100.7"))) == 1
        assert turns.credit(hash((PEER, b"198.51.100.8"))) == turns.credit(PEER) == 0


async def test_a_peer_that_is_not_trusted_speaks_for_itself(world: World) -> None:
    await world.log_in(headers=HOME)
    assert world.service.edge.turns.credit(PEER) == 1
