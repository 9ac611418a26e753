"""A guard's end of the feed, as a plain reader of server-sent events on a socket of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.http.world import BASE, World

PATIENCE = 20.0
"""Seconds that a test waits for an event that must come."""


@dataclass(frozen=True)
class Event:
    kind: str
    data: dict[str, Any]
    id: str | None


class Events:
    """The events of one answer; None when it has ended."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._text = ""

    async def next(self) -> Event | None:
        async with asyncio.timeout(PATIENCE):
            while "\n\n" not in self._text:
                chunk = await self._chunk()
                if not chunk:
                    return None
                self._text += chunk.decode()
        block, _, self._text = self._text.partition("\n\n")
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        return Event(fields["event"], json.loads(fields["data"]), fields.get("id"))

    async def heartbeat(self) -> Event:
        """The next event, which is a heartbeat."""
        event = await self.next()
        assert event is not None and event.kind == "heartbeat", event
        return event

    async def batch(self) -> list[Event]:
        """The entries up to the next heartbeat."""
        entries: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.next()
                assert event is not None
                if event.kind == "entry":
                    entries.append(event)
                elif entries:
                    return entries

    async def end(self) -> list[Event]:
        """What is left until the stream ends."""
        events = []
        async with asyncio.timeout(PATIENCE):
            while (event := await self.next()) is not None:
                events.append(event)
        return events

    async def _chunk(self) -> bytes:
        """One piece of a chunked body (RFC 9112 section 7.1)."""
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            return (await self._reader.readexactly(size + 2))[:-2]
        except asyncio.IncompleteReadError:
            return b""


@dataclass(frozen=True)
class Stream:
    status: int
    headers: dict[str, str]
    events: Events


@asynccontextmanager
async def streaming(world: World, key: str, last: str | None = None) -> AsyncIterator[Stream]:
    """`GET /feed`, until the block ends."""
    reader, writer = await asyncio.open_connection(*world.address)
    resume = f"Last-Event-ID: {last}\r\n" if last is not None else ""
    writer.write(f"GET {BASE}/feed HTTP/1.1\r\nHost: x\r\nApi-Key: {key}\r\n{resume}\r\n".encode())
    try:
        async with asyncio.timeout(PATIENCE):
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        yield Stream(int(status.split()[1]), headers, Events(reader))
    finally:
        writer.close()
