"""`python -m bench.bare <port> <bytes>`: what the machine allows, to compare with.

An asyncio protocol on uvloop that answers whatever it is sent with so many bytes, and understands nothing of it.
"""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import uvloop

from bench.service import SERVER_CORE


class Bare(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # what a TCP server makes

    def data_received(self, _: bytes) -> None:
        self._transport.write(self._answer)


async def serve(port: int, size: int) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (size, b"x" * size)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Bare(answer), "127.0.0.1", port)
    await ended.wait()
    server.close()


@contextmanager
def bare_server(size: int) -> Iterator[str]:
    """Its URL, while it runs on the server's core."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = ("taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "bench.bare", str(port), str(size))
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
    try:
        httpx2.Client(transport=httpx2.HTTPTransport(retries=10)).get(url).raise_for_status()
        yield url
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    uvloop.run(serve(*map(int, sys.argv[1:])))
