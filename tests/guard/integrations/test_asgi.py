"""What is particular to plain ASGI: the server's part is played by the test, message by message."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from keybearer.guard import Guard
from keybearer.guard.asgi import CALLER, GuardedApp, Receive, Scope, Send
from keybearer.testing import FakeIssuer

Messages = list[MutableMapping[str, Any]]

PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def guard(issuer: FakeIssuer) -> Guard:
    return issuer.guard()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who called."""
    caller = scope[CALLER]
    await send({"type": "said", "user": caller.user_id if caller else None})


async def drive(app: GuardedApp, path: str = "/notes", *, headers: dict[str, str], **scope: Any) -> Messages:
    """All that the application sends."""
    sent: Messages = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": "GET", "path": path, "headers": raw, **scope}, receive, send)
    return sent


def said(messages: Messages) -> object:
    """Who called, as the application has it; the test fails when it was not asked."""
    assert [message["type"] for message in messages] == ["said"]
    return messages[0]["user"]


def status_of(messages: Messages) -> int:
    """The status of a refusal."""
    start, body = messages
    assert start["type"] == "http.response.start"
    status: int = start["status"]
    assert json.loads(body["body"])["errors"][0]["status"] == str(status)
    return status


async def test_the_application_gets_a_scope_of_its_own(issuer: FakeIssuer, guard: Guard) -> None:
    """Nothing that a server or another middleware put there says who calls."""
    headers = issuer.headers(user_id="jane")
    assert said(await drive(GuardedApp(application, guard), headers=headers, **{CALLER: "somebody"})) == "jane"
    exempt = GuardedApp(application, guard, exempt=["/notes"])
    assert said(await drive(exempt, headers={}, **{CALLER: "somebody"})) is None


async def test_a_lifespan_passes(guard: Guard) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await drive(GuardedApp(app, guard), headers={}, type="lifespan")
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    "path", ["/health/", "//health", "/health/../notes", "/notes/../health", "/Health", "/healthy"]
)
async def test_exempt_paths_are_compared_exactly(guard: Guard, path: str) -> None:
    assert status_of(await drive(GuardedApp(application, guard, exempt=["/health"]), path, headers={})) == 403


async def test_exempt_paths_are_below_the_root(guard: Guard) -> None:
    app = GuardedApp(application, guard, exempt=["/health"])
    assert said(await drive(app, "/inner/health", headers={}, root_path="/inner")) is None
    assert status_of(await drive(app, "/other/health", headers={}, root_path="/inner")) == 403


async def test_preflights_pass_only_where_the_application_says_so(guard: Guard) -> None:
    assert status_of(await drive(GuardedApp(application, guard), method="OPTIONS", headers=PREFLIGHT)) == 403
    passing = GuardedApp(application, guard, pass_preflights=True)
    assert said(await drive(passing, method="OPTIONS", headers=PREFLIGHT)) is None
    assert status_of(await drive(passing, method="GET", headers=PREFLIGHT)) == 403
    assert status_of(await drive(passing, method="OPTIONS", headers={"Origin": PREFLIGHT["Origin"]})) == 403


async def test_a_websocket_is_closed_before_it_is_accepted_where_no_answer_can_be_given(guard: Guard) -> None:
    sent = await drive(GuardedApp(application, guard), headers={}, type="websocket", method=None)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "api_key_missing"}]
