"""uvicorn's HTTP protocol with a bound on what a stranger can send before a request is one, and on how long an answer
waits for its reader. Answers go in one write, and those that wait for nothing need no task."""

import asyncio
import http
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keybearer.server.http.answer import Whole
from keybearer.server.http.request import WATCH

MAX_HEAD_BYTES = 32_768
"""Bytes of a request line with its headers; the access token in it is 8 KiB at most."""

MAX_PIPELINED = 16
"""Requests of one connection that wait for the one before them, or are answered at once before anybody else's turn."""

HEAD_TIMEOUT = 15.0
"""Seconds for a request's head to arrive, from the connection's or the head's first byte."""

SEND_TIMEOUT = 30.0
"""Seconds for which a reader may leave the buffers of its answers full."""

DRAIN = "keybearer.drain"
"""Where the application puts, in the state of its lifespan, what is to be called when the server shuts down."""

AT_ONCE = "keybearer.at_once"
"""Where the application puts, in the state of its lifespan, what answers a request that waits for nothing: it takes the
scope, and answers None for any other request."""

CLOSE = (b"connection", b"close")

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_NO_BODY = frozenset({204, 304})


class OneWrite:
    """The `send` of one request: an answer that comes whole goes out in one write.

    uvicorn writes head and body apart, after two regular expressions on each header; that is 40 % of what a token check
    costs. Streams, and whatever else is unusual, take uvicorn's way.
    """

    __slots__ = ("_cycle", "_start", "_stream")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: dict[str, Any] | None = None
        self._stream = cycle.send

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start" and self._start is None:
            self._start = message
            return
        cycle = self._cycle
        if cycle.response_started or message.get("more_body", False) or cycle.flow.write_paused or cycle.disconnected:
            await self._send_apart(message)
        else:
            if self._start is None:
                raise RuntimeError("the body of an answer comes after its start")
            start = self._start
            del cycle.send  # it holds the cycle that holds it: together they would wait for the garbage collector
            write_whole(cycle, (start["status"], start["headers"], message.get("body", b"")))

    async def _send_apart(self, message: Any) -> None:
        if not self._cycle.response_started and self._start is not None:
            await self._stream(self._start)  # type: ignore[arg-type]
        await self._stream(message)


def write_whole(cycle: RequestResponseCycle, answer: Whole) -> None:
    """Answer a request, and go on to the next one of its connection."""
    status, own_headers, body = answer
    headers = [*cycle.default_headers, *own_headers]
    keep_alive = cycle.keep_alive and CLOSE not in headers
    if not keep_alive and CLOSE not in headers:
        headers.append(CLOSE)
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
        raise RuntimeError("a header of the answer holds a line break")
    content = b"" if cycle.scope["method"] == "HEAD" or status in _NO_BODY else body
    cycle.transport.write(b"".join((_STATUS_LINES[status], head, b"\r\n", content)))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not keep_alive:
        cycle.transport.close()
    cycle.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431), and closes a connection whose head does not arrive in time, or whose
    answers are not read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._watcher: Callable[[], None] | None = None
        self._answered_at_once = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)
        if self._watcher is not None:
            self._watcher()

    def watch(self, callback: Callable[[], None] | None) -> None:
        """A `Watch`. The requests of a connection come one after another, so there is one at a time."""
        self._watcher = callback

    def pause_writing(self) -> None:
        super().pause_writing()
        # To close it would be to wait for the reader still.
        self._send_timer = self.loop.call_later(SEND_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_send_timer()

    def data_received(self, data: bytes) -> None:
        self._answered_at_once = 0
        super().data_received(data)
        if not self._in_head:
            self._watch_for_idleness()
            return
        if self._head_timer is None:  # a head that comes whole, as nearly all do, needs no timer
            self._start_timer()
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests wait on one connection")  # a fault of the request: 400, and closed
        self.scope["state"][WATCH] = self.watch
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        answer = self._answer_at_once(cycle) if app is self.app else None
        if answer is not None:
            write_whole(cycle, answer)
            return
        cycle.send = OneWrite(cycle)  # type: ignore[method-assign]
        super()._start_asgi_task(cycle, app)

    def _answer_at_once(self, cycle: RequestResponseCycle) -> Whole | None:
        """None where that cannot be; for a reader, too, who leaves the buffer of his answers full: he is waited for."""
        at_once: Callable[[Any], Whole | None] | None = self.app_state.get(AT_ONCE)
        if at_once is None or cycle.flow.write_paused or self._answered_at_once >= MAX_PIPELINED:
            return None
        self._answered_at_once += 1
        return at_once(cycle.scope)

    def on_response_complete(self) -> None:
        """uvicorn reads on after every answer; as long as requests wait, no more of them are taken in."""
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()

    def shutdown(self) -> None:
        """A stream has no end of its own: the service ends it, and its reader begins again elsewhere."""
        self.app_state[DRAIN]()
        super().shutdown()

    def _watch_for_idleness(self) -> None:
        """Bytes that begin no request (an empty line, the rest of a body that nobody read) have cancelled uvicorn's
        timer for idle connections; ours takes its place, and later bytes do not begin it anew."""
        if self.timeout_keep_alive_task is None and self._head_timer is None and self._is_idle():
            self._start_timer()

    def _is_idle(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()
