"""uvicorn's HTTP protocol with a bound on what a stranger can send before a request is one, and on how long an answer
waits for its reader. Answers go in one write, and those that wait for nothing need no task."""

import asyncio
import http
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keybearer.server.http.answer import Header, Whole
from keybearer.server.http.head import Head, KnownHeads
from keybearer.server.http.request import WATCH

MAX_HEAD_BYTES = 32_768
"""Bytes of a request line with its headers; the access token in it is 8 KiB at most. As many may come of a request with
nothing of its body among them, as trailers do."""

MAX_PIPELINED = 16
"""Requests of one connection that wait for the one before them."""

HEAD_TIMEOUT = 15.0
"""Seconds for a request's head to arrive, from the connection's or the head's first byte."""

SEND_TIMEOUT = 30.0
"""Seconds for which a reader may leave the buffers of its answers full."""

DRAIN = "keybearer.drain"
"""Where the application puts, in the state of its lifespan, what is to be called when the server shuts down."""

AT_ONCE = "keybearer.at_once"
"""Where the application puts an `AnswersAtOnce`, in the state of its lifespan."""

CLOSE = (b"connection", b"close")

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_NO_BODY = frozenset({204, 304})


class AnswersAtOnce(Protocol):
    """What the application answers without a task; `Edge`."""

    known_heads: KnownHeads

    def is_answered_at_once(self, method: str, path: str) -> bool: ...

    def answer_at_once(self, head: Head, client: tuple[str, int] | None) -> Whole | None: ...


class _Nowhere(list[tuple[bytes, bytes]]):
    """Keeps nothing."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        pass


_NOWHERE = _Nowhere()


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
            self._write((self._start["status"], self._start["headers"], message.get("body", b"")))

    async def _send_apart(self, message: Any) -> None:
        if not self._cycle.response_started and self._start is not None:
            await self._stream(self._start)  # type: ignore[arg-type]
        await self._stream(message)

    def _write(self, answer: Whole) -> None:
        cycle = self._cycle
        method = cycle.scope["method"]
        _write_whole(cycle.transport, answer, cycle.default_headers, keep_alive=cycle.keep_alive, method=method)
        cycle.response_started = cycle.response_complete = True
        del cycle.send  # it holds the cycle that holds it: together they would wait for the garbage collector
        cycle.message_event.set()
        cycle.on_response()


def _write_whole(
    transport: asyncio.Transport, answer: Whole, defaults: list[Header], *, keep_alive: bool, method: str
) -> None:
    """Write an answer, the server's own headers first; if the connection is not kept, say so and close it."""
    status, own, body = answer
    headers = [*defaults, *own]
    if CLOSE in headers:
        keep_alive = False
    elif not keep_alive:
        headers.append(CLOSE)
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    if head.count(b"\n") != len(headers) or head.count(b"\r") != len(headers):
        raise RuntimeError("a header of the answer holds a line break")
    content = b"" if method == "HEAD" or status in _NO_BODY else body
    transport.write(b"".join((_STATUS_LINES[status], head, b"\r\n", content)))
    if not keep_alive:
        transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a head that is too large (431), and closes a connection whose head does not arrive in time, or whose
    answers are not read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._vain_bytes = 0
        self._read_bytes = 0
        self._in_head = False
        self._has_progress = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._watcher: Callable[[], None] | None = None
        self._answered_at_once: Head | None = None
        self._is_between_requests = True
        self._begun = 0
        self._kept_from = 0.0
        self._at_once: AnswersAtOnce | None = self.app_state.get(AT_ONCE)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # the send timer runs for any byte that is not read
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # which uvicorn leaves to itself after a reset, and all that hangs on it
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
        if not self._answer_as_before(data):
            was_between, self._begun, self._answered_at_once = self._is_between_requests, 0, None
            self._take_in(data)
            if was_between and self._begun == 1 and self._is_between_requests:
                self._remember(data)

    def _answer_as_before(self, data: bytes) -> bool:
        """Whether the read is a head that is known, and answered without being parsed anew."""
        if self._at_once is None or not self._is_between_requests or not self._may_answer():
            return False
        head = self._at_once.known_heads.find(data)
        if head is None or not self._write_at_once(self._at_once, head, keep_alive=True):
            return False
        if self._head_timer is not None:
            self._stop_timer()
        self._vain_bytes = 0
        if self.timeout_keep_alive_task is None:
            self.on_response_complete()
        else:  # the timer that runs looks at the time when it has run out
            self._kept_from = self.loop.time()
            self.server_state.total_requests += 1
        return True

    def _remember(self, data: bytes) -> None:
        """The read was one request and nothing else, of whose answer the connection does not end."""
        head = self._answered_at_once
        if head is not None and head.is_well_known and self._at_once is not None and not self.transport.is_closing():
            self._at_once.known_heads.keep(data, head)

    def timeout_keep_alive_handler(self) -> None:
        left = self._kept_from + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _take_in(self, data: bytes) -> None:
        self._has_progress, self._read_bytes = False, len(data)
        super().data_received(data)
        if self._has_progress and not self._in_head:
            self._vain_bytes = 0
        else:
            self._vain_bytes += len(data)
            if self._vain_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
        if not self._in_head:
            self._watch_for_idleness()
        elif self._head_timer is None:  # a head that comes whole, as nearly all do, needs no timer
            self._start_timer()

    def _refuse_head(self) -> None:
        """Not before the answers to earlier requests: it would be taken for one of them."""
        if self._is_idle() and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """As `_refuse_head`."""
        if self._is_idle():
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._is_between_requests = False
        self._begun += 1
        self._vain_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        if self._vain_bytes + self._read_bytes > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._refuse_head()
        if self.transport.is_closing():
            return  # whoever is told that the connection closes knows that nothing behind is done
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests wait on one connection")  # a fault of the request: 400, and closed
        if not (self._may_answer_at_once() and self._answer_at_once()):
            self._go_the_long_way()
        self.headers = _NOWHERE  # of trailers

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _go_the_long_way(self) -> None:
        self._unset_keepalive_if_required()  # an answer at once, before in the same read, has begun to wait for more
        self.scope["state"][WATCH] = self.watch
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser leaves the body out, and would take it for the next request

    def _may_answer_at_once(self) -> bool:
        """Not before an earlier request is answered, nor for a reader who leaves the buffer of his answers full.

        And one of a read: those behind it have their turns, as everybody else has.
        """
        return self._may_answer() and self._answered_at_once is None and not self.parser.should_upgrade()

    def _may_answer(self) -> bool:
        return self._is_idle() and not self.flow.write_paused and not self.transport.is_closing()

    def _answer_at_once(self) -> bool:
        """Without a cycle and a task. False for any request that needs them, or whose target is unusual; and for one
        with which something goes wrong: it does so again on the long way, where it is logged."""
        raw_path, _, query = self.url.partition(b"?")
        method, path = self.parser.get_method().decode("ascii"), raw_path.decode("latin-1")
        if self._at_once is None or b"#" in query or not self._at_once.is_answered_at_once(method, path):
            return False
        head = Head(method, path, query, self.headers)
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        if not self._write_at_once(self._at_once, head, keep_alive=keep_alive):
            return False
        self._answered_at_once = head
        self.on_response_complete()
        return True

    def _write_at_once(self, service: AnswersAtOnce, head: Head, *, keep_alive: bool) -> bool:
        try:
            answer = service.answer_at_once(head, self.client)
            if answer is None:
                return False
            defaults = self.server_state.default_headers
            _write_whole(self.transport, answer, defaults, keep_alive=keep_alive, method=head.method)
        except Exception:  # noqa: BLE001 (nothing is written yet)
            return False
        return True

    def on_body(self, body: bytes) -> None:
        self._has_progress = True
        if self._is_heard():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._has_progress = True
        self._is_between_requests = True
        if self._is_heard():
            super().on_message_complete()

    def _is_heard(self) -> bool:
        """Not what comes behind the word that the connection closes; nor what belongs to a first request that was
        answered at once, for which there is no cycle."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not self.transport.is_closing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = OneWrite(cycle)  # type: ignore[method-assign]  # its method, replaced before any call
        super()._start_asgi_task(cycle, app)

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
