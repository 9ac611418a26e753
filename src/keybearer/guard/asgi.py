"""The guard for any ASGI application: requests and WebSockets.

    app = GuardedApp(app, guard, exempt=("/health",))

The application finds the caller in `scope["keybearer.caller"]`. Parts of it that need more are wrapped once more, each
with its requirements. CORS belongs outside: `CORSMiddleware(GuardedApp(app, guard), …)`, so that a browser can read a
refusal and preflights, which carry no credentials, are answered before they get here.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from keybearer.errors import KeybearerError
from keybearer.guard import Credentials, Guard, Requirements
from keybearer.guard._refusal import make_refusal
from keybearer.guard._values import NOTHING

CALLER: Final = "keybearer.caller"

REFUSED: Final = 1008
"""The code of a WebSocket that is closed (RFC 6455 section 7.4.1, policy violation): servers answer it with 403."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DENIAL = "websocket.http.response"


class GuardedApp:
    """Passes a request on once both credentials hold, and refuses it as the service would otherwise.

    `exempt` are whole paths, below the application's root, that need no credentials; their caller is None.
    `pass_preflights` lets CORS preflights through, for an application that answers them itself: it must not do
    anything else for `OPTIONS`.
    """

    def __init__(
        self,
        app: Application,
        guard: Guard,
        requirements: Requirements = NOTHING,
        *,
        exempt: Collection[str] = (),
        pass_preflights: bool = False,
    ) -> None:
        self._app = app
        self._guard = guard
        self._requirements = requirements
        self._exempt = frozenset(exempt)
        self._pass_preflights = pass_preflights

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif self._is_exempt(scope):
            await self._app({**scope, CALLER: None}, receive, send)
        else:
            await self._verify_and_pass(scope, receive, send)

    async def _verify_and_pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            credentials = Credentials.from_headers(scope["headers"])
            caller = await self._guard.verify_async(credentials, self._requirements)
        except KeybearerError as error:
            await _refuse(error, scope, receive, send)
        else:
            await self._app({**scope, CALLER: caller}, receive, send)

    def _is_exempt(self, scope: Scope) -> bool:
        if self._exempt and scope["path"].removeprefix(scope.get("root_path", "")) in self._exempt:
            return True
        return self._pass_preflights and _is_preflight(scope)


def _is_preflight(scope: Scope) -> bool:
    """The Fetch standard, CORS-preflight request."""
    if scope.get("method") != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


async def _refuse(error: KeybearerError, scope: Scope, receive: Receive, send: Send) -> None:
    """An answer; a WebSocket that no answer can be given to is closed before it is accepted."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if _DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": REFUSED, "reason": error.code})
            return
        kind = _DENIAL
    refusal = make_refusal(error, _sent_request_id(scope))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": refusal.raw_headers()})
    await send({"type": f"{kind}.body", "body": refusal.body})


def _sent_request_id(scope: Scope) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), None)
