"""Forward authentication: what a proxy is told, whatever a caller sends."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from keybearer.server.domain.sessions import EndReason
from keybearer.server.domain.users import NewUser
from keybearer.server.http.verify import escape
from tests.http.world import BASE, OPERATOR, ORIGIN, World, code_of

VERIFY = f"{BASE}/verify"
IDENTITY = ("X-Keybearer-User", "X-Keybearer-Application", "X-Keybearer-Session", "X-Keybearer-Roles")
NOBODY = ("", "", "", "")


async def verify(world: World, token: str | None = None, *, path: str = VERIFY, **options: Any) -> httpx2.Response:
    return await world.request(options.pop("method", "GET"), path, token=token, **options)


def identity(answer: httpx2.Response) -> tuple[str, ...]:
    """The four headers, each of which must be there once."""
    assert all(len(answer.headers.get_list(name)) == 1 for name in IDENTITY), answer.headers
    return tuple(answer.headers[name] for name in IDENTITY)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal, which says them in its headers and in its document."""
    assert identity(answer) == NOBODY
    status, code = code_of(answer)
    assert answer.headers["x-keybearer-error"] == code
    assert ("www-authenticate" in answer.headers) == (status == 401)
    return status, code


async def test_yes_says_who(world: World) -> None:
    await world.storage.users.set_roles(world.user.id, add=frozenset({"editor", "admin"}), actor=OPERATOR)
    await world.service.follower.catch_up()
    session = await world.session()
    answer = await verify(world, session["accessToken"])
    assert (answer.status_code, answer.content) == (204, b"")
    who = (str(world.user.id), str(world.application.id), session["sessionId"], "admin,editor")
    assert identity(answer) == who
    assert answer.headers["cache-control"] == "no-store"
    assert "x-keybearer-error" not in answer.headers


async def test_no_roles_are_an_empty_header(world: World) -> None:
    answer = await verify(world, (await world.session())["accessToken"])
    assert identity(answer)[3] == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("path", ["", "/", "/orders/1", "/a/b/c"])
async def test_every_method_and_every_path_below(world: World, method: str, path: str) -> None:
    """Some proxies ask with the method and the path of the request that they hold."""
    session = await world.session()
    answer = await verify(world, session["accessToken"], method=method, path=VERIFY + path, params={"x": "y" * 100})
    assert answer.status_code == 204 and identity(answer)[0] == str(world.user.id)
    answer = await verify(world, None, method=method, path=VERIFY + path)
    assert answer.status_code == 401 and identity(answer) == NOBODY


async def test_what_only_begins_like_the_path_is_not_found(world: World) -> None:
    assert (await verify(world, path=VERIFY + "x")).status_code == 404


async def test_refusals_have_all_headers_and_the_code(world: World) -> None:
    session = await world.session()
    token = session["accessToken"]
    other, _ = await world.add_key(await world.add_application("Other"), ApiKeyKind.SECRET)
    assert refusal(await verify(world, None)) == (401, "access_token_missing")
    assert refusal(await verify(world, "a b")) == (401, "access_token_corrupted")
    assert refusal(await verify(world, "a.b.c")) == (401, "access_token_invalid")
    assert refusal(await verify(world, token, key=other)) == (401, "access_token_wrong_application")
    assert refusal(await verify(world, token, key=None)) == (403, "api_key_missing")
    unknown = make_api_key(ApiKeyKind.SECRET, b"x" * 32)
    assert refusal(await verify(world, token, key=unknown)) == (403, "api_key_invalid")
    foreign = await verify(world, token, headers={"Origin": "https://evil.example.com"})
    assert refusal(foreign) == (403, "origin_not_allowed")
    await world.storage.sessions.end(UUID(session["sessionId"]), EndReason.ADMINISTRATOR, OPERATOR)
    await world.service.follower.catch_up()
    assert refusal(await verify(world, token)) == (401, "access_token_revoked")
    await world.advance(900)
    assert refusal(await verify(world, token)) == (401, "access_token_expired")


async def test_what_is_malformed_is_a_403(world: World) -> None:
    """Proxies take any other status for a failure of the service."""
    answer = await world.client.get(VERIFY, headers=[("Api-Key", world.key), ("Api-Key", world.key)])
    assert refusal(answer) == (403, "malformed_request")
    answer = await verify(world, None, content=b"x" * 100_000, method="POST")
    assert refusal(answer) == (403, "body_too_large")
    assert refusal(await verify(world, None, params={"methodHeader": "Cookie"})) == (403, "malformed_request")


@pytest.mark.parametrize("permission", ["guard", "admin"])
async def test_a_key_with_permissions_is_refused_from_callers(world: World, permission: str) -> None:
    key, _ = await world.add_key(world.application, ApiKeyKind.SECRET, permissions=frozenset({permission}))
    session = await world.session()
    answer = await verify(world, session["accessToken"], key=key)
    assert refusal(answer) == (403, "api_key_invalid")
    assert answer.json()["errors"][0]["detail"] == "A key with permissions works at Keybearer only."


async def test_refusals_carry_cors_headers(world: World) -> None:
    answer = await verify(world, None, headers={"Origin": ORIGIN})
    assert refusal(answer) == (401, "access_token_missing")
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_a_caller_cannot_say_who_he_is(world: World) -> None:
    sent = dict.fromkeys((*IDENTITY, "X_Keybearer_User", "X-Keybearer_Roles"), "somebody")
    session = await world.session()
    assert identity(await verify(world, session["accessToken"], headers=sent))[0] == str(world.user.id)
    assert identity(await verify(world, None, headers=sent)) == NOBODY


# --- OPTIONS ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/orders"])
async def test_options_pass_and_are_nobodys(world: World, path: str) -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    for headers in ({}, preflight):
        answer = await verify(world, None, key=None, method="OPTIONS", path=VERIFY + path, headers=headers)
        assert answer.status_code == 204
        assert identity(answer) == NOBODY


@pytest.mark.parametrize("header", ["X-Original-Method", "X-Forwarded-Method"])
async def test_options_pass_when_the_proxy_says_so_in_its_header(world: World, header: str) -> None:
    named = {"methodHeader": header.lower()}
    answer = await verify(world, None, key=None, headers={header: "OPTIONS"}, params=named)
    assert answer.status_code == 204 and identity(answer) == NOBODY
    for headers in ({}, {header: "GET"}, {header: "options"}, {header: "OPTIONS, GET"}):
        refused = await verify(world, None, key=None, headers=headers, params=named)
        assert refusal(refused) == (403, "api_key_missing")


async def test_a_caller_cannot_make_his_request_one_of_options(world: World) -> None:
    """A header counts only when the proxy's own configuration names it, so that it overwrites the caller's."""
    both = {"X-Original-Method": "OPTIONS", "X-Forwarded-Method": "OPTIONS"}
    assert refusal(await verify(world, None, headers=both)) == (401, "access_token_missing")
    other = {"X-Original-Method": "GET", "X-Forwarded-Method": "OPTIONS"}
    named = {"methodHeader": "X-Original-Method"}
    assert refusal(await verify(world, None, headers=other, params=named)) == (401, "access_token_missing")
    for path in ("/", "/orders"):  # the query is the caller's there
        answer = await verify(world, None, path=VERIFY + path, headers=both, params=named)
        assert refusal(answer) == (401, "access_token_missing")
        many = {f"p{number}": "x" for number in range(100)}
        assert (await verify(world, None, path=VERIFY + path, params=many)).status_code == 401


# --- values that headers cannot hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain-Role_1.~!$&'()*+;=:@/?#[]", "plain-Role_1.~!$&'()*+;=:@/?#[]"),
        ("a,b", "a%2Cb"),
        ("100%", "100%25"),
        ("two words", "two%20words"),
        ("line\r\nX-Keybearer-User: root", "line%0D%0AX-Keybearer-User:%20root"),
        ("\x00\x7f", "%00%7F"),
        ("Grüße", "Gr%C3%BC%C3%9Fe"),
        ("😀", "%F0%9F%98%80"),
        ("", ""),
    ],
)
def test_values_are_escaped(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert all(0x21 <= ord(character) <= 0x7E for character in escaped)


async def test_roles_of_any_characters_are_one_safe_header(world: World) -> None:
    roles = {"a,b", "100%", "line\r\nX-Injected: yes", "größe", "😀"}
    new = NewUser(
        id=UUID(int=world.user.id.int ^ 1),
        email="strange@example.com",
        phone=None,
        first_name="Jane",
        last_name="Doe",
        password_hash=await world.hasher.hash("correct horse battery"),
    )
    await world.storage.users.create(new, OPERATOR)
    await world.storage.users.set_roles(new.id, add=frozenset(roles), actor=OPERATOR)
    await world.service.follower.catch_up()
    session = await world.session(username="strange@example.com")
    answer = await verify(world, session["accessToken"])
    assert answer.status_code == 204
    assert "x-injected" not in answer.headers
    assert set(identity(answer)[3].split(",")) == {escape(role) for role in roles}
