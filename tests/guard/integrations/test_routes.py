"""What routes ask for beyond both credentials, and CORS: alike in every integration, as its page has it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.guard.integrations.answers import Answer, Verdict
from tests.guard.integrations.corpus import add_internal_key
from tests.guard.integrations.forged import Forger
from tests.guard.integrations.servers import Visitor
from tests.guard.integrations.targets import TARGETS, Target, url_of
from tests.http.world import ORIGIN, World

ALL = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
WITH_ROUTES = pytest.mark.parametrize(
    "target", [target for target in TARGETS if target.has_routes], ids=lambda target: target.name
)
DENIED = Verdict(403, "permission_denied")
MISSING = Verdict(401, "access_token_missing", "Bearer")
YES = Verdict(200)


@dataclass(slots=True)
class Place:
    """An integration that runs, and tokens for it."""

    visitor: Visitor
    forger: Forger
    key: str

    async def ask(self, path: str, token: str | None = None, *, method: str = "GET", **headers: str | None) -> Answer:
        """`headers` by name, `_` for `-`; the Api-Key is sent unless it is None."""
        sent = {"Api-Key": self.key, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        lines = tuple((name, value) for name, value in sent.items() if value is not None)
        return await asyncio.to_thread(self.visitor.send, method, path, lines)

    async def verdict(self, path: str, token: str | None = None, **options: Any) -> Verdict:
        return (await self.ask(path, token, **options)).verdict()


@asynccontextmanager
async def open_place(world: World, target: Target, directory: Path) -> AsyncIterator[Place]:
    key = await add_internal_key(world, "guard")
    async with target.running(directory / "page", url_of(world), key) as address:
        visitor = Visitor(address)
        yield Place(visitor, await Forger.of(world), world.key)
        visitor.close()


def user_of(answer: Answer) -> object:
    document = json.loads(answer.body)
    return document["user"]


@WITH_ROUTES
async def test_the_application_knows_the_caller(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        answer = await place.ask(target.path, place.forger.good())
        assert user_of(answer) == str(world.user.id)


@WITH_ROUTES
async def test_roles(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        good = place.forger.good
        assert await place.verdict("/admin", good(roles=["editor", "admin"])) == YES
        assert await place.verdict("/admin", good()) == DENIED
        assert await place.verdict("/admin", good(roles=["Admin", "admins"])) == DENIED
        assert await place.verdict("/admin") == MISSING
        assert await place.verdict("/admin", good(roles=["admin"]), Api_Key=None) == Verdict(403, "api_key_missing")


@WITH_ROUTES
async def test_scopes(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        good = place.forger.good
        assert await place.verdict("/scoped", good(scope="notes:write notes:read")) == YES
        assert await place.verdict("/scoped", good(scope="notes:write")) == DENIED
        assert await place.verdict("/scoped", good()) == DENIED


@WITH_ROUTES
async def test_optional_authentication(world: World, target: Target, tmp_path: Path) -> None:
    """Only the token is optional; one that is sent must hold."""
    async with open_place(world, target, tmp_path) as place:
        forger = place.forger
        assert user_of(await place.ask("/public")) is None
        assert user_of(await place.ask("/public", forger.good())) == str(world.user.id)
        assert (await place.verdict("/public", forger.good(exp=forger.now - 60))).code == "access_token_expired"
        assert await place.verdict("/public", Authorization="Basic amFuZTpzZWNyZXQ=") == MISSING
        assert (await place.verdict("/public", Api_Key=None)).code == "api_key_missing"


@WITH_ROUTES
async def test_what_is_exempt_needs_nothing(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        assert (await place.ask("/health", Api_Key=None)).status == 200
        assert (await place.ask("/health", Api_Key="nonsense", Authorization="Bearer a,Bearer b")).status == 200
        assert await place.verdict(target.path, Api_Key=None) == Verdict(403, "api_key_missing")


@WITH_ROUTES
async def test_a_preflight_is_answered_outside(world: World, target: Target, tmp_path: Path) -> None:
    """As browsers send it: no credentials, and what the request after it will bring."""
    async with open_place(world, target, tmp_path) as place:
        asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "api-key,authorization"}
        answer = await place.ask(target.path, method="OPTIONS", Api_Key=None, Origin=ORIGIN, **asked)
        assert answer.status in (200, 204), answer.body
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        allowed = answer.headers["access-control-allow-headers"].lower()
        assert "api-key" in allowed
        assert "authorization" in allowed


@WITH_ROUTES
async def test_a_browser_can_read_a_refusal(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        expired = place.forger.good(exp=place.forger.now - 60)
        for path, token in ((target.path, None), (target.path, expired), ("/admin", place.forger.good())):
            answer = await place.ask(path, token, Origin=ORIGIN)
            assert answer.status in (401, 403)
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()


@WITH_ROUTES
async def test_what_looks_like_a_preflight_opens_nothing(world: World, target: Target, tmp_path: Path) -> None:
    """Everyone can send the headers of a preflight. No view runs for it, whatever origin it names."""
    async with open_place(world, target, tmp_path) as place:
        asked = {"Access_Control_Request_Method": "GET"}
        for origin in ("https://evil.example.com", ORIGIN, None):
            answer = await place.ask(target.path, method="OPTIONS", Api_Key=None, Origin=origin, **asked)
            assert b'"user"' not in answer.body


@ALL
async def test_the_request_id_is_taken_over(world: World, target: Target, tmp_path: Path) -> None:
    async with open_place(world, target, tmp_path) as place:
        assert (await place.ask(target.path, X_Request_Id="a-1")).headers["x-request-id"] == "a-1"
        fresh = [
            (await place.ask(target.path, X_Request_Id=sent)).headers["x-request-id"] for sent in ("", "a b", None)
        ]
        assert len({*fresh, "", "a b"}) == 5
