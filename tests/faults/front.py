"""What stands before the replicas: it passes bytes to one of them by chance, drops answers, and cuts connections."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from tests.faults.wire import HOST

_CHUNK = 65536


@dataclass(slots=True)
class Front:
    """`drop_share` of the connections lose what the service answers, all of it: it has committed, and nobody knows."""

    targets: Sequence[int]
    chance: Random
    drop_share: float = 0.0
    dropped: int = 0
    cut: int = 0
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.cut_all()
            await server.wait_closed()

    def cut_all(self) -> None:
        """Both sides of every connection meet a reset or an end, whatever is on its way."""
        self.cut += len(self._open) // 2
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _aborted(writer):
            upstream = await self._connect()
            if upstream is None:
                return
            answers, questions = upstream
            async with _aborted(questions):
                self._open |= {writer, questions}
                try:
                    await self._pass_on(reader, questions, answers, writer)
                finally:
                    self._open -= {writer, questions}

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        questions: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Until one side has ended."""
        drops = self.chance.random() < self.drop_share
        forth = asyncio.create_task(_copy(reader, questions))
        back = asyncio.create_task(self._drop(answers) if drops else _copy(answers, writer))
        try:
            await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (forth, back):
                task.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)

    async def _drop(self, answers: asyncio.StreamReader) -> None:
        with suppress(OSError):
            if await answers.read(_CHUNK):
                self.dropped += 1

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self.chance.sample(self.targets, len(self.targets)):
            with suppress(OSError):
                return await asyncio.open_connection(HOST, port)
        return None


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()


@asynccontextmanager
async def _aborted(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Closed without waiting for anything in the end; what was written is sent before if the other side takes it."""
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
