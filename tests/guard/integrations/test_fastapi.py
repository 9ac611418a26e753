"""What is particular to FastAPI: its OpenAPI document, its scopes, and errors that a handler raises."""

from collections.abc import MutableMapping
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from fastapi.security import APIKeyCookie

from keybearer.errors import NotFound
from keybearer.guard import Caller
from keybearer.guard.fastapi import guarded, install
from keybearer.testing import FakeIssuer
from tests.http.world import code_of


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def app(issuer: FakeIssuer) -> FastAPI:
    guard = issuer.guard()
    cookie = APIKeyCookie(name="session", scheme_name="Cookie", auto_error=False)
    app = FastAPI()
    install(app)

    @app.get("/open")
    async def be_open() -> None: ...

    @app.get("/notes")
    async def list_notes(caller: Annotated[Caller, Depends(guarded(guard))]) -> str:
        return caller.user_id

    @app.get("/strict", dependencies=[Security(guarded(guard, scopes={"read"}), scopes=["write"])])
    async def be_strict() -> None: ...

    @app.get("/either", dependencies=[Depends(cookie), Depends(guarded(guard))])
    async def take_either() -> None: ...

    @app.get("/none", dependencies=[Depends(guarded(guard))])
    async def find_nothing() -> None:
        raise NotFound("There is no such note.")

    @app.websocket("/live")
    async def live(websocket: WebSocket, caller: Annotated[Caller, Depends(guarded(guard))]) -> None:
        await websocket.accept()

    return app


async def get(app: FastAPI, path: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://notes") as client:
        return await client.get(path, headers=headers)


async def test_the_document_has_both_schemes(app: FastAPI) -> None:
    document = (await get(app, "/openapi.json")).json()
    assert document["components"]["securitySchemes"] == {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "Api-Key", "description": "Names the application."},
        "AccessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Names the user."},
        "Cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
    }


async def test_the_document_asks_for_both_at_once(app: FastAPI) -> None:
    """A list would name alternatives. It is the same however often it is asked for."""
    for _ in range(2):
        paths = (await get(app, "/openapi.json")).json()["paths"]
        both: dict[str, list[str]] = {"ApiKey": [], "AccessToken": []}
        assert paths["/notes"]["get"]["security"] == [both]
        assert paths["/either"]["get"]["security"] == [{"Cookie": []}, both]
        assert "security" not in paths["/open"]["get"]


async def test_scopes_of_fastapi_are_required_too(app: FastAPI, issuer: FakeIssuer) -> None:
    """Nothing else would look at them."""
    for scope, expected in (("read", 403), ("write", 403), ("", 403), ("write read", 200)):
        assert (await get(app, "/strict", **issuer.headers(scope=scope))).status_code == expected, scope


async def test_errors_that_a_handler_raises_are_answered_as_the_service_would(app: FastAPI, issuer: FakeIssuer) -> None:
    assert code_of(await get(app, "/none", **issuer.headers())) == (404, "not_found")


async def test_a_websocket_is_closed_where_no_answer_can_be_given(app: FastAPI) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/live", "headers": [], "query_string": b"", "subprotocols": []}
    await app(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "api_key_missing"}]
