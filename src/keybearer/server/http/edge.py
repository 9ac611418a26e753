"""The ASGI application: the fixed order of checks (contract.md section 2), then the handler, then the answer.

There is no framework underneath (docs/decisions/0002): the order of checks is the contract's, not a router's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from keybearer.errors import AccessTokenError, BodyTooLarge, InternalError, KeybearerError, MethodNotAllowed, NotFound
from keybearer.guard._core import CredentialCheck, CredentialState
from keybearer.server.http.answer import NO_STORE, Answer, answer_json
from keybearer.server.http.body import read_members
from keybearer.server.http.call import Call
from keybearer.server.http.cors import cors_headers, preflight
from keybearer.server.http.request import Receive, Request, RequestIds, RequestLimits, Scope, Send
from keybearer.server.http.routes import Needs, Route
from keybearer.wire.problems import document_of, headers_of, status_of

_CLOSE = (b"connection", b"close")

log = structlog.get_logger("keybearer.http")


class Observer(Protocol):
    """Told of every answer, for the metrics."""

    def observe(self, operation: str, status: int, code: str, seconds: float) -> None: ...


class KeyUse(Protocol):
    """Told of every admitted key."""

    def note(self, key_id: str) -> None: ...


class Edge:
    def __init__(
        self,
        routes: Sequence[Route],
        state: CredentialState,
        check: CredentialCheck,
        limits: RequestLimits,
        *,
        now: Callable[[], int],
        observer: Observer,
        key_use: KeyUse,
        request_ids: RequestIds,
    ) -> None:
        self._table = _table(routes)
        self._state = state
        self._check = check
        self._limits = limits
        self._now = now
        self._observer = observer
        self._key_use = key_use
        self._request_ids = request_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        request = Request(scope, receive, self._limits, self._request_ids)
        operation, code = "unknown", ""
        try:
            methods, parameter = self._find(request.path)
            route = _choose(methods, request)
            if route is None:
                answer = preflight(tuple(methods))
                operation = "preflight"
            else:
                operation = route.name
                answer = await self._answer(route, Call(request, parameter))
        except KeybearerError as error:
            code = error.code
            answer = _problem(error, request)
        except Exception:
            log.exception("request failed", operation=operation, request_id=request.request_id)
            code = InternalError.code
            answer = _problem(InternalError(), request)
        await self._send(send, request, answer)
        self._report(request, operation, answer.status, code, time.perf_counter() - started)

    def _find(self, path: str) -> tuple[Mapping[str, Route], str]:
        methods = self._table.get(path)
        if methods is not None:
            return methods, ""
        parent, _, parameter = path.rpartition("/")
        methods = self._table.get(parent + "/{id}")
        if methods is None or not parameter:
            raise NotFound
        return methods, parameter

    async def _answer(self, route: Route, call: Call) -> Answer:
        request = call.request
        request.check_headers()
        request.check_declared_length()
        body = await request.body() if route.body is not None else b""
        if route.needs is not Needs.NOTHING:
            self._check_credentials(route, call)
        if route.body is not None and (body or not route.body_optional):
            call.body = read_members(request, body, route.body)
        return await route.handler(call)

    def _check_credentials(self, route: Route, call: Call) -> None:
        request = call.request
        call.now = self._now()
        key = self._check.verify_key(request.header(b"api-key"), request.header(b"origin"), call.now)
        call.key = key
        self._key_use.note(key.id)
        if route.needs is Needs.KEY:
            return
        try:
            call.token = self._check.verify_bearer(request.header(b"authorization"), key.application_id, call.now)
        except AccessTokenError as error:
            if route.needs is Needs.KEY_AND_TOKEN:
                raise
            call.token_error = error

    async def _send(self, send: Send, request: Request, answer: Answer) -> None:
        headers = [
            *answer.headers,
            *cors_headers(self._state, request.headers.get(b"origin")),
            (b"x-request-id", request.request_id.encode()),
        ]
        if answer.status != 204:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _report(self, request: Request, operation: str, status: int, code: str, seconds: float) -> None:
        self._observer.observe(operation, status, code, seconds)
        if status < 400:
            return
        report = log.info if status < 500 else log.warning
        report("request refused", operation=operation, status=status, code=code, request_id=request.request_id)


def _table(routes: Sequence[Route]) -> dict[str, dict[str, Route]]:
    table: dict[str, dict[str, Route]] = {}
    for route in routes:
        table.setdefault(route.path, {})[route.method] = route
    return table


def _choose(methods: Mapping[str, Route], request: Request) -> Route | None:
    """The route for the request's method; None for a preflight. Raises MethodNotAllowed."""
    route = methods.get(request.method)
    if route is not None:
        return route
    if request.method == "OPTIONS":
        return None
    get = methods.get("GET")
    if request.method == "HEAD" and get is not None and get.needs is Needs.NOTHING:
        return get
    raise MethodNotAllowed([*methods, "OPTIONS"])


def _problem(error: KeybearerError, request: Request) -> Answer:
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in headers_of(error))
    if isinstance(error, BodyTooLarge):
        headers += (_CLOSE,)  # what is still to come of the body is not read
    return answer_json(document_of(error, request.request_id), status=status_of(error), headers=(NO_STORE, *headers))
