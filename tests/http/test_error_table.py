"""Every code of the contract's error table is reached, with its status and its headers; one request each."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx2
import pytest

from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from keybearer.errors import CATALOGUE
from keybearer.server.domain.sessions import EndReason
from keybearer.server.domain.users import UserStatus
from keybearer.wire.problems import STATUS
from tests.http.world import BASE, OPERATOR, PASSWORD, World, attributes, code_of

Case = Callable[[World], Awaitable[httpx2.Response]]

CASES: dict[str, Case] = {}

ELSEWHERE = {
    "overloaded": "test_limits: the queue is full",
    "storage_unavailable": "test_outage: the database is stopped",
    "internal_error": "test_operator: a flow fails",
}
"""Codes that need a service in a state of its own, and the test that reaches them."""


def case(code: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        CASES[code] = function
        return function

    return register


@case("malformed_json")
async def _(world: World) -> httpx2.Response:
    return await _post(world, b'{"username":')


@case("malformed_request")
async def _(world: World) -> httpx2.Response:
    headers = [("Api-Key", world.key), ("Api-Key", world.key)]
    return await world.client.get(f"{BASE}/oauth/token/info", headers=headers)


@case("invalid_credentials")
async def _(world: World) -> httpx2.Response:
    return await world.log_in(password="not this one")


@case("access_token_missing")
async def _(world: World) -> httpx2.Response:
    return await world.info(None)


@case("access_token_corrupted")
async def _(world: World) -> httpx2.Response:
    return await world.info("ab$cd")


@case("access_token_invalid")
async def _(world: World) -> httpx2.Response:
    return await world.info("a.b.c")


@case("access_token_expired")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    await world.advance(900)
    answer = await world.info(session["accessToken"])
    assert answer.json()["errors"][0]["detail"] == "The access token expired 0 s ago."
    return answer


@case("access_token_revoked")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    await world.revoke(session["accessToken"])
    return await world.info(session["accessToken"])


@case("access_token_wrong_application")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    other, _ = await world.add_key(await world.add_application("Other"), ApiKeyKind.SECRET)
    return await world.info(session["accessToken"], key=other)


@case("refresh_token_corrupted")
async def _(world: World) -> httpx2.Response:
    return await world.refresh("kbr_ü")


@case("refresh_token_invalid")
async def _(world: World) -> httpx2.Response:
    token = (await world.session())["refreshToken"]
    return await world.refresh(token[:-1] + ("A" if token[-1] != "A" else "Q"))


@case("refresh_token_expired")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    await world.advance(30 * 86400)
    return await world.refresh(session["refreshToken"])


@case("refresh_token_reused")
async def _(world: World) -> httpx2.Response:
    first = await world.session()
    second = attributes(await world.refresh(first["refreshToken"]))
    await world.advance(60)
    answer = await world.refresh(first["refreshToken"])
    assert code_of(await world.info(second["accessToken"])) == (401, "access_token_revoked")
    assert code_of(await world.refresh(second["refreshToken"])) == (401, "session_revoked")
    return answer


@case("refresh_token_wrong_application")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    other, _ = await world.add_key(await world.add_application("Other"), ApiKeyKind.SECRET)
    answer = await world.refresh(session["refreshToken"], key=other)
    assert (await world.refresh(session["refreshToken"])).status_code == 200
    return answer


@case("session_revoked")
async def _(world: World) -> httpx2.Response:
    session = await world.session()
    await world.storage.sessions.end(UUID(session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    return await world.refresh(session["refreshToken"])


@case("api_key_missing")
async def _(world: World) -> httpx2.Response:
    return await world.log_in(key=None)


@case("api_key_invalid")
async def _(world: World) -> httpx2.Response:
    return await world.log_in(key=make_api_key(ApiKeyKind.SECRET, b"x" * 32))


@case("api_key_revoked")
async def _(world: World) -> httpx2.Response:
    text, key = await world.add_key(world.application, ApiKeyKind.SECRET)
    assert (await world.log_in(key=text)).status_code == 200
    await world.storage.api_keys.revoke(key.id, OPERATOR)
    await world.service.follower.catch_up()
    return await world.log_in(key=text)


@case("api_key_expired")
async def _(world: World) -> httpx2.Response:
    text, _ = await world.add_key(world.application, ApiKeyKind.SECRET, expires_at=world.clock.now() + 1000)
    assert (await world.log_in(key=text)).status_code == 200
    await world.advance(1)
    return await world.log_in(key=text)


@case("application_disabled")
async def _(world: World) -> httpx2.Response:
    await world.storage.applications.set_enabled(world.application.id, False, OPERATOR)
    await world.service.follower.catch_up()
    return await world.log_in()


@case("origin_not_allowed")
async def _(world: World) -> httpx2.Response:
    return await world.log_in(headers={"Origin": "https://evil.example.com"})


@case("account_disabled")
async def _(world: World) -> httpx2.Response:
    await world.storage.users.set_status(world.user.id, UserStatus.DISABLED, OPERATOR)
    wrong = await world.log_in(password="not this one")
    assert code_of(wrong) == (401, "invalid_credentials")
    return await world.log_in(password=PASSWORD)


@case("permission_denied")
async def _(world: World) -> httpx2.Response:
    return await world.request("GET", f"{BASE}/feed/snapshot", key=world.secret)


@case("not_found")
async def _(world: World) -> httpx2.Response:
    return await world.request("GET", f"{BASE}/nothing/here")


@case("method_not_allowed")
async def _(world: World) -> httpx2.Response:
    answer = await world.request("PUT", f"{BASE}/oauth/token/revoke")
    assert answer.headers["allow"] == "POST, GET, OPTIONS"
    return answer


@case("body_too_large")
async def _(world: World) -> httpx2.Response:
    return await world.log_in(username="x" * 1_000_000)


@case("unsupported_media_type")
async def _(world: World) -> httpx2.Response:
    return await _post(world, b"username=jane", media_type="application/x-www-form-urlencoded")


@case("validation_failed")
async def _(world: World) -> httpx2.Response:
    answer = await _post(world, b'{"username": 1}')
    pointers = [error["source"]["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["/username", "/password"]
    return answer


@case("too_many_attempts")
async def _(world: World) -> httpx2.Response:
    for _ in range(30):
        assert code_of(await world.log_in(password="wrong")) == (401, "invalid_credentials")
    answer = await world.log_in(password="wrong")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    return answer


async def _post(world: World, body: bytes, media_type: str = "application/json") -> httpx2.Response:
    headers = {"Content-Type": media_type}
    return await world.request("POST", f"{BASE}/oauth/token", content=body, headers=headers)


@pytest.mark.parametrize("code", sorted(CASES))
async def test_code_is_reached(world: World, code: str) -> None:
    answer = await CASES[code](world)
    assert code_of(answer) == (STATUS[code], code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    if code == "access_token_missing" or not code.startswith("access_token_"):
        assert answer.headers.get("www-authenticate", "Bearer") == "Bearer"
    else:
        assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="')


def test_every_code_has_its_case() -> None:
    reserved = {code for code, error in CATALOGUE.items() if error.reserved}
    assert set(CASES) | set(ELSEWHERE) | reserved == set(CATALOGUE)
