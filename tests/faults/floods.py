"""`python -m tests.faults.floods`: one flood, made by a process of its own that leaves the processor to all others.

Its orders come on standard input, as a line of JSON. In the end it prints how often it was answered what: a status of
HTTP, `none` where the service ended the connection without one, `left` where the flood had to.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from random import Random

import msgspec

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from keybearer.credentials.refresh_token import PREFIX
from keybearer.server.adapters.scheduling import stand_back
from tests.faults.lines import Line
from tests.faults.wire import HOST, Request

_BASE = "/v1/api/oauth/token"

NICENESS = 10

PIPELINED = 16
"""Requests that a connection sends without waiting: as many as the service takes in."""
CONNECTIONS = 32
"""Of a flood that is made of requests."""
CONNECTIONS_OF_LOGINS = 1000
"""More than logins may wait for a password hash: the others are answered at once."""

DRIP = 1.0
"""Seconds between two bytes of a slow client."""

_MADE_UP = 48
"""Bytes of a refresh token's binder and MAC."""

GIGABYTE = 1 << 30
_PIECE = bytes(1 << 16)
_PIECE_CHUNKED = b"10000\r\n" + _PIECE + b"\r\n"


class FloodOrders(msgspec.Struct, frozen=True):
    """`size` counts connections or requests, as the flood has it; the tokens are good ones, to make false ones of.
    `seconds` is how long a slow client goes on if it is let."""

    kind: str
    port: int
    size: int
    api_key: str
    access_token: str
    refresh_token: str
    seconds: float = 120.0


Answers = Counter[str]


def _login(orders: FloodOrders, chance: Random) -> bytes:
    """Of somebody who is not there, from an address that nobody has come from."""
    headers = {"Api-Key": orders.api_key, **_from_anywhere(chance)}
    body = {"username": f"{chance.getrandbits(64):x}@example.org", "password": "a guess, and a wrong one"}
    return Request("POST", _BASE, headers, body).text("keep-alive")


def _from_anywhere(chance: Random) -> dict[str, str]:
    """What a proxy says of one of many senders."""
    return {"X-Forwarded-For": ".".join(str(part) for part in (11, *chance.getrandbits(24).to_bytes(3)))}


def _key(orders: FloodOrders, chance: Random) -> bytes:
    """An Api-Key that could be one."""
    api_key = make_api_key(ApiKeyKind.PUBLISHABLE, chance.randbytes(32))
    return _inspect(api_key, "a.b.c", chance)


def _access_token(orders: FloodOrders, chance: Random) -> bytes:
    """Signed by somebody else in the name of the service's key."""
    head, payload, _ = orders.access_token.split(".")
    forged = f"{head}.{payload}.{encode_base64url(chance.randbytes(64))}"
    return _inspect(orders.api_key, forged, chance)


def _inspect(api_key: str, access_token: str, chance: Random) -> bytes:
    headers = {"Api-Key": api_key, "Authorization": f"Bearer {access_token}", **_from_anywhere(chance)}
    return Request("GET", f"{_BASE}/info", headers).text("keep-alive")


def _refresh_token(orders: FloodOrders, chance: Random) -> bytes:
    """Of a session that there is; binder and MAC are made up."""
    good = decode_base64url(orders.refresh_token.removeprefix(PREFIX))
    assert good is not None
    forged = PREFIX + encode_base64url(good[:-_MADE_UP] + chance.randbytes(_MADE_UP))
    headers, body = {"Api-Key": orders.api_key, **_from_anywhere(chance)}, {"refresh_token": forged}
    return Request("POST", f"{_BASE}/refresh", headers, body).text("keep-alive")


# --- floods of requests ----------------------------------------------------------------------------------------------

Make = Callable[[FloodOrders, Random], bytes]


async def flood_with_requests(orders: FloodOrders, make: Make, connections: int = CONNECTIONS) -> Answers:
    """One after another on some connections, as fast as they are answered."""
    answers = Answers()
    chance = Random(time.time_ns())
    requests = (make(orders, chance) for _ in range(orders.size))
    await asyncio.gather(*(_ask_all(orders.port, requests, answers) for _ in range(connections)))
    return answers


async def _ask_all(port: int, requests: Iterator[bytes], answers: Answers) -> None:
    while batch := list(islice(requests, PIPELINED)):
        line = await Line.open(port)
        try:
            while batch:
                answers.update(str(status) for status, _ in await line.ask(*batch))
                batch = list(islice(requests, PIPELINED))
        except (OSError, EOFError):
            answers["none"] += len(batch)
        finally:
            line.close()


async def flood_with_logins(orders: FloodOrders) -> Answers:
    """All at once, each on a connection of its own."""
    chance, answers = Random(time.time_ns()), Answers()
    requests = [_login(orders, chance) for _ in range(orders.size)]
    await _together(orders, answers, lambda line: line.ask(requests.pop()))
    return answers


# --- floods of connections -------------------------------------------------------------------------------------------


async def _together(
    orders: FloodOrders, answers: Answers, work: Callable[[Line], Awaitable[object]], size: int | None = None
) -> None:
    """So many connections, each for one piece of work; what is answered is counted."""

    async def one() -> None:
        try:
            line = await Line.open(orders.port)
        except OSError:
            answers["none"] += 1
            return
        try:
            async with asyncio.timeout(orders.seconds):
                answers[_status(await work(line))] += 1
        except TimeoutError:
            answers["left"] += 1
        except (OSError, EOFError):
            answers["none"] += 1
        finally:
            line.close()

    await asyncio.gather(*(one() for _ in range(orders.size if size is None else size)))


def _status(outcome: object) -> str:
    match outcome:
        case [(int(status), _)]:
            return str(status)
        case bytes() if outcome.startswith(b"HTTP/1.1 "):
            return outcome[9:12].decode()
        case _:
            return "none"


async def _idle(line: Line) -> bytes:
    return await line.ends()


async def _idle_after_a_request(line: Line) -> bytes:
    await line.ask(Request("GET", "/health/live", {}).text("keep-alive"))
    return await line.ends()


async def _drip(line: Line, text: bytes) -> bytes:
    """A byte at a time, until the service has enough of it."""
    ended = asyncio.create_task(line.ends())
    try:
        for byte in text:
            line.writer.write(bytes((byte,)))
            done, _ = await asyncio.wait({ended}, timeout=DRIP)
            if done:
                break
        return await ended
    finally:
        ended.cancel()


async def flood_with_slow_clients(orders: FloodOrders) -> Answers:
    """A third of them send a head a byte at a time, a third a body; the others send nothing, or nothing more."""
    answers = Answers()
    request = _login(orders, Random(time.time_ns()))
    head, _, body = request.partition(b"\r\n\r\n")

    async def slow_body(line: Line) -> bytes:
        line.writer.write(head + b"\r\n\r\n")
        return await _drip(line, body)

    third = orders.size // 3
    await asyncio.gather(
        _together(orders, answers, lambda line: _drip(line, request), third),
        _together(orders, answers, slow_body, third),
        _together(orders, answers, _idle, third // 2),
        _together(orders, answers, _idle_after_a_request, third // 2),
    )
    return answers


async def flood_with_large_bodies(orders: FloodOrders) -> Answers:
    """A gigabyte on each connection; half of them say so before."""
    answers = Answers()
    head = f"POST {_BASE} HTTP/1.1\r\nHost: {HOST}\r\nApi-Key: {orders.api_key}\r\nContent-Type: application/json\r\n"

    async def declared(line: Line) -> bytes:
        return await _pour(line, f"{head}Content-Length: {GIGABYTE}\r\n\r\n".encode(), _PIECE)

    async def chunked(line: Line) -> bytes:
        return await _pour(line, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), _PIECE_CHUNKED)

    await asyncio.gather(
        _together(orders, answers, declared, orders.size // 2), _together(orders, answers, chunked, orders.size // 2)
    )
    return answers


async def _pour(line: Line, head: bytes, piece: bytes) -> bytes:
    """Whatever is answered meanwhile; the rest is sent all the same, as long as somebody takes it."""
    answered = asyncio.create_task(line.reader.read(64))
    line.writer.write(head)
    try:
        for _ in range(GIGABYTE // len(_PIECE)):
            line.writer.write(piece)
            await line.writer.drain()
    except OSError:
        pass
    try:
        return await answered
    finally:
        answered.cancel()


FLOODS: dict[str, Callable[[FloodOrders], Awaitable[Answers]]] = {
    "logins": flood_with_logins,
    "usernames": lambda orders: flood_with_requests(orders, _login, CONNECTIONS_OF_LOGINS),
    "keys": lambda orders: flood_with_requests(orders, _key),
    "access tokens": lambda orders: flood_with_requests(orders, _access_token),
    "refresh tokens": lambda orders: flood_with_requests(orders, _refresh_token),
    "slow clients": flood_with_slow_clients,
    "large bodies": flood_with_large_bodies,
}


def main() -> None:
    stand_back(NICENESS)
    orders = msgspec.json.decode(sys.stdin.readline(), type=FloodOrders)
    answers = asyncio.run(_run(orders))
    print(json.dumps(answers))  # noqa: T201 - the parent reads it


async def _run(orders: FloodOrders) -> Answers:
    return await FLOODS[orders.kind](orders)


if __name__ == "__main__":
    main()
