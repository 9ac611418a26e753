"""Every request that reached a proxy, in the order in which they came."""

import hashlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tests.stage.faults import Target

MAX_ENTRIES = 50_000
MAX_BODY = 64 * 1024
"""Bytes of a body that are kept; hash and length are of all of it."""


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One request. `at` is seconds of a clock that never steps back; `status` is the client's answer's, if it has one.

    Names of headers are in lower case; those that came several times are joined with commas.
    """

    at: float
    target: Target
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    body_sha256: str = msgspec.field(name="bodySha256")
    body_bytes: int
    status: int | None
    fault: str | None


@dataclass(slots=True)
class Record:
    """A request that may still be arriving, or waiting for its answer."""

    target: Target
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    fault: str | None
    status: int | None = None
    at: float = field(default_factory=time.monotonic)
    _body: bytearray = field(default_factory=bytearray)
    _bytes: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def note_body(self, piece: bytes) -> None:
        """The next piece of its body."""
        self._body += piece[: MAX_BODY - len(self._body)]
        self._bytes += len(piece)
        self._hash.update(piece)

    def entry(self) -> Entry:
        return Entry(
            at=self.at,
            target=self.target,
            method=self.method,
            path=self.path,
            query=self.query,
            headers=dict(self.headers),
            body=self._body.decode(errors="replace"),
            body_sha256=self._hash.hexdigest(),
            body_bytes=self._bytes,
            status=self.status,
            fault=self.fault,
        )


class Journal:
    """The last `MAX_ENTRIES` requests."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=MAX_ENTRIES)

    def add(self, record: Record) -> None:
        self._records.append(record)

    def entries(self) -> list[Entry]:
        return [record.entry() for record in self._records]

    def clear(self) -> None:
        self._records.clear()
