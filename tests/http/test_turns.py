"""A flood of requests that are refused: who was answered well before does not wait behind it, whatever the proxy."""

import asyncio
import re

from prometheus_client import generate_latest

from keybearer.credentials.api_key import ApiKeyKind
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
        answers = [await world.info(session["accessToken"], headers=HOME), await world.client.get("/health/live")]
        assert sum(not stranger.done() for stranger in strangers) > 0
        answers.append(await world.refresh(session["refreshToken"], headers=HOME))
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert set(await asyncio.gather(*strangers)) == {403}


async def test_a_stranger_has_his_turn_in_a_flood(backend: Backend) -> None:
    async with running(backend, TRUSTING) as world:
        session = attributes(await world.log_in(headers=HOME))
        await asyncio.gather(*await flood(world, 0))
        strangers = await flood(world, FLOOD)
        async with asyncio.timeout(HANG):
            while not world.service.edge.turns.waiting:
                await asyncio.sleep(0)
        answer = await world.info(session["accessToken"], headers={"X-Forwarded-For": "192.0.2.1"})
        assert answer.status_code == 200
        assert set(await asyncio.gather(*strangers)) == {403}


async def test_a_token_that_was_seen_before_goes_before_a_flood_of_the_same_sender(world: World) -> None:
    """As behind a proxy that is not trusted."""
    token = (await world.session())["accessToken"]
    await world.info(token)
    await asyncio.gather(*await flood(world, 0))
    assert world.service.edge.turns.credit(PEER) == 0
    strangers = await flood(world, FLOOD)
    assert (await world.info(token)).status_code == 200
    assert (await world.request("POST", "/v1/api/verify/orders/1", token=token)).status_code == 204
    assert sum(not stranger.done() for stranger in strangers) > 0
    assert set(await asyncio.gather(*strangers)) == {403}


async def test_a_good_token_takes_nobodys_bad_requests_along(world: World) -> None:
    token = (await world.session())["accessToken"]
    await world.info(token)
    await asyncio.gather(*await flood(world, 0))
    for _ in range(3):
        assert (await world.info(token)).status_code == 200
        assert world.service.edge.turns.credit(PEER) == 0


async def test_a_token_is_recognised_as_long_as_it_is_good(world: World) -> None:
    session = await world.session()
    token, check = session["accessToken"], world.service.check

    def recognised(token: str | None, key: str | None, origin: str | None = None) -> bool:
        header = None if token is None else f"Bearer {token}"
        return check.recognises(key, header, origin, world.clock.now())

    assert not recognised(token, world.key)  # nobody has seen it yet
    await world.info(token)
    other, _ = await world.add_key(await world.add_application("Other"), ApiKeyKind.PUBLISHABLE)
    guard, _ = await world.add_key(world.application, ApiKeyKind.SECRET, permissions=frozenset({"guard"}))
    cases = (
        (token, other),
        (token, guard),
        (token, "none"),
        (token, None),
        (None, world.key),
        ("a.b.c", world.key),
    )
    assert recognised(token, world.key) and recognised(token, world.key, ORIGIN)
    assert not recognised(token, world.key, "https://elsewhere.example")
    assert not any(recognised(*case) for case in cases)
    ended = (await world.session())["accessToken"]
    await world.info(ended)
    await world.revoke(ended)
    assert not recognised(ended, world.key)
    await world.advance(session["expiresIn"])
    assert not recognised(token, world.key)


async def test_only_answers_that_took_credentials_make_a_sender_known(world: World) -> None:
    turns = world.service.edge.turns
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    other = {"X-Original-Method": "OPTIONS"}
    for method, path, headers in (
        ("GET", "/health/live", {}),
        ("HEAD", "/health/live", {}),
        ("OPTIONS", INFO, preflight),
        ("OPTIONS", "/v1/api/verify", {}),
        ("GET", "/v1/api/verify?methodHeader=X-Original-Method", other),
        ("GET", "/none", {}),
    ):
        await world.client.request(method, path, headers=headers)
        assert turns.credit(PEER) == 0, (method, path)
    session = await world.session()
    assert turns.credit(PEER) == 1
    await world.info(session["accessToken"])
    assert turns.credit(PEER) == 2
    await world.info("none")
    assert turns.credit(PEER) == 1


async def test_a_trusted_proxy_speaks_for_many(backend: Backend) -> None:
    """And what somebody says of himself, before the proxy adds its word, is nothing."""
    async with running(backend, TRUSTING) as world:
        turns = world.service.edge.turns
        for named in ("198.51.100.7", "192.0.2.1, 198.51.100.7"):
            await world.log_in(headers={"X-Forwarded-For": named})
        assert turns.credit("198.51.100.7") == 2
        assert turns.credit("192.0.2.1") == turns.credit(PEER) == 0
        await world.log_in(headers={"X-Forwarded-For": "2001:db8::7"})
        await world.log_in(headers={"X-Forwarded-For": "2001:db8::8"})
        assert turns.credit("2001:db8::/64") == 2
        await world.log_in(headers={"X-Forwarded-For": "x" * 1000})
        assert turns.credit("unknown") == 1


async def test_a_peer_that_is_not_trusted_speaks_for_itself(world: World) -> None:
    await world.log_in(headers=HOME)
    assert world.service.edge.turns.credit(PEER) == 1


async def test_who_has_gone_waits_no_more(world: World) -> None:
    turns = world.service.edge.turns
    await asyncio.gather(*await flood(world, 0))
    lines = await asyncio.gather(*(asyncio.open_connection(*world.address) for _ in range(FLOOD)))
    for _, writer in lines:
        writer.write(f"GET {INFO} HTTP/1.1\r\nHost: x\r\nApi-Key: no\r\n\r\n".encode())
    async with asyncio.timeout(HANG):
        while turns.waiting < FLOOD // 2:
            await asyncio.sleep(0)
        for _, writer in lines:
            writer.close()
        while turns.waiting or gone(world) < FLOOD // 4:
            await asyncio.sleep(0.01)


def gone(world: World) -> int:
    """Requests that ended because nobody waited for their answer."""
    metrics = generate_latest(world.registry).decode()
    found = re.search(r'requests_total{code="",operation="unknown",status="499"} (\d+)', metrics)
    return 0 if found is None else int(found[1])
