"""The alphabet of tokens and keys (rule R4): letters, digits, dots, hyphens and underscores, nothing else."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_TOKEN = re.compile(r"[A-Za-z0-9._-]+")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


def is_in_alphabet(text: str) -> bool:
    """True when `text` is not empty and holds only characters that a token may hold."""
    return _TOKEN.fullmatch(text) is not None


def encode_base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes | None:
    """The bytes of canonical base64url without padding, or None: one text only stands for any bytes."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return None
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return data if encode_base64url(data) == text else None
