"""/feed: the credential feed for guards, as a snapshot and as a stream (contract.md section 4)."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import msgspec

from keybearer.errors import Overloaded
from keybearer.guard._core import CredentialState
from keybearer.guard.state import Entry
from keybearer.server.domain.revocations import FeedBatch, FeedEvent, FeedPulse, FeedReset
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.flows.snapshot_turns import SnapshotTurns
from keybearer.server.flows.stream_feed import RETRY_AFTER, FeedStreams
from keybearer.server.http.answer import JSON, NO_STORE, Answer, StreamedAnswer
from keybearer.server.http.call import Call
from keybearer.server.http.feed_documents import make_entry
from keybearer.server.ports import Clock
from keybearer.wire import feed

SLICE = 500
"""Entries of a snapshot that are made at a time; other requests are answered in between."""

LONGEST = 120_000
"""Milliseconds that a snapshot may take to be sent; a guard gives up then, too."""

_STREAM = (
    (b"content-type", feed.CONTENT_TYPE.encode()),
    NO_STORE,
    (b"x-accel-buffering", b"no"),  # a proxy must not hold entries back
)
_NOWHERE = ("", 0)
"""A position of no epoch: who is there must take the snapshot."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class CredentialFeed:
    issuer: str
    audience: str
    state: CredentialState
    follower: FeedFollower
    streams: FeedStreams
    turns: SnapshotTurns
    clock: Clock

    async def get_snapshot(self, call: Call) -> Answer | StreamedAnswer:
        """The state, from memory."""
        if self._tag() in (call.request.header(b"if-none-match") or ""):
            return Answer(304, b"", self._snapshot_headers())
        chunks = self._make_snapshot()
        await anext(chunks)  # its turn has come: before the answer begins, so that a refusal still can be one
        return StreamedAnswer(200, chunks, self._snapshot_headers())

    async def get_stream(self, call: Call) -> StreamedAnswer:
        """Server-sent events. The first one is made before the answer begins, so that a refusal still can be one."""
        last = call.request.header(b"last-event-id")
        start = None if last is None else feed.parse_event_id(last) or _NOWHERE
        events = self.streams.follow(call.request.header(b"api-key") or "", start)
        first = await anext(events, None)
        if first is None:
            raise Overloaded("This process is about to end.", retry_after=RETRY_AFTER)
        return StreamedAnswer(200, _make_events(first, events), _STREAM)

    async def _make_snapshot(self) -> AsyncGenerator[bytes, None]:
        """Nothing when its turn has come, then the document. Its position is taken first: what changes while it is sent
        comes again. A reader that is too slow gets a part of it, which is no JSON."""
        async with self.turns.take():
            end = self.clock.now() + LONGEST
            head = _encode(self._head())[:-1]
            yield b""
            yield head
            lists: dict[str, Iterable[Entry]] = {
                "applications": list(self.state.applications.values()),
                "keys": list(self.state.keys.values()),
                "sessions": self.state.revoked_sessions(),
                "users": self.state.revoked_users(),
            }
            for name, entries in lists.items():
                async for piece in _make_list(name, entries):
                    if self.clock.now() > end:
                        return
                    yield piece
            yield b"}"

    def _head(self) -> feed.SnapshotHead:
        return feed.SnapshotHead(
            epoch=self.follower.epoch,
            position=self.follower.position,
            as_of=self.state.as_of or 0,
            now=self.clock.now(),
            issuer=self.issuer,
            audience=self.audience,
            key_set_version=self.state.key_set_version,
        )

    def _snapshot_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return JSON, NO_STORE, (b"etag", b"W/" + self._tag().encode())

    def _tag(self) -> str:
        return f'"{feed.make_event_id(self.follower.epoch, self.follower.position)}"'


async def _make_list(name: str, entries: Iterable[Entry]) -> AsyncGenerator[bytes, None]:
    yield f',"{name}":['.encode()
    comma = b""
    rest = iter(entries)
    while part := [make_entry(entry) for entry in islice(rest, SLICE)]:
        yield comma + _encode(part)[1:-1]
        comma = b","
        await asyncio.sleep(0)
    yield b"]"


async def _make_events(first: FeedEvent, events: AsyncGenerator[FeedEvent, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield _make_event(first)
        async for event in events:
            yield _make_event(event)


def _make_event(event: FeedEvent) -> bytes:
    match event:
        case FeedBatch():
            return _make_batch(event)
        case FeedPulse(epoch, position, as_of, now):
            data = _encode(feed.Heartbeat(as_of, now, position))
            return feed.format_event(feed.HEARTBEAT, data, feed.make_event_id(epoch, position))
        case FeedReset():
            return feed.format_event(feed.RESET, b"{}")


@lru_cache(maxsize=32)
def _make_batch(batch: FeedBatch) -> bytes:
    """Remembered: every stream of the process sends the same."""
    return b"".join(
        feed.format_event(feed.ENTRY, _encode(make_entry(entry)), feed.make_event_id(batch.epoch, position))
        for position, entry in batch.entries
    )
