"""What a refusal is in HTTP, for every integration: what the service itself would have answered."""

import secrets
from dataclasses import dataclass

import msgspec

from keybearer.errors import KeybearerError
from keybearer.wire.problems import document_of, headers_of, status_of
from keybearer.wire.request_ids import HEADER, is_request_id

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with an error document."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI has them."""
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in self.headers]


def make_refusal(error: KeybearerError, sent_request_id: str | None) -> Refusal:
    """`sent_request_id` is what the caller sent as `X-Request-Id`, if it did."""
    request_id = sent_request_id if is_request_id(sent_request_id) else secrets.token_hex(16)
    body = _encode(document_of(error, request_id))
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *((name.title(), value) for name, value in headers_of(error)),
        (HEADER, request_id),
    )
    return Refusal(status_of(error), headers, body)
