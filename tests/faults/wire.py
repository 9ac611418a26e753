"""Plain HTTP for clients that keep only what they hold: one connection for each request, which they may cut."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

HOST = "127.0.0.1"
PATIENCE = 15.0
"""Seconds that a client waits for an answer; more than the service takes to say that it has no database."""


class Cut(Enum):
    """What a client does with its connection before it has an answer."""

    NONE = "none"
    AMID_REQUEST = "amid_request"
    AFTER_REQUEST = "after_request"
    AMID_ANSWER = "amid_answer"


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, str] | None = None

    def text(self, connection: str = "close") -> bytes:
        body = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {**self.headers, "Host": HOST, "Connection": connection, "Content-Length": str(len(body))}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    document: Any

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.document["errors"][0]["code"]) if "errors" in self.document else ""


async def ask(port: int, request: Request, cut: Cut = Cut.NONE, after: float = 0) -> Reply | None:
    """The reply; None when there was none, or not all of it. A cut comes `after` seconds."""
    try:
        async with asyncio.timeout(PATIENCE):
            return _parse(await _exchange(port, request.text(), cut, after))
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None


async def ask_status(port: int, path: str) -> int:
    """0 when there was no answer."""
    reply = await ask(port, Request("GET", path, {}))
    return reply.status if reply is not None else 0


async def _exchange(port: int, text: bytes, cut: Cut, after: float) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        if cut is Cut.AMID_REQUEST:
            writer.write(text[: len(text) // 2])
            await writer.drain()
            return b""
        writer.write(text)
        await writer.drain()
        if cut is Cut.AFTER_REQUEST:
            await asyncio.sleep(after)
            return b""
        return await (reader.read(64) if cut is Cut.AMID_ANSWER else reader.read())
    finally:
        writer.transport.abort()


def _parse(answer: bytes) -> Reply | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    length = headers.get("content-length")
    if length is None or len(body) != int(length):
        return None
    is_json = headers.get("content-type", "").startswith("application/json")
    return Reply(int(lines[0].split(" ")[1]), json.loads(body) if is_json else {})
