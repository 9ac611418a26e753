"""Signing and verifying compact tokens (RFC 7515 sections 5 and 7.1)."""

from functools import lru_cache

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.jose.errors import InvalidJws
from keybearer.jose.header import Header, normalize_typ, parse_header
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey
from keybearer.strict_json import dumps

MAX_LENGTH = 8192
"""Characters of a token; longer ones are refused unread."""


def sign(payload: bytes, key: SigningKey, typ: str) -> str:
    """The token over `payload`, with alg, kid and typ in its header; InvalidJws if it would exceed MAX_LENGTH."""
    signing_input = f"{_encode_header(key.algorithm, key.kid, typ)}.{encode_base64url(payload)}"
    token = f"{signing_input}.{encode_base64url(key.sign(signing_input.encode('ascii')))}"
    if len(token) > MAX_LENGTH:
        raise InvalidJws(f"a token has at most {MAX_LENGTH} characters")
    return token


def verify(token: str, key_set: KeySet, algorithms: frozenset[str], *, typ: str | None) -> tuple[Header, bytes]:
    """The header and the payload of a token that a key of `key_set` has signed; InvalidJws for any other.

    The token's algorithm must be one of `algorithms` (of which an empty set allows none) and the one that its key is
    pinned to. `typ` is what the header must say (RFC 8725 section 3.11); None compares nothing, and is for tokens that
    have no type of their own.
    """
    header_segment, payload_segment, signature_segment, signing_input = _split(token)
    known = key_set.find_header(header_segment)
    header = known or parse_header(header_segment)
    if header.algorithm not in algorithms:
        raise InvalidJws("the algorithm is not allowed")
    if typ is not None and header.typ != _normalize_expected(typ):
        raise InvalidJws("the token is of another type")
    payload, signature = decode_base64url(payload_segment), decode_base64url(signature_segment)
    if payload is None or signature is None:
        raise InvalidJws("a segment is not canonical base64url")
    _verify_signature(header, key_set, signature, signing_input.encode("ascii"))
    if known is None:
        key_set.remember_header(header_segment, header)
    return header, payload


def _split(token: str) -> tuple[str, str, str, str]:
    """Header, payload and signature, and what was signed."""
    if len(token) > MAX_LENGTH:
        raise InvalidJws("the token is too long")
    signed, _, signature = token.rpartition(".")
    header, dot, payload = signed.partition(".")
    if not dot or "." in payload:
        raise InvalidJws("a compact token has three segments")
    return header, payload, signature, signed


def _verify_signature(header: Header, key_set: KeySet, signature: bytes, signing_input: bytes) -> None:
    key = key_set.find_key(header.kid)
    if key is None:
        raise InvalidJws("no key of the set has this name")
    if key.algorithm != header.algorithm:
        raise InvalidJws("the key is for another algorithm")
    key.verify(signature, signing_input)


@lru_cache(maxsize=8)
def _normalize_expected(typ: str) -> str:
    """Remembered: it is the same for every token."""
    return normalize_typ(typ)


@lru_cache(maxsize=64)
def _encode_header(algorithm: str, kid: str, typ: str) -> str:
    return encode_base64url(dumps({"alg": algorithm, "kid": kid, "typ": typ}))
