"""The guard for FastAPI: a dependency, for requests and WebSockets, that the service's own OpenAPI document shows.

    guard = Guard("https://auth.example.com", os.environ["GUARD_KEY"])
    User = Annotated[Caller, Depends(guarded(guard))]

    app = FastAPI()
    install(app)

    @app.get("/notes")
    async def list_notes(caller: User) -> list[Note]: ...

CORS belongs in `app.add_middleware(CORSMiddleware, …)`, which answers preflights and stands outside all of this. A
dependency runs after the body was read; where strangers must not get that far, and for Starlette without FastAPI, there
is `app.add_middleware(keybearer.guard.asgi.GuardedApp, guard=guard)`.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityScheme
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from keybearer.errors import KeybearerError
from keybearer.guard import Caller, Credentials, Guard, OnStale, Requirements
from keybearer.guard._refusal import make_refusal
from keybearer.guard._views import make_requirements

REFUSED = 1008
"""The code of a WebSocket that is closed (RFC 6455 section 7.4.1, policy violation): servers answer it with 403."""

_DENIAL = "websocket.http.response"


class _Declared(SecurityBase):
    """A security scheme that stands in the document; what it carries is verified elsewhere."""

    def __init__(self, scheme_name: str, model: SecurityScheme) -> None:
        self.scheme_name = scheme_name
        self.model = model

    async def __call__(self) -> None:
        return None


_API_KEY = _Declared(
    "ApiKey", APIKey.model_validate({"in": APIKeyIn.header, "name": "Api-Key", "description": "Names the application."})
)
_ACCESS_TOKEN = _Declared("AccessToken", HTTPBearer(bearerFormat="JWT", description="Names the user."))


class Guarded:
    """The dependency: the caller, or None where authentication is optional and no token was sent.

    Raises the errors of `Guard.verify`, which `install` answers. Scopes that `Security(…, scopes=[…])` names are
    required too.
    """

    def __init__(self, guard: Guard, requirements: Requirements) -> None:
        self._guard = guard
        self._requirements = requirements

    async def __call__(
        self,
        connection: HTTPConnection,
        scopes: SecurityScopes,
        _api_key: Annotated[None, Depends(_API_KEY)],
        _access_token: Annotated[None, Depends(_ACCESS_TOKEN)],
    ) -> Caller | None:
        requirements = self._requirements
        if scopes.scopes:
            requirements = replace(requirements, scopes=requirements.scopes.union(scopes.scopes))
        credentials = Credentials.from_headers(connection.scope["headers"])
        return await self._guard.verify_async(credentials, requirements)


def guarded(
    guard: Guard,
    *,
    roles: Collection[str] = (),
    scopes: Collection[str] = (),
    optional: bool = False,
    on_stale: OnStale | None = None,
) -> Guarded:
    """A dependency on a caller who has all of these roles and scopes; `Requirements` says what the rest means."""
    return Guarded(guard, make_requirements(roles, scopes, optional=optional, on_stale=on_stale))


def install(app: FastAPI) -> None:
    """Answer every KeybearerError as the service does, and say in the document that it takes both credentials."""
    app.add_exception_handler(KeybearerError, _answer)
    _require_both(app)


async def _answer(connection: Any, error: Exception) -> Any:
    """The answer to a request; a WebSocket is refused with the same one, or closed before it is accepted."""
    assert isinstance(error, KeybearerError)  # noqa: S101 - what it is registered for
    refusal = make_refusal(error, connection.headers.get("x-request-id"))
    response = Response(refusal.body, refusal.status, dict(refusal.headers))
    if not isinstance(connection, WebSocket):
        return response
    if _DENIAL in connection.scope.get("extensions", {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(REFUSED, error.code)
    return None


def _require_both(app: FastAPI) -> None:
    """FastAPI lists the schemes of an operation as alternatives (OpenAPI 3.1, security requirement object)."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document.get("paths", {}).values():
            for operation in path.values():
                if isinstance(operation, dict) and "security" in operation:
                    operation["security"] = _together(operation["security"])
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def _together(security: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alternatives, with ours as one."""
    ours = (_API_KEY.scheme_name, _ACCESS_TOKEN.scheme_name)
    both = {name: alternative[name] for name in ours for alternative in security if name in alternative}
    others = [alternative for alternative in security if alternative.keys().isdisjoint(ours)]
    return [*others, both] if both else others
