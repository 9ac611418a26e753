"""A proxy that passes requests on as they are, but for the faults that a test has set, and keeps the journal."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    hdrs,
    web,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.stage.faults import (
    Answer,
    AnyAction,
    Delay,
    DropAfter,
    DropBefore,
    Faults,
    Gate,
    GateAfter,
    Gates,
    Hang,
    Redirect,
    StripCors,
    Target,
    Truncate,
)
from tests.stage.journal import Journal, Record
from tests.stage.serving import MAX_HEAD, Cors

HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",  # aiohttp's server has answered it
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection (RFC 9110 7.6.1), which the next one has of its own."""

ADDED_BY_AIOHTTP = (hdrs.SERVER, hdrs.DATE, hdrs.CONTENT_TYPE)

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing resets the connection."""

Headers = CIMultiDict[str]


def make_session() -> ClientSession:
    """For asking upstream: a connection for each request, so that none is left over of a service that was restarted."""
    return ClientSession(
        connector=TCPConnector(limit=0, force_close=True),
        timeout=ClientTimeout(total=None, sock_connect=30),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
    )


@dataclass(frozen=True, slots=True)
class Shared:
    """What all proxies of a stage work with."""

    session: ClientSession
    faults: Faults
    gates: Gates
    journal: Journal


class Proxy:
    """In front of one target, whose URL is `upstream`; `cors` is what the target says to pages."""

    def __init__(self, target: Target, upstream: str, cors: Cors, shared: Shared) -> None:
        self._target = target
        self._upstream = upstream
        self._cors = cors
        self._shared = shared

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_response_prepare.append(_remove_additions)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        action = self._shared.faults.take(self._target, request.method, path)
        headers = {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}
        kind = action.kind if action is not None else None
        record = Record(self._target, request.method, path, query, headers, kind)
        self._shared.journal.add(record)
        try:
            return await self._play(action, request, record)
        except ClientConnectionError:  # as of a service that is not there
            return await _hang_up(request)
        except ClientPayloadError:
            return await _reset(request)

    async def _play(self, action: AnyAction | None, request: web.Request, record: Record) -> web.StreamResponse:
        match action:
            case Delay(ms):
                await asyncio.sleep(ms / 1000)
            case Gate(name):
                await self._shared.gates.hold(name)
            case Answer() | Redirect():
                await _drain(request, record)
                return _whole(record, *self._answer(action, request))
            case DropBefore():
                await _drain(request, record)
                return await _hang_up(request)
            case Hang():
                await _drain(request, record)
                return await _gone()
        return await self._pass_on(action, request, record)

    def _answer(self, action: Answer | Redirect, request: web.Request) -> tuple[int, Headers, bytes]:
        if isinstance(action, Redirect):
            return action.status, Headers({**self._cors(request.headers), hdrs.LOCATION: action.location}), b""
        if isinstance(action.body, str):
            kind, body = "text/plain; charset=utf-8", action.body
        else:
            kind, body = "application/json", json.dumps(action.body)
        headers = Headers(self._cors(request.headers) if action.cors else {})
        headers[hdrs.CONTENT_TYPE] = kind
        headers.update(action.headers)
        return action.status, headers, body.encode()

    async def _pass_on(self, action: AnyAction | None, request: web.Request, record: Record) -> web.StreamResponse:
        asking = self._shared.session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=_end_to_end(request.headers),
            data=_pieces(request, record) if request.body_exists else None,
            allow_redirects=False,
        )
        async with asking as upstream:
            headers = _end_to_end(upstream.headers)
            match action:
                case DropAfter():
                    await upstream.read()
                    return await _reset(request)
                case Truncate():
                    return await _truncate(request, record, upstream)
                case GateAfter(name):
                    body = await upstream.read()
                    await self._shared.gates.hold(name)
                    return _whole(record, upstream.status, headers, body)
                case StripCors():
                    headers = Headers((n, v) for n, v in headers.items() if not n.lower().startswith("access-control-"))
            return await _stream(request, record, upstream, headers)


# --- towards the target ----------------------------------------------------------------------------------------------


def _end_to_end(headers: "CIMultiDictProxy[str]") -> Headers:
    """Those that a proxy passes on, in their order and as often as they came."""
    named = {name.strip().lower() for line in headers.getall(hdrs.CONNECTION, ()) for name in line.split(",")}
    return Headers((name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | named)


async def _pieces(request: web.Request, record: Record) -> AsyncIterator[bytes]:
    """The body as it arrives, noted in the journal."""
    async for piece in request.content.iter_any():
        record.note_body(piece)
        yield piece


async def _drain(request: web.Request, record: Record) -> None:
    """Read the body to its end, as a server that answers would have."""
    async for _ in _pieces(request, record):
        pass


# --- towards the client ----------------------------------------------------------------------------------------------


def _whole(record: Record, status: int, headers: Headers, body: bytes) -> web.Response:
    """An answer to be sent at once."""
    response = web.Response(status=status, headers=headers, body=body)
    _note(response, record, headers)
    return response


async def _begin(request: web.Request, record: Record, status: int, headers: Headers) -> web.StreamResponse:
    """An answer whose head is sent with the first piece of its body."""
    response = web.StreamResponse(status=status, headers=headers)
    _note(response, record, headers)
    await response.prepare(request)
    return response


def _note(response: web.StreamResponse, record: Record, headers: Headers) -> None:
    """The connection ends with the answer: Chromium sends a request again by itself when a connection that it has used
    before is dropped, and a fault would meet more requests than the page has sent."""
    response.force_close()
    response["given"] = headers
    record.status = response.status


async def _remove_additions(_request: web.Request, response: web.StreamResponse) -> None:
    """An answer has the headers that it was given, and no others."""
    given: Mapping[str, str] = response.get("given", response.headers)
    for name in ADDED_BY_AIOHTTP:
        if name not in given:
            response.headers.popall(name, None)


async def _stream(
    request: web.Request, record: Record, upstream: ClientResponse, headers: Headers
) -> web.StreamResponse:
    """The target's answer as it arrives."""
    response = await _begin(request, record, upstream.status, headers)
    async for piece in upstream.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def _truncate(request: web.Request, record: Record, upstream: ClientResponse) -> web.StreamResponse:
    body = await upstream.read()
    headers = _end_to_end(upstream.headers)
    headers[hdrs.CONTENT_LENGTH] = str(len(body))
    response = await _begin(request, record, upstream.status, headers)
    await response.write(body[: len(body) // 2])
    while request.transport is not None and request.transport.get_write_buffer_size() > 0:
        await asyncio.sleep(0.001)
    return await _reset(request)


async def _hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection."""
    if request.transport is not None:
        request.transport.close()
    return await _gone()


async def _reset(request: web.Request) -> web.StreamResponse:
    """Close the connection so that the client meets a reset (RST)."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        request.transport.abort()
    return await _gone()


async def _gone() -> web.StreamResponse:
    """Until the client has gone, which cancels this handler: there is no answer."""
    await asyncio.Event().wait()
    raise AssertionError("nothing sets this event")
