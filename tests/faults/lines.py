"""A connection that is kept: several requests on it, one after another or without waiting for the answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tests.faults.wire import HOST


@dataclass(frozen=True, slots=True)
class Line:
    """Both ways of it. OSError, EOFError where the service ends it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection(HOST, port))

    async def ask(self, *requests: bytes) -> Sequence[tuple[int, bytes]]:
        """Status and body of each answer, in their order. All of the requests are sent before the first answer."""
        self.writer.write(b"".join(requests))
        await self.writer.drain()
        return [await self._answer() for _ in requests]

    async def ends(self) -> bytes:
        """All that still comes, once the service has ended it."""
        return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()

    async def _answer(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        return int(head[9:12]), await self.reader.readexactly(length)
