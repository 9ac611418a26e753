"""The ASGI application: the fixed order of checks (contract.md section 2), then the handler, then the answer.

There is no framework underneath (docs/decisions/0002): the order of checks is the contract's, not a router's.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

import structlog

from keybearer.errors import (
    AccessTokenError,
    BodyTooLarge,
    InternalError,
    KeybearerError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
)
from keybearer.guard._core import CredentialCheck, CredentialState, require_no_permissions
from keybearer.server.domain.api_keys import require_guard_key
from keybearer.server.http.answer import NO_STORE, Answer, Header, StreamedAnswer, Whole, answer_json
from keybearer.server.http.body import read_members
from keybearer.server.http.call import AtOnce, Call
from keybearer.server.http.cors import cors_headers, preflight
from keybearer.server.http.head import CREDENTIALS, Head, KnownHeads
from keybearer.server.http.request import (
    WATCH,
    ClientGone,
    Receive,
    Request,
    RequestIds,
    RequestLimits,
    Scope,
    Send,
    Standing,
)
from keybearer.server.http.routes import Needs, Route
from keybearer.server.http.turns import BEST_CREDIT, Turns
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
        self._at_once = {
            (route.method, route.path): (route, route.handler) for route in routes if isinstance(route.handler, AtOnce)
        }
        self._open = frozenset(
            (method, route.path)
            for route in routes
            if route.needs is Needs.NOTHING
            for method in (route.method, "HEAD")
        )
        self.turns = Turns()
        self.known_heads = KnownHeads()
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
        request = self._request_of(scope, receive)
        operation, code, route = "unknown", "", None
        answer: Answer | StreamedAnswer
        try:
            await self._wait_for_turn(request)
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
        except Exception as error:  # noqa: BLE001 (every request has its answer)
            answer, code = _refuse(error, request, operation, route)
        if isinstance(answer, StreamedAnswer):  # how long it lasts is no measure of anything: counted as it begins
            self._report(request, operation, answer.status, code, time.perf_counter() - started)
            await self._stream(send, request, answer)
            return
        status, headers, body = self._whole(request, answer)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._report(request, operation, status, code, time.perf_counter() - started)

    def _request_of(self, scope: Scope, receive: Receive) -> Request:
        head = Head(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        watch = scope.get("state", {}).get(WATCH)
        return Request(head, scope.get("client"), self._limits, self._request_ids, receive=receive, watch=watch)

    def is_answered_at_once(self, method: str, path: str) -> bool:
        """Whether nothing is waited for, but a turn."""
        return (method, path) in self._at_once

    def answer_at_once(self, head: Head, client: tuple[str, int] | None) -> Whole | None:
        """The answer to a request that `is_answered_at_once`; None if it has to wait for its turn."""
        route, handler = self._at_once[head.method, head.path]
        started = time.perf_counter()
        request, code = Request(head, client, self._limits, self._request_ids), ""
        request.standing = self._standing(request)
        if request.standing == "strange" and not self.turns.take():
            return None
        try:
            answer = self._answer_at_once(route, handler, Call(request))
        except Exception as error:  # noqa: BLE001 (every request has its answer)
            answer, code = _refuse(error, request, route.name, route)
        head.is_well_known = request.is_proven and not code
        whole = self._whole(request, answer)
        self._report(request, route.name, answer.status, code, time.perf_counter() - started)
        return whole

    async def _wait_for_turn(self, request: Request) -> None:
        """Raises ClientGone."""
        request.standing = self._standing(request)
        if request.standing == "strange":
            with request.abandoned_when_gone():
                await self.turns.wait()

    def _standing(self, request: Request) -> Standing:
        """What is open to all never waits: health is asked for in a flood too."""
        credit = self.turns.credit(request.sender())
        if credit > 0:
            return "well known" if credit == BEST_CREDIT else "known"
        if (request.method, request.path) in self._open:
            return "open"
        return "recognised" if self._is_recognised(request) else "strange"

    def _is_recognised(self, request: Request) -> bool:
        """Whether it will be answered from memory, and, as far as its credentials tell, well."""
        try:
            route = _choose(self._find(request.path)[0], request)
        except KeybearerError:
            return False
        if route is None or not isinstance(route.handler, AtOnce) or not request.head.shows_each_once():
            return False
        api_key, authorization, origin = map(request.header, CREDENTIALS)
        return self._check.recognises(api_key, authorization, origin, self._now())

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
        if isinstance(route.handler, AtOnce):
            return self._answer_at_once(route, route.handler, call)
        request = call.request
        request.head.check(self._limits.max_body)
        body = await request.body() if route.body is not None else b""
        self._check_credentials(route, call)
        if route.body is not None and (body or not route.body_optional):
            call.body = read_members(request, body, route.body)
        return await route.handler(call)

    def _answer_at_once(self, route: Route, handler: AtOnce, call: Call) -> Answer:
        call.request.head.check(self._limits.max_body)
        passed = route.forwarded.admit(call) if route.forwarded is not None else None
        if passed is not None:
            return passed
        self._check_credentials(route, call)
        return handler.answer(call)

    def _check_credentials(self, route: Route, call: Call) -> None:
        if route.needs is Needs.NOTHING:
            return
        api_key, authorization, origin = call.request.head.credentials
        call.now = self._now()
        key = self._check.verify_key(api_key, origin, call.now)
        call.key = key
        self._key_use.note(key.id)
        if route.needs is Needs.GUARD_KEY:
            require_guard_key(key)
        elif route.needs is Needs.CALLER:
            require_no_permissions(key)
        if route.needs not in (Needs.KEY, Needs.GUARD_KEY):
            self._check_token(route, call, authorization, key.application_id)
        call.request.is_proven = call.token_error is None

    def _check_token(self, route: Route, call: Call, authorization: str | None, application_id: str) -> None:
        try:
            call.remembered = self._check.verify_remembered(authorization, application_id, call.now)
        except AccessTokenError as error:
            if route.needs is not Needs.KEY_AND_ANY_TOKEN:
                raise
            call.token_error = error

    def _whole(self, request: Request, answer: Answer) -> Whole:
        headers = self._headers(request, answer)
        if answer.status not in _NO_LENGTH:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        return answer.status, headers, answer.body

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

    def _headers(self, request: Request, answer: Answer | StreamedAnswer) -> list[Header]:
        return [
            *answer.headers,
            *cors_headers(self._state, request.head.fields.get(b"origin")),
            (b"x-request-id", request.request_id.encode()),
        ]

    def _report(self, request: Request, operation: str, status: int, code: str, seconds: float) -> None:
        self._observer.observe(operation, status, code, seconds)
        self._note(request, status, code)
        if status < 400:
            return
        report = log.info if status < 500 else log.warning
        report("request refused", operation=operation, status=status, code=code, request_id=request.request_id)

    def _note(self, request: Request, status: int, code: str) -> None:
        """For the turns of strangers, and the credit of senders.

        Who goes before he is answered has had his turn. What is no fault of a sender's costs him nothing, and what took
        no credential of his says nothing of him.
        """
        standing = request.standing
        overloaded = code == Overloaded.code  # mostly a login, after its body was read and its user looked up
        if standing == "strange" and (status < 500 or overloaded):
            self.turns.judge(refused=status >= 400, is_dear=overloaded)
        if status < 400:
            if standing in ("strange", "known") and request.is_proven:
                self.turns.note(request.sender(), refused=False)
        elif status < CLIENT_GONE and standing not in ("open", "recognised"):
            self.turns.note(request.sender(), refused=True)


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


def _refuse(error: Exception, request: Request, operation: str, route: Route | None) -> tuple[Answer, str]:
    """The answer to a request that failed, and its code. What is no refusal is a fault of ours, and logged."""
    if not isinstance(error, KeybearerError):
        log.error("request failed", operation=operation, request_id=request.request_id, exc_info=error)
        error = InternalError()
    answer = _problem(error, request)
    if route is not None and route.forwarded is not None:
        answer = route.forwarded.refuse(error, answer)
    return answer, error.code


def _problem(error: KeybearerError, request: Request) -> Answer:
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in headers_of(error))
    if isinstance(error, BodyTooLarge):
        headers += (_CLOSE,)  # what is still to come of the body is not read
    return answer_json(document_of(error, request.request_id), status=status_of(error), headers=(NO_STORE, *headers))
