"""The ASGI application: the fixed order of checks (contract.md section 2), then the handler, then the answer.

There is no framework underneath (docs/decisions/0002): the order of checks is the contract's, not a router's.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

import structlog

from keybearer.errors import AccessTokenError, BodyTooLarge, InternalError, KeybearerError, MethodNotAllowed, NotFound
from keybearer.guard._core import CredentialCheck, CredentialState, require_no_permissions
from keybearer.server.domain.api_keys import require_guard_key
from keybearer.server.http.answer import NO_STORE, Answer, StreamedAnswer, answer_json
from keybearer.server.http.body import read_members
from keybearer.server.http.call import Call
from keybearer.server.http.cors import cors_headers, preflight
from keybearer.server.http.request import ClientGone, Receive, Request, RequestIds, RequestLimits, Scope, Send
from keybearer.server.http.routes import Needs, Route
from keybearer.wire.problems import document_of, headers_of, status_of

_CLOSE = (b"connection", b"close")

CLIENT_GONE = 499
"""nginx's number for a request whose client has closed the connection. Nobody is answered with it."""

_NO_LENGTH = frozenset({204, 304})

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
        self._forwarded = [route for route in routes if route.forwarded is not None]
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
        operation, code, route = "unknown", "", None
        answer: Answer | StreamedAnswer
        try:
            methods, parameter = self._find(request.path)
            route = _choose(methods, request)
            if route is None:
                answer = preflight(tuple(methods))
                operation = "preflight"
            else:
                operation = route.name
                answer = await self._answer(route, Call(request, parameter))
        except ClientGone:
            self._report(request, operation, CLIENT_GONE, code, time.perf_counter() - started)
            return
        except KeybearerError as error:
            code = error.code
            answer = _refuse(error, request, route)
        except Exception:
            log.exception("request failed", operation=operation, request_id=request.request_id)
            code = InternalError.code
            answer = _refuse(InternalError(), request, route)
        if isinstance(answer, StreamedAnswer):  # how long it lasts is no measure of anything: counted as it begins
            self._report(request, operation, answer.status, code, time.perf_counter() - started)
            await self._stream(send, request, answer)
            return
        await self._send(send, request, answer)
        self._report(request, operation, answer.status, code, time.perf_counter() - started)

    def _find(self, path: str) -> tuple[Mapping[str, Route], str]:
        methods = self._table.get(path)
        if methods is not None:
            return methods, ""
        for route in self._forwarded:
            if path.startswith(route.path + "/"):
                return self._table[route.path], path.removeprefix(route.path)
        parent, _, parameter = path.rpartition("/")
        methods = self._table.get(parent + "/{id}")
        if methods is None or not parameter:
            raise NotFound
        return methods, parameter

    async def _answer(self, route: Route, call: Call) -> Answer | StreamedAnswer:
        request = call.request
        request.check_headers()
        request.check_declared_length()
        passed = route.forwarded.admit(call) if route.forwarded is not None else None
        if passed is not None:
            return passed
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
        if route.needs is Needs.GUARD_KEY:
            require_guard_key(key)
        elif route.needs is Needs.CALLER:
            require_no_permissions(key)
        if route.needs in (Needs.KEY, Needs.GUARD_KEY):
            return
        try:
            call.token = self._check.verify_bearer(request.header(b"authorization"), key.application_id, call.now)
        except AccessTokenError as error:
            if route.needs is not Needs.KEY_AND_ANY_TOKEN:
                raise
            call.token_error = error

    async def _send(self, send: Send, request: Request, answer: Answer) -> None:
        headers = self._headers(request, answer)
        if answer.status not in _NO_LENGTH:
            headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _stream(self, send: Send, request: Request, answer: StreamedAnswer) -> None:
        """Send a stream until it ends or the client has gone."""
        await send({"type": "http.response.start", "status": answer.status, "headers": self._headers(request, answer)})
        sending = asyncio.create_task(_send_chunks(send, answer.chunks))
        watching = asyncio.create_task(request.wait_for_disconnect())
        try:
            await asyncio.wait((sending, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            sending.cancel()
            await asyncio.wait((sending, watching))
        if not sending.cancelled():
            sending.result()

    def _headers(self, request: Request, answer: Answer | StreamedAnswer) -> list[tuple[bytes, bytes]]:
        return [
            *answer.headers,
            *cors_headers(self._state, request.headers.get(b"origin")),
            (b"x-request-id", request.request_id.encode()),
        ]

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
    get = methods.get("GET")
    if get is not None and get.forwarded is not None:
        return get
    if request.method == "OPTIONS":
        return None
    if request.method == "HEAD" and get is not None and get.needs is Needs.NOTHING:
        return get
    raise MethodNotAllowed([*methods, "OPTIONS"])


async def _send_chunks(send: Send, chunks: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(chunks):
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _refuse(error: KeybearerError, request: Request, route: Route | None) -> Answer:
    answer = _problem(error, request)
    return answer if route is None or route.forwarded is None else route.forwarded.refuse(error, answer)


def _problem(error: KeybearerError, request: Request) -> Answer:
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in headers_of(error))
    if isinstance(error, BodyTooLarge):
        headers += (_CLOSE,)  # what is still to come of the body is not read
    return answer_json(document_of(error, request.request_id), status=status_of(error), headers=(NO_STORE, *headers))
