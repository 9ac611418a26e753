"""uvicorn's HTTP protocol with a bound on what a stranger can send before a request is one."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 32_768
"""Bytes of a request line with its headers; the access token in it is 8 KiB at most."""

MAX_PIPELINED = 16
"""Requests of one connection that wait for the one before them."""

HEAD_TIMEOUT = 15.0
"""Seconds for a request's head to arrive, from the connection's or the head's first byte."""

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431), and closes a connection whose head does not arrive in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

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
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """uvicorn reads on after every answer; as long as requests wait, no more of them are taken in."""
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()

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

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()
