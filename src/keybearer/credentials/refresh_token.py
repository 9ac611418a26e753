"""The refresh token: derived from its session's row and a secret key, never stored.

    kbr_  base64url of:  version  key id  session id  place  moved at  binder  MAC
    bytes                1        4       16          8      8         16      32

`binder` is the first half of SHA-256(nonce, session id, place, moved at); the nonce stands in the session's row only.
`MAC` is HMAC-SHA256 over all that stands before it, under the refresh-token key that `key id` names. So a forged token
is refused without a query; whoever has the database alone cannot make a MAC; whoever has the key alone cannot make a
binder; and a token that was seen tells neither.

A token's identity is (place, moved at). Instants are milliseconds since the Unix epoch.
"""

import hmac
import struct
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from keybearer.base64url import decode_base64url, encode_base64url

PREFIX = "kbr_"
NONCE_BYTES = 16
KEY_BYTES = 32
_VERSION = 1
_HEAD = struct.Struct(">BI16sQQ")
_PLACE = struct.Struct(">16sqq")
_BINDER_BYTES = 16
_MAC_BYTES = 32
_LENGTH = len(PREFIX) + -(-(_HEAD.size + _BINDER_BYTES + _MAC_BYTES) * 4 // 3)


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """What a text says that has the form of a refresh token; authentic only once `verify_mac` has said so."""

    key_id: int
    session_id: UUID
    place: int
    moved_at: int
    binder: bytes
    signed: bytes
    mac: bytes


def make_binder(nonce: bytes, session_id: bytes, place: int, moved_at: int) -> bytes:
    """What ties a token to the row of its session. `session_id` is the 16 bytes of the id.

    The same expression stands in SQL where the row is changed; the storage contract tests compare the two.
    """
    return sha256(nonce + _PLACE.pack(session_id, place, moved_at)).digest()[:_BINDER_BYTES]


def make_refresh_token(key: bytes, *, key_id: int, session_id: UUID, place: int, moved_at: int, nonce: bytes) -> str:
    """The token at this place of the session's chain: the same for the same arguments, whoever asks."""
    head = _HEAD.pack(_VERSION, key_id, session_id.bytes, place, moved_at)
    signed = head + make_binder(nonce, session_id.bytes, place, moved_at)
    return PREFIX + encode_base64url(signed + _mac(key, signed))


def _mac(key: bytes, signed: bytes) -> bytes:
    """Not by `hmac.digest`, which lets another thread have the interpreter, and then waits to have it back: 6 % of the
    time of a refresh on SQLite."""
    return hmac.new(key, signed, "sha256").digest()


def parse_refresh_token(text: str) -> PresentedToken | None:
    """The fields of a token, or None when no token has this form."""
    if len(text) != _LENGTH or not text.startswith(PREFIX):
        return None
    data = decode_base64url(text[len(PREFIX) :])
    if data is None or data[0] != _VERSION:
        return None
    _, key_id, session_id, place, moved_at = _HEAD.unpack_from(data)
    signed = data[:-_MAC_BYTES]
    if place >> 62 or moved_at >> 62:
        return None
    return PresentedToken(
        key_id, UUID(bytes=session_id), place, moved_at, signed[_HEAD.size :], signed, data[-_MAC_BYTES:]
    )


def verify_mac(key: bytes, token: PresentedToken) -> bool:
    """True when the token was made with `key`; takes the same time either way."""
    return hmac.compare_digest(_mac(key, token.signed), token.mac)
