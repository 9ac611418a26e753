"""The Api-Key: 256 random bits and a checksum, as text in the alphabet of R4.

    kbp_ | kbs_  43 characters  6 characters
    kind         random bits    CRC-32 of all that stands before

The checksum tells a mistyped or invented key from one that may exist before anything is looked up, and lets secret
scanners find leaked keys without asking anyone.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from keybearer.base64url import decode_base64url, encode_base64url

RANDOM_BYTES = 32
_RANDOM_LENGTH = 43
_CHECKSUM_LENGTH = 6
_LENGTH = 4 + _RANDOM_LENGTH + _CHECKSUM_LENGTH
HINT_LENGTH = 8
"""Characters of a key that are kept in clear, so that people recognise it."""


class ApiKeyKind(StrEnum):
    PUBLISHABLE = "publishable"
    SECRET = "secret"


_PREFIXES = {ApiKeyKind.PUBLISHABLE: "kbp_", ApiKeyKind.SECRET: "kbs_"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}


@dataclass(frozen=True, slots=True)
class ParsedApiKey:
    """A text that has the form and the checksum of a key. `key_hash` is its SHA-256, by which it is looked up."""

    kind: ApiKeyKind
    key_hash: bytes


def _checksum(body: str) -> str:
    return encode_base64url(zlib.crc32(body.encode("ascii")).to_bytes(4))


def make_api_key(kind: ApiKeyKind, random: bytes) -> str:
    """The key for `RANDOM_BYTES` random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an Api-Key takes {RANDOM_BYTES} random bytes")
    body = _PREFIXES[kind] + encode_base64url(random)
    return body + _checksum(body)


def hash_api_key(text: str) -> bytes:
    """The SHA-256 of a key's text: a key has 256 random bits, so that a fast hash is enough."""
    return sha256(text.encode("ascii")).digest()


def parse_api_key(text: str) -> ParsedApiKey | None:
    """The key's kind and hash, or None when no key has this form."""
    kind = _KINDS.get(text[:4])
    if kind is None or len(text) != _LENGTH:
        return None
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    if decode_base64url(body[4:]) is None or checksum != _checksum(body):
        return None
    return ParsedApiKey(kind, hash_api_key(text))
