"""scrypt (RFC 7914), by the standard library (OpenSSL)."""

import hashlib
import hmac
import re
from dataclasses import dataclass

from keybearer.server.adapters.passwords.stored import (
    StoredHash,
    base64_bytes,
    checked_key,
    checked_salt,
    decimal,
    malformed,
    match,
    too_dear,
)

MAX_MEMORY = 256 * 1024 * 1024
"""Bytes, 128 N r: about 1 s of a core with p = 1."""

MAX_WORK = 512 * 1024 * 1024
"""128 N r p: about 2 s of a core."""

_MAX_LOG2_N = 24
_MIN_KRATOS_N = 1024
"""An `ln` from here on is N itself: as an exponent it would be beyond every machine."""

_NUMBER = "[0-9]{1,19}"
_PHC = re.compile(
    rf"\$scrypt\$ln=(?P<ln>{_NUMBER}),r=(?P<r>{_NUMBER}),p=(?P<p>{_NUMBER})"
    r"\$(?P<salt>[A-Za-z0-9+/]*={0,2})\$(?P<key>[A-Za-z0-9+/]+={0,2})"
)
_DJANGO = re.compile(
    rf"scrypt\$(?P<n>{_NUMBER})\$(?P<salt>[!-#%-~]*)\$(?P<r>{_NUMBER})\$(?P<p>{_NUMBER})\$(?P<key>[A-Za-z0-9+/]+={{0,2}})"
)


@dataclass(frozen=True, slots=True)
class ScryptHash:
    n: int
    r: int
    p: int
    salt: bytes
    key: bytes
    scheme: str = "scrypt"

    def __post_init__(self) -> None:
        """The bounds of RFC 7914 section 2 and of this service. Raises UnsupportedPasswordHash."""
        if self.n < 2 or self.n & (self.n - 1):
            raise malformed("N is not a power of two")
        if self.n.bit_length() - 1 >= 16 * self.r:
            raise malformed("N is not below 2 to the power of 16 r")
        if 128 * self.n * self.r > MAX_MEMORY:
            raise too_dear(f"scrypt would take more than {MAX_MEMORY} bytes")
        if 128 * self.n * self.r * self.p > MAX_WORK:
            raise too_dear("scrypt would take too long")

    def verify(self, password: bytes) -> bool:
        try:
            derived = hashlib.scrypt(
                password, salt=self.salt, n=self.n, r=self.r, p=self.p, dklen=len(self.key), maxmem=2 * MAX_MEMORY
            )
        except ValueError as error:
            raise MemoryError from error  # all else that it refuses is out of bounds
        return hmac.compare_digest(derived, self.key)


def parse_scrypt(text: str) -> StoredHash:
    """A PHC string; with an `ln` of 1024 or more it is one of ory/kratos, where `ln` is N and not its logarithm."""
    part = match(_PHC, text, "scrypt")
    ln = decimal(part["ln"], "ln", at_least=1, at_most=MAX_MEMORY)
    if _MAX_LOG2_N < ln < _MIN_KRATOS_N:
        raise too_dear(f"ln is above {_MAX_LOG2_N}")
    return ScryptHash(
        n=ln if ln >= _MIN_KRATOS_N else 1 << ln,
        r=_small(part["r"], "r"),
        p=_small(part["p"], "p"),
        salt=checked_salt(base64_bytes(part["salt"], "the salt")),
        key=checked_key(base64_bytes(part["key"], "the derived key")),
    )


def parse_django_scrypt(text: str) -> StoredHash:
    """Django's ScryptPasswordHasher; the salt is text and is not encoded."""
    part = match(_DJANGO, text, "scrypt")
    return ScryptHash(
        n=decimal(part["n"], "N", at_least=2, at_most=MAX_MEMORY),
        r=_small(part["r"], "r"),
        p=_small(part["p"], "p"),
        salt=checked_salt(part["salt"].encode("ascii")),
        key=checked_key(base64_bytes(part["key"], "the derived key")),
    )


def _small(text: str, name: str) -> int:
    return decimal(text, name, at_least=1, at_most=1024)
