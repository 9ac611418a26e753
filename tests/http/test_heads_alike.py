"""Whatever stands in the reads of a connection, known heads change no byte of the answers: the same pieces are sent to
a server that knows heads and to one that never does."""

import asyncio
import random
import re
from dataclasses import dataclass, field

from keybearer.server.http.answer import Whole
from keybearer.server.http.head import Head, KnownHeads
from tests.http.test_connections import KNOWN, NOW, OTHER, Application, Served, get, served

CONNECTIONS = 400
PIECES = 6
AT_ONCE = 40
QUIET = 0.4
"""Seconds after which no more answers are expected."""


class NeverKnown(KnownHeads):
    def find(self, sent: bytes) -> Head | None:
        return None


class Counted(KnownHeads):
    hits = 0

    def find(self, sent: bytes) -> Head | None:
        head = super().find(sent)
        self.hits += head is not None
        return head


@dataclass(slots=True)
class Plain(Application):
    """Its answers do not tell which way they took."""

    known_heads: KnownHeads = field(default_factory=NeverKnown)

    def answer_at_once(self, head: Head, client: tuple[str, int] | None) -> Whole | None:
        head.is_well_known = True
        return 200, [(b"content-length", b"4")], NOW.encode()


def post(path: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode() + body


ATOMS = (
    *[KNOWN] * 12,
    KNOWN + KNOWN,
    KNOWN + b"\r\n",
    b"\r\n" + KNOWN,
    b"\r",
    b"\n",
    b"\r\n",
    KNOWN[:20],
    KNOWN[20:],
    get(NOW),
    get(OTHER),
    get(NOW, "X-Other: 1"),
    get(NOW, "Connection: close"),
    get(NOW, "Connection: keep-alive", version="1.0"),
    get(NOW + "?a=b"),
    get(NOW, "Content-Length: 3") + b"abc",
    get(NOW, f"Content-Length: {len(KNOWN)}"),
    get(NOW, "Transfer-Encoding: chunked"),
    get(NOW, "Connection: upgrade", "Upgrade: foo"),
    get(NOW, "Expect: 100-continue"),
    get(OTHER, f"Content-Length: {len(KNOWN)}"),
    post(NOW, f"Content-Length: {len(KNOWN)}", body=KNOWN),
    post(OTHER, f"Content-Length: {len(KNOWN)}"),
    post(OTHER, f"Content-Length: {2 * len(KNOWN)}", body=KNOWN),
    post(OTHER, "Transfer-Encoding: chunked"),
    b"%x\r\n" % len(KNOWN),
    b"0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"HEAD /now HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x00",
)


async def play(it: Served, pieces: list[bytes]) -> bytes:
    """What is answered to the pieces, each in a read of its own."""
    reader, writer = await asyncio.open_connection(*it.address)
    answers = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(QUIET):
            while chunk := await reader.read(65536):
                answers += chunk
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return re.sub(rb"date: [^\r]+\r\n", b"", answers)


async def play_all(known_heads: KnownHeads, stories: list[list[bytes]]) -> list[bytes]:
    async with served(application=Plain(known_heads=known_heads)) as it:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(pieces: list[bytes]) -> bytes:
            async with turns:
                return await play(it, pieces)

        return await asyncio.gather(*map(one, stories))


async def test_known_heads_change_no_answer() -> None:
    chosen = random.Random(16)
    stories = [chosen.choices(ATOMS, k=PIECES) for _ in range(CONNECTIONS)]
    counted = Counted()
    known, parsed = await play_all(counted, stories), await play_all(NeverKnown(), stories)
    assert counted.hits > CONNECTIONS / 4
    for story, with_known, without in zip(stories, known, parsed, strict=True):
        assert with_known == without, story
