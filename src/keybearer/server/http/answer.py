"""One answer, before the edge adds what every answer carries."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec

JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer whose body is sent as it is made. `chunks` is closed when the client has gone."""

    status: int
    chunks: AsyncGenerator[bytes, None]
    headers: tuple[tuple[bytes, bytes], ...]


def answer_json(
    document: object, *, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (NO_STORE,)
) -> Answer:
    """A document; not to be stored by anyone unless `headers` says otherwise."""
    return Answer(status, _encode(document), (JSON, *headers))


NO_CONTENT = Answer(204, b"", (NO_STORE,))
