"""What nobody should send: each is refused with its code, costs no query where the contract says so, leaves nothing."""

import asyncio
import json
import re
import socket

import pytest

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from keybearer.server.http import protocol
from tests.http.world import BASE, PASSWORD, World, code_of

LOGIN = f"{BASE}/oauth/token"
REFRESH = f"{BASE}/oauth/token/refresh"

BODIES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "empty": (b"", (400, "malformed_json")),
    "no JSON": (b"hello", (400, "malformed_json")),
    "duplicate members": (
        b'{"username":"jane@example.com","username":"jane@example.com","password":"x"}',
        (400, "malformed_json"),
    ),
    "invalid UTF-8": (b'{"username":"\xff","password":"x"}', (400, "malformed_json")),
    "lone surrogate": (b'{"username":"\\ud800","password":"x"}', (400, "malformed_json")),
    "NaN": (b'{"username":NaN,"password":"x"}', (400, "malformed_json")),
    "deep nesting": (b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}", (400, "malformed_json")),
    "an array": (b"[]", (422, "validation_failed")),
    "null members": (b'{"username":null,"password":null}', (422, "validation_failed")),
    "an empty name": (b'{"username":"","password":"x"}', (422, "validation_failed")),
    "a long name": (b'{"username":"' + b"x" * 300 + b'","password":"x"}', (422, "validation_failed")),
    "a long password": (
        b'{"username":"jane@example.com","password":"' + "é".encode() * 600 + b'"}',
        (422, "validation_failed"),
    ),
    "NUL bytes": (b'{"username":"jane\\u0000@example.com","password":"a\\u0000b"}', (401, "invalid_credentials")),
    "unknown members": (
        b'{"username":"jane@example.com","password":"' + PASSWORD.encode() + b'","more":[{}]}',
        (200, ""),
    ),
}


@pytest.mark.parametrize("name", BODIES)
async def test_body(world: World, name: str) -> None:
    body, expected = BODIES[name]
    answer = await world.request("POST", LOGIN, content=body, headers={"Content-Type": "application/json"})
    assert expected == (200, "") if answer.status_code == 200 else code_of(answer) == expected
    assert (await world.log_in()).status_code == 200


@pytest.mark.parametrize(
    "media_type", ["application/vnd.api+json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_media_types_that_are_understood(world: World, media_type: str) -> None:
    body = json.dumps({"username": "jane@example.com", "password": PASSWORD}).encode()
    answer = await world.request("POST", LOGIN, content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 200


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/json; charset=latin-1"])
async def test_media_types_that_are_not(world: World, media_type: str) -> None:
    answer = await world.request("POST", LOGIN, content=b"{}", headers={"Content-Type": media_type})
    assert code_of(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "authorization",
    ["Basic amFuZTpzZWNyZXQ=", "Bearer", "bearer", "Token abc", "abc"],
)
async def test_no_bearer_token(world: World, authorization: str) -> None:
    answer = await world.info(None, headers={"Authorization": authorization})
    assert code_of(answer) == (401, "access_token_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_token_in_the_query_is_no_token(world: World) -> None:
    session = await world.session()
    answer = await world.info(None, params={"access_token": session["accessToken"]})
    assert code_of(answer) == (401, "access_token_missing")


async def test_a_scheme_is_compared_without_case(world: World) -> None:
    session = await world.session()
    answer = await world.info(None, headers={"Authorization": f"bEaReR  {session['accessToken']}"})
    assert answer.status_code == 200


async def test_a_token_with_any_other_character(world: World) -> None:
    """Every byte that a header can carry and a token cannot."""
    token = (await world.session())["accessToken"]
    allowed = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    for byte in (*range(0x21, 0x7F), *range(0x80, 0x100)):
        if byte in allowed:
            continue
        authorization = b"Bearer " + token[:20].encode() + bytes([byte]) + token[20:].encode()
        answer = await world.client.get(
            f"{BASE}/oauth/token/info", headers=[(b"Api-Key", world.key.encode()), (b"Authorization", authorization)]
        )
        assert code_of(answer) == (401, "access_token_corrupted"), byte


async def test_tokens_that_somebody_forged(world: World) -> None:
    token = (await world.session())["accessToken"]
    header, payload, signature = token.split(".")
    claims = json.loads(decode_base64url(payload) or b"")

    def encode(document: object) -> str:
        return encode_base64url(json.dumps(document).encode())

    forged = {
        "alg none": f"{encode({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.",
        "alg HS256": f"{encode({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'x'})}.{payload}.{signature}",
        "unknown kid": f"{encode({'alg': 'ES256', 'typ': 'at+jwt', 'kid': 'x'})}.{payload}.{signature}",
        "exp as text": f"{header}.{encode({**claims, 'exp': '9999999999'})}.{signature}",
        "other claims": f"{header}.{encode({**claims, 'sub': 'somebody'})}.{signature}",
        "no signature": f"{header}.{payload}.",
        "cut": token[:-1],
    }
    for name, text in forged.items():
        assert code_of(await world.info(text)) == (401, "access_token_invalid"), name
    assert code_of(await world.info("a" * 8193)) == (401, "access_token_corrupted")


@pytest.mark.parametrize("token", ["", 1, None, [], {}, True])
async def test_a_refresh_token_that_is_no_text(world: World, token: object) -> None:
    assert code_of(await world.refresh(token)) == (422, "validation_failed")


@pytest.mark.parametrize("token", ["a b", "kbr_\n", "kbr_\x00", "kbr_😀", "kbr_ä"])
async def test_a_refresh_token_outside_the_alphabet(world: World, token: str) -> None:
    assert code_of(await world.refresh(token)) == (401, "refresh_token_corrupted")


@pytest.mark.parametrize("key", ["kbp_", "nonsense", "kbp_" + "A" * 49, "kbp_ü", "x" * 5000])
async def test_an_api_key_of_no_form(world: World, key: str) -> None:
    answer = await world.client.post(LOGIN, headers=[(b"Api-Key", key.encode("latin-1"))])
    assert code_of(answer) == (403, "api_key_invalid")


@pytest.mark.parametrize("name", ["Api-Key", "Authorization", "Origin"])
async def test_a_header_that_stands_twice(world: World, name: str) -> None:
    answer = await world.client.get(f"{BASE}/oauth/token/info", headers=[(name, "a"), (name, "b")])
    assert code_of(answer) == (400, "malformed_request")


@pytest.mark.parametrize("key", ["short", "x" * 65, "with space in the middle of it", "ä" * 30])
async def test_an_idempotency_key_of_no_form(world: World, key: str) -> None:
    session = await world.session()
    answer = await world.refresh(session["refreshToken"], headers={"Idempotency-Key": key.encode("latin-1")})
    assert code_of(answer) == (400, "malformed_request")


async def test_a_secret_key_in_a_browser(world: World) -> None:
    answer = await world.log_in(key=world.secret, headers={"Origin": "https://app.example.com"})
    assert code_of(answer) == (403, "origin_not_allowed")
    answer = await world.log_in(headers={"Origin": "null"})
    assert code_of(answer) == (403, "origin_not_allowed")


async def test_a_body_without_a_length(world: World) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nApi-Key: {world.key}\r\nContent-Type: application/json\r\n"
    body = json.dumps({"username": "jane@example.com", "password": PASSWORD})
    chunked = f"{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n"
    assert (await world.send_raw(chunked.encode())).startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_never_ends(world: World) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nApi-Key: {world.key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = head.encode() + b"1000\r\n" + (b"x" * 0x1000 + b"\r\n1000\r\n") * 100
    answer = await world.send_raw(endless)
    assert b"body_too_large" in answer
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_length_beyond_the_limit_is_refused_before_the_body(world: World) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    assert (await world.send_raw(head.encode())).startswith(b"HTTP/1.1 413 ")


async def test_a_head_that_never_ends(world: World) -> None:
    data = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000
    assert (await world.send_raw(data)).startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_http(world: World) -> None:
    assert (await world.send_raw(b"\x00\x01\x02 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_more_pipelined_requests_than_a_connection_may_have_waiting(world: World) -> None:
    """They are not kept: the connection is closed, and memory stays flat. No refusal is told, which would be taken for
    the answer to one of them."""
    answer = await world.send_raw(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
    assert b"HTTP/1.1 400 " not in answer
    assert answer.count(b"HTTP/1.1 200 ") < 100
    assert (await world.info(None)).status_code == 401


AT_ONCE, WAITING = "/health/live", f"{BASE}/sessions"
"""Only the second one needs a task."""


@pytest.mark.parametrize(
    "paths", [[AT_ONCE] * 10, [WAITING] * 10, [WAITING, AT_ONCE] * 5, [AT_ONCE, AT_ONCE, WAITING, WAITING] * 3]
)
async def test_a_few_pipelined_requests_are_answered_in_order(world: World, paths: list[str]) -> None:
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: n{n}\r\n" for n, path in enumerate(paths)]
    answer = await world.send_raw(("\r\n".join(requests) + "Connection: close\r\n\r\n").encode())
    assert re.findall(rb"x-request-id: (\w+)", answer) == [b"n%d" % n for n in range(len(paths))]
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200" if path == AT_ONCE else b"403" for path in paths]


async def send_until_closed(connection: socket.socket, data: bytes) -> None:
    """Again and again, with time in between to be answered: more than may wait are refused."""
    async with asyncio.timeout(60):
        while True:
            await asyncio.get_running_loop().sock_sendall(connection, data)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("path", [AT_ONCE, WAITING])
async def test_who_reads_no_answers_is_not_answered_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nothing more of his is taken in once the buffers are full, and then his connection is closed."""
    monkeypatch.setattr(protocol, "SEND_TIMEOUT", 0.3)
    with socket.create_connection(world.address) as silent:
        silent.setblocking(False)
        requests = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * protocol.MAX_PIPELINED
        with pytest.raises(ConnectionError):
            await send_until_closed(silent, requests)


@pytest.mark.parametrize(
    "stray", [b"\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"]
)
async def test_a_connection_that_begins_no_request_is_closed(
    world: World, monkeypatch: pytest.MonkeyPatch, stray: bytes
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT", 0.3)
    reader, writer = await asyncio.open_connection(*world.address)
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" + stray)
    async with asyncio.timeout(20):
        await asyncio.sleep(0.1)
        writer.write(b"\r\n" if stray == b"\r\n" else b"1\r\nx\r\n")
        while await reader.read(65536):
            pass
    writer.close()


async def test_two_lengths(world: World) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"
    assert (await world.send_raw(head.encode())).startswith(b"HTTP/1.1 400 ")


async def test_refusals_that_cost_no_query(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed, foreign or forged credential is refused by itself: no store is asked."""
    session = await world.session()
    good = session["refreshToken"]
    body = decode_base64url(good[4:]) or b""
    forged = "kbr_" + encode_base64url(body[:-1] + bytes([body[-1] ^ 1]))
    foreign = "kbr_" + encode_base64url(body[:1] + b"\xff\xff\xff\xff" + body[5:])
    asked = []

    async def refuse(*args: object, **kwargs: object) -> None:
        asked.append(args)

    monkeypatch.setattr(type(world.storage.sessions), "refresh", refuse)
    for token in (forged, foreign, "kbr_short", "x.y-z"):
        assert code_of(await world.refresh(token)) == (401, "refresh_token_invalid")
    for key in ("nonsense", make_api_key(ApiKeyKind.PUBLISHABLE, b"y" * 32)):
        assert code_of(await world.refresh(good, key=key)) == (403, "api_key_invalid")
    assert asked == []


async def test_many_hostile_connections_at_once_do_no_harm(world: World) -> None:
    junk = [b"GET ", b"\r\n" * 100, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", b"\xff" * 50]
    await asyncio.gather(*(world.send_raw(data) for data in junk * 10))
    assert (await world.log_in()).status_code == 200
