"""Real sockets for the applications under test: uvicorn for ASGI, the standard library's server for WSGI."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

from tests.guard.integrations.answers import Answer

Address = tuple[str, int]

UPGRADE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
"""What makes a request the opening of a WebSocket (RFC 6455 section 1.3)."""


@asynccontextmanager
async def serving_asgi(app: Any) -> AsyncIterator[Address]:
    """The application on uvicorn, on this event loop, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener, told_without_heads():
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head and body go out apart
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not serving.done(), "the application did not start"
            await asyncio.sleep(0.005)
        yield listener.getsockname()
        server.should_exit = True
        await serving


@contextmanager
def told_without_heads() -> Iterator[None]:
    """At the level of debugging, if another test has set that, uvicorn writes down every head of a WebSocket."""
    logger = logging.getLogger("uvicorn.error")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: what is answered is compared, not read."""


@asynccontextmanager
async def serving_wsgi(app: Any) -> AsyncIterator[Address]:
    """The application on wsgiref, in threads of its own, until the block ends."""
    with make_server("127.0.0.1", 0, app, _Server, _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield ("127.0.0.1", server.server_port)
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()


class Visitor:
    """Sends requests exactly as they are: headers in their order, repeated ones repeated. Blocks."""

    def __init__(self, address: Address) -> None:
        self._connection = HTTPConnection(*address, timeout=10)

    def send(self, method: str, path: str, headers: tuple[tuple[str, str], ...]) -> Answer:
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            self._connection.putheader(name, value.encode("latin-1"))
        self._connection.endheaders()
        response = self._connection.getresponse()
        if response.status == 101:
            self._connection.close()
            return Answer(response.status, dict(response.getheaders()), b"")
        return Answer(response.status, dict(response.getheaders()), response.read())

    def close(self) -> None:
        self._connection.close()
