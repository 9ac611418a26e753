"""What the schemes have in common: the form of a parsed hash, its bounds, and the strict reading of its parts."""

import re
from base64 import b64decode, b64encode
from enum import StrEnum
from typing import Protocol

MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 64
"""Of the derived key that is stored. A shorter one would be guessed by chance; an empty one would match everything."""

MAX_SALT_BYTES = 128


class Fault(StrEnum):
    """Why a hash is not taken."""

    FOREIGN = "foreign"
    """Of a scheme, or in a form, that is not supported."""
    MALFORMED = "malformed"
    TOO_DEAR = "too dear"
    """Computing it would take more time or memory than a login may."""


class UnsupportedPasswordHash(ValueError):
    """A stored hash that is not verified here. The message says why and never holds any of the hash."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


class StoredHash(Protocol):
    """A parsed hash, within all bounds."""

    @property
    def scheme(self) -> str: ...

    def verify(self, password: bytes) -> bool:
        """Derive once and compare, in a time that does not depend on where they differ. Raises MemoryError."""


def malformed(reason: str) -> UnsupportedPasswordHash:
    return UnsupportedPasswordHash(Fault.MALFORMED, reason)


def too_dear(reason: str) -> UnsupportedPasswordHash:
    return UnsupportedPasswordHash(Fault.TOO_DEAR, reason)


def match(pattern: re.Pattern[str], text: str, form: str) -> re.Match[str]:
    """The whole text matched, or UnsupportedPasswordHash naming the form that it should have had."""
    found = pattern.fullmatch(text)
    if found is None:
        raise malformed(f"not a well-formed {form} hash")
    return found


_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def decimal(text: str, name: str, *, at_least: int, at_most: int) -> int:
    """A canonical decimal number within the bounds of the scheme (`at_least`) and of this service (`at_most`)."""
    if not _DECIMAL.fullmatch(text):
        raise malformed(f"{name} is not a decimal number")
    number = int(text)
    if number < at_least:
        raise malformed(f"{name} is below {at_least}")
    if number > at_most:
        raise too_dear(f"{name} is above {at_most}")
    return number


_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def base64_bytes(text: str, name: str) -> bytes:
    """Canonical standard base64, with all of its padding or (PHC) with none of it."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if not _BASE64.fullmatch(text) or len(bare) % 4 == 1 or text not in (bare, padded):
        raise malformed(f"{name} is not base64")
    data = b64decode(padded)
    if b64encode(data).decode("ascii") != padded:
        raise malformed(f"{name} is not canonical base64")
    return data


def checked_key(key: bytes) -> bytes:
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise malformed(f"the derived key is not of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def checked_salt(salt: bytes, *, at_least: int = 0) -> bytes:
    if not at_least <= len(salt) <= MAX_SALT_BYTES:
        raise malformed(f"the salt is not of {at_least} to {MAX_SALT_BYTES} bytes")
    return salt
