"""What a connection carries, request by request, whatever stands in one read: with an application that writes down what
it is asked."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from keybearer.server.http import protocol
from keybearer.server.http.answer import Whole
from keybearer.server.http.head import MAX_KNOWN_BYTES, MAX_KNOWN_HEADERS, Head, KnownHeads
from keybearer.server.http.protocol import AT_ONCE, DRAIN, MAX_HEAD_BYTES, BoundedProtocol

HANG = 30
NOW, SLOW, OTHER = "/now", "/slow", "/other"
"""Answered at once; as soon as the test says so; by a task."""


class Parsed(KnownHeads):
    """Says which heads had to be parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: list[bytes] = []

    def find(self, sent: bytes) -> Head | None:
        head = super().find(sent)
        if head is None:
            self.unknown.append(sent)
        return head


@dataclass(slots=True)
class Application:
    """Answers with the path, and reads no body."""

    asked: list[str] = field(default_factory=list)
    at_once: list[str] = field(default_factory=list)
    known_heads: KnownHeads = field(default_factory=Parsed)
    is_well_known: bool = True
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"].update({AT_ONCE: self, DRAIN: lambda: None})
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.asked.append(scope["path"])
        self.headers = scope["headers"]
        if scope["path"] == SLOW:
            await self.release.wait()
        text = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": _length(text)})
        await send({"type": "http.response.body", "body": text})

    def is_answered_at_once(self, method: str, path: str) -> bool:
        return path == NOW

    def answer_at_once(self, head: Head, client: tuple[str, int] | None) -> Whole | None:
        self.at_once.append(head.path)
        head.is_well_known = self.is_well_known
        return 200, _length(b"now"), b"now"


def _length(text: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(text))]


@dataclass(frozen=True, slots=True)
class Served:
    application: Application
    server: uvicorn.Server
    address: tuple[str, int]

    async def send(self, *pieces: bytes) -> bytes:
        """All that is answered, until the connection is closed."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            async with asyncio.timeout(HANG):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.05)
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def served(keep_alive: float = HANG, application: Application | None = None) -> AsyncIterator[Served]:
    application = application or Application()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            application,
            http=BoundedProtocol,
            lifespan="on",
            log_config=None,
            timeout_keep_alive=keep_alive,  # type: ignore[arg-type]  # call_later takes parts too
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(HANG):
            while not server.started:
                await asyncio.sleep(0.005)
        try:
            yield Served(application, server, listener.getsockname())
        finally:
            server.should_exit = True
            application.release.set()
            await serving


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


def statuses(answers: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1.1 (\d+)", answers)


async def test_an_answer_under_way_outlives_the_wait_of_the_one_before_it() -> None:
    async with served(keep_alive=0.2) as it:
        sending = asyncio.create_task(it.send(get(NOW) + get(SLOW, "Connection: close")))
        await asyncio.sleep(0.6)
        it.application.release.set()
        answers = await sending
    assert statuses(answers) == [b"200", b"200"] and answers.endswith(b"/slow")


@pytest.mark.parametrize("behind", [get(OTHER), get(NOW)])
async def test_nothing_is_done_behind_the_word_that_the_connection_closes(behind: bytes) -> None:
    """To HTTP/1.0 it is always said."""
    async with served() as it:
        answers = await it.send(get(NOW, "Connection: keep-alive", version="1.0") + behind)
        assert it.application.asked == []
    assert statuses(answers) == [b"200"] and b"connection: close" in answers


@pytest.mark.parametrize("path", [NOW, OTHER])
async def test_the_body_of_an_upgrade_is_no_request(path: str) -> None:
    body = get("/smuggled")
    async with served() as it:
        head = get(path, "Connection: upgrade", "Upgrade: foo", f"Content-Length: {len(body)}")
        answers = await it.send(head, body)
        assert "/smuggled" not in it.application.asked
    assert statuses(answers) == [b"200"] and b"connection: close" in answers


async def test_a_reset_leaves_no_timer_behind() -> None:
    async with served() as it:
        _, writer = await asyncio.open_connection(*it.address)
        writer.write(get(NOW))
        connection = await first_connection(it.server)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with asyncio.timeout(HANG):
            while it.server.server_state.connections:
                await asyncio.sleep(0.01)
        assert connection.timeout_keep_alive_task is None


async def first_connection(server: uvicorn.Server) -> BoundedProtocol:
    """Once it waits for a request."""
    async with asyncio.timeout(HANG):
        while True:
            for connection in server.server_state.connections:
                if isinstance(connection, BoundedProtocol) and connection.timeout_keep_alive_task is not None:
                    return connection
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", [NOW, OTHER])
async def test_a_large_head_that_comes_in_one_read(path: str) -> None:
    async with served() as it:
        answers = await it.send(get(path, "X: " + "y" * MAX_HEAD_BYTES))
        assert it.application.asked == []
    assert statuses(answers) == [b"431"]


async def test_trailers_are_no_headers() -> None:
    head = f"POST {OTHER} HTTP/1.1\r\nHost: x\r\nX-Who: head\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with served() as it:
        answers = await it.send(head.encode() + b"1\r\nx\r\n0\r\nX-Who: trailer\r\n\r\n")
        assert [value for name, value in it.application.headers if name == b"x-who"] == [b"head"]
    assert statuses(answers) == [b"200"]


async def test_trailers_that_never_end() -> None:
    head = f"POST {SLOW} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: "
    async with served() as it:
        await it.send(head.encode(), *[b"y" * 10_000] * 5)


@pytest.mark.parametrize("behind", [b"\x00garbage\r\n\r\n", get(OTHER, "X: " + "y" * MAX_HEAD_BYTES)])
async def test_a_refusal_never_stands_in_the_place_of_an_answer_under_way(behind: bytes) -> None:
    async with served() as it:
        assert statuses(await it.send(get(SLOW) + behind)) == []
        assert it.application.asked == [SLOW]


KNOWN = get(NOW, "Api-Key: known")
"""A head that is asked for again and again, in reads of its own."""


def times_parsed(it: Served) -> int:
    """How often it had to be parsed."""
    assert isinstance(it.application.known_heads, Parsed)
    return it.application.known_heads.unknown.count(KNOWN)


async def test_a_head_that_is_known_is_not_parsed_again() -> None:
    async with served() as it:
        answers = await it.send(KNOWN, KNOWN, get(OTHER), KNOWN, get(NOW, "Connection: close"))
        assert it.application.at_once == [NOW] * 4
        assert times_parsed(it) == 1
        await it.send(KNOWN, get(NOW, "Connection: close"))  # by another connection
        assert times_parsed(it) == 1
    assert re.findall(rb"\r\n\r\n(\S+?)(?=HTTP|$)", answers) == [b"now", b"now", b"/other", b"now", b"now"]


@pytest.mark.parametrize(
    "sent",
    [
        get(NOW, "Connection: close"),
        get(NOW, "Connection: keep-alive", version="1.0"),
        get(NOW, "X: " + "y" * MAX_KNOWN_BYTES),
        get(NOW, *["X:"] * MAX_KNOWN_HEADERS),
        KNOWN + KNOWN,
        KNOWN + b"GET /",
    ],
)
async def test_what_is_more_or_less_than_one_head_is_not_known(sent: bytes) -> None:
    async with served() as it:
        await it.send(
            sent, b"now HTTP/1.1\r\nConnection: close\r\n\r\n" if sent.endswith(b"/") else get(NOW, "Connection: close")
        )
        assert it.application.known_heads.find(sent) is None


async def test_what_was_not_answered_well_is_not_known() -> None:
    async with served() as it:
        it.application.is_well_known = False
        await it.send(KNOWN, KNOWN, get(NOW, "Connection: close"))
        assert times_parsed(it) == 2


@pytest.mark.parametrize("path", [NOW, OTHER])
async def test_a_known_head_within_a_body_is_no_request(path: str) -> None:
    post = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(KNOWN)}\r\n\r\n".encode()
    async with served() as it:
        answers = await it.send(KNOWN, post, KNOWN, get(OTHER, "Connection: close"))
        assert len(it.application.asked) + len(it.application.at_once) == 3
    assert statuses(answers) == [b"200"] * 3


async def test_a_known_head_behind_half_of_another_belongs_to_it() -> None:
    async with served() as it:
        answers = await it.send(KNOWN, b"GET /other HTTP/1.1\r\nHost: x\r\nX: ", KNOWN, get(NOW, "Connection: close"))
        assert it.application.asked == [OTHER] and it.application.at_once == [NOW] * 2
    assert statuses(answers) == [b"200"] * 3


async def test_a_known_head_waits_for_the_answer_before_it() -> None:
    async with served() as it:
        sending = asyncio.create_task(it.send(KNOWN, get(SLOW), KNOWN, get(OTHER, "Connection: close")))
        await asyncio.sleep(0.6)
        assert it.application.at_once == [NOW]
        it.application.release.set()
        answers = await sending
    assert re.findall(rb"\r\n\r\n(\S+?)(?=HTTP|$)", answers) == [b"now", b"/slow", b"/now", b"/other"]


async def test_a_connection_lives_as_long_as_known_heads_come() -> None:
    async with served(keep_alive=0.5) as it:
        reader, writer = await asyncio.open_connection(*it.address)
        for _ in range(10):
            writer.write(KNOWN)
            assert await reader.readuntil(b"now")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(HANG):
            assert await reader.read() == b""
        writer.close()


async def test_a_known_head_is_told_that_the_connection_closes() -> None:
    async with served() as it:
        await it.send(KNOWN, get(NOW, "Connection: close"))
        state = it.server.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        assert (await it.send(KNOWN)).count(b"connection: close") == 1


def test_heads_are_known_in_two_generations() -> None:
    heads = KnownHeads(capacity=2)
    sent = [b"%d" % n for n in range(5)]
    for each in sent[:4]:
        heads.keep(each, Head("GET", each.decode(), b"", []))
    assert heads.find(sent[0]) is not None  # of the older ones, and young again
    heads.keep(sent[4], Head("GET", "4", b"", []))
    assert [heads.find(each) is not None for each in (sent[0], sent[4], sent[1])] == [True, True, False]


async def test_who_reads_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little of his answers is left in the service."""
    monkeypatch.setattr(protocol, "SEND_TIMEOUT", 0.3)
    async with served() as it:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect(it.address)
            reader.sendall(KNOWN)
            connection = await first_connection(it.server)
            while not connection.transport.get_write_buffer_size():
                answered = len(it.application.at_once)
                reader.sendall(KNOWN)
                async with asyncio.timeout(HANG):
                    while len(it.application.at_once) == answered:
                        await asyncio.sleep(0)
            async with asyncio.timeout(HANG):
                while it.server.server_state.connections:
                    await asyncio.sleep(0.01)
