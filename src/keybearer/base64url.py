"""Base64url without padding (RFC 7515 section 2), canonical: one text stands for any bytes, and no other does."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")

_LAST_CHARACTERS = (None, "", "AQgw", "AEIMQUYcgkosw048")
"""The characters that can end a text, by its length modulo 4: those whose unused bits are zero; None for all."""


def encode_base64url(data: bytes) -> str:
    """The text of `data`; empty for no bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes | None:
    """The bytes that `encode_base64url` makes `text` of, or None: padding, white space and stray bits are refused."""
    if not _ALPHABET.fullmatch(text):
        return None
    last = _LAST_CHARACTERS[len(text) % 4]
    if last is not None and text[-1] not in last:
        return None
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
