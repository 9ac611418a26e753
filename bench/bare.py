"""`python -m bench.bare <kind> <port> <bytes>`: what the machine allows, to compare with.

`protocol`: an asyncio protocol on uvloop that answers whatever it is sent with so many bytes, and understands nothing
of it. `application`: an ASGI function under uvicorn, with uvloop and httptools, that does the same.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2
import uvicorn
import uvloop

from bench.service import SERVER_CORE


class Bare(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # what a TCP server makes

    def data_received(self, _: bytes) -> None:
        self._transport.write(self._answer)


async def serve_protocol(port: int, size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (size, b"x" * size)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Bare(answer), "127.0.0.1", port)
    await ended.wait()
    server.close()


async def serve_application(port: int, size: int) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]}
    body = {"type": "http.response.body", "body": b"x" * size}

    async def answer(_: Any, __: Any, send: Any) -> None:
        await send(start)
        await send(body)

    config = uvicorn.Config(answer, port=port, lifespan="off", ws="none", log_config=None, access_log=False)
    await uvicorn.Server(config).serve()


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    pid: int


@contextmanager
def bare_server(size: int, kind: Literal["protocol", "application"] = "protocol") -> Iterator[Running]:
    """While it runs on the server's core."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ("taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "bench.bare", kind, str(port), str(size))
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
    try:
        httpx2.Client(transport=httpx2.HTTPTransport(retries=10)).get(url).raise_for_status()
        yield Running(url, process.pid)
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    serve = serve_protocol if sys.argv[1] == "protocol" else serve_application
    uvloop.run(serve(*map(int, sys.argv[2:])))
