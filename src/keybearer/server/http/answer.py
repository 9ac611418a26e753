"""One answer, before the edge adds what every answer carries."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
JSON_NOT_STORED = (JSON, NO_STORE)

Header = tuple[bytes, bytes]

Whole = tuple[int, list[Header], bytes]
"""Status, headers and body of an answer, with what every answer carries."""

_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer whose body is sent as it is made. `chunks` is closed when the client has gone."""

    status: int
    chunks: AsyncGenerator[bytes, None]
    headers: tuple[Header, ...]


def answer_json(document: object, *, status: int = 200, headers: tuple[Header, ...] = (NO_STORE,)) -> Answer:
    """A document; not to be stored by anyone unless `headers` says otherwise."""
    return Answer(status, _encode(document), (JSON, *headers))


NO_CONTENT = Answer(204, b"", (NO_STORE,))
