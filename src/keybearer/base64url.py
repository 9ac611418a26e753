"""Base64url without padding (RFC 7515 section 2), canonical: one text stands for any bytes, and no other does."""

from base64 import urlsafe_b64encode
from binascii import Error, a2b_base64

_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
"""From this alphabet to that of RFC 4648 section 4; what only the other one has stands for nothing."""

_PADDING = (b"", b"", b"==", b"=")

_LAST_CHARACTERS = (None, "", "AQgw", "AEIMQUYcgkosw048")
"""The characters that can end a text, by its length modulo 4: those whose unused bits are zero; None for all."""


def encode_base64url(data: bytes) -> str:
    """The text of `data`; empty for no bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes | None:
    """The bytes that `encode_base64url` makes `text` of, or None: padding, white space and stray bits are refused."""
    rest = len(text) % 4
    last = _LAST_CHARACTERS[rest]
    if last is not None and text[-1] not in last:
        return None
    try:
        return a2b_base64(text.encode("ascii").translate(_TO_STANDARD) + _PADDING[rest], strict_mode=True)
    except (Error, UnicodeEncodeError):
        return None
