"""uvicorn's HTTP protocol with a bound on what a stranger can send before a request is one, and on how long an answer
waits for its reader; answers go in one write."""

import asyncio
import http
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keybearer.server.http.request import WATCH

MAX_HEAD_BYTES = 32_768
"""Bytes of a request line with its headers; the access token in it is 8 KiB at most."""

MAX_PIPELINED = 16
"""Requests of one connection that wait for the one before them."""

HEAD_TIMEOUT = 15.0
"""Seconds for a request's head to arrive, from the connection's or the head's first byte."""

SEND_TIMEOUT = 30.0
"""Seconds for which a reader may leave the buffers of its answers full."""

DRAIN = "keybearer.drain"
"""Where the application puts, in the state of its lifespan, what is to be called when the server shuts down."""

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
            self._write(message.get("body", b""))

    async def _send_apart(self, message: Any) -> None:
        if not self._cycle.response_started and self._start is not None:
            await self._stream(self._start)  # type: ignore[arg-type]
        await self._stream(message)

    def _write(self, body: bytes) -> None:
        cycle, start = self._cycle, self._start
        if start is None:
            raise RuntimeError("the body of an answer comes after its start")
        headers = [*cycle.default_headers, *start["headers"]]
        keep_alive = cycle.keep_alive and CLOSE not in headers
        if not keep_alive and CLOSE not in headers:
            headers.append(CLOSE)
        head = b"".join([b"%b: %b\r\n" % header for header in headers])
        if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
            raise RuntimeError("a header of the answer holds a line break")
        content = b"" if cycle.scope["method"] == "HEAD" or start["status"] in _NO_BODY else body
        cycle.transport.write(b"".join((_STATUS_LINES[start["status"]], head, b"\r\n", content)))
        cycle.response_started = cycle.response_complete = True
        del cycle.send  # it holds the cycle that holds it: together they would wait for the garbage collector
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
        if self.cycle is not None:
            self.cycle.send = OneWrite(self.cycle)  # type: ignore[method-assign]  # the task that sends starts later

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
