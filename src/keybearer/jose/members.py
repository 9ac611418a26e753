"""Reading the members of a JWK that hold bytes and integers."""

from collections.abc import Mapping

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.jose.errors import InvalidKey


def read_octets(jwk: Mapping[str, object], name: str, length: int) -> bytes:
    """A member of exactly `length` bytes, in full size (RFC 7518 section 6.2.1.2, RFC 8037 section 2)."""
    data = _read(jwk, name)
    if len(data) != length:
        raise InvalidKey(f"the member {name} has the wrong length")
    return data


def read_uint(jwk: Mapping[str, object], name: str, max_length: int) -> int:
    """A Base64urlUInt of at most `max_length` bytes, with no more of them than it needs (RFC 7518 section 2)."""
    data = _read(jwk, name)
    if not data or len(data) > max_length or (data[0] == 0 and len(data) > 1):
        raise InvalidKey(f"the member {name} is not a number of the right size")
    return int.from_bytes(data)


def write_uint(number: int) -> str:
    """The Base64urlUInt of a positive number (RFC 7518 section 2)."""
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8))


def _read(jwk: Mapping[str, object], name: str) -> bytes:
    text = jwk.get(name)
    data = decode_base64url(text) if isinstance(text, str) else None
    if data is None:
        raise InvalidKey(f"the member {name} is missing or not canonical base64url")
    return data
