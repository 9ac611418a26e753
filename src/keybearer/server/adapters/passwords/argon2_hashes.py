"""Argon2 (RFC 9106): the scheme in which passwords are stored, and other people's Argon2 hashes."""

import hmac
import re
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.low_level import Type, hash_secret_raw

from keybearer.server.adapters.passwords.stored import (
    Fault,
    StoredHash,
    UnsupportedPasswordHash,
    base64_bytes,
    checked_key,
    checked_salt,
    decimal,
    malformed,
    match,
)

# OWASP Password Storage Cheat Sheet, Argon2id with 19 MiB, 2 passes and 1 lane; key and salt as argon2-cffi's profiles
# have them (RFC 9106 section 4). Its default profile (RFC_9106_LOW_MEMORY: 64 MiB, t=3, p=4) takes three times
# the memory for every login under way.
_CURRENT = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)
_CURRENT_VERSION = 19

MAX_MEMORY_KIB = 262_144
MAX_PASSES = 10
MAX_LANES = 16
"""At 256 MiB and 10 passes a verification takes about 2 s of a core. Lanes are threads of the library."""

_PHC = re.compile(
    r"\$argon2(?P<type>id|i|d)(?:\$v=(?P<version>[0-9]{1,3}))?"
    r"\$m=(?P<memory>[0-9]{1,19}),t=(?P<passes>[0-9]{1,19}),p=(?P<lanes>[0-9]{1,19})"
    r"\$(?P<salt>[A-Za-z0-9+/]+)\$(?P<key>[A-Za-z0-9+/]+)"
)
_TYPES = {"id": Type.ID, "i": Type.I, "d": Type.D}


@dataclass(frozen=True, slots=True)
class Argon2Hash:
    """`memory` is in KiB."""

    type: Type
    version: int
    memory: int
    passes: int
    lanes: int
    salt: bytes
    key: bytes

    @property
    def scheme(self) -> str:
        return f"argon2{self.type.name.lower()}"

    def verify(self, password: bytes) -> bool:
        derived = hash_secret_raw(
            password,
            self.salt,
            time_cost=self.passes,
            memory_cost=self.memory,
            parallelism=self.lanes,
            hash_len=len(self.key),
            type=self.type,
            version=self.version,
        )
        return hmac.compare_digest(derived, self.key)


def parse_argon2(text: str) -> StoredHash:
    """A PHC string. Without `v` it is of version 16, the first to be in use. Raises UnsupportedPasswordHash."""
    part = match(_PHC, text, "Argon2")
    lanes = decimal(part["lanes"], "p", at_least=1, at_most=MAX_LANES)
    version = int(part["version"] or 16)
    if version not in (16, 19):
        raise UnsupportedPasswordHash(Fault.FOREIGN, "a version of Argon2 that is neither 16 nor 19")
    if int(part["memory"]) < 8 * lanes:
        raise malformed("m is below 8 KiB a lane (RFC 9106 section 3.1)")
    return Argon2Hash(
        type=_TYPES[part["type"]],
        version=version,
        memory=decimal(part["memory"], "m", at_least=8, at_most=MAX_MEMORY_KIB),
        passes=decimal(part["passes"], "t", at_least=1, at_most=MAX_PASSES),
        lanes=lanes,
        salt=checked_salt(base64_bytes(part["salt"], "the salt"), at_least=8),
        key=checked_key(base64_bytes(part["key"], "the derived key")),
    )


def parse_django_argon2(text: str) -> StoredHash:
    """Django's Argon2PasswordHasher: `argon2` before a PHC string."""
    return parse_argon2(text.removeprefix("argon2"))


def hash_argon2(password: bytes) -> str:
    """A PHC string of the current scheme, with a new salt."""
    return _CURRENT.hash(password)


def is_current(stored: StoredHash) -> bool:
    """True when `stored` is as dear as what `hash_argon2` makes now."""
    return isinstance(stored, Argon2Hash) and _cost(stored) == _cost(DUMMY)


def _cost(stored: Argon2Hash) -> tuple[Type, int, int, int, int, int, int]:
    return (
        stored.type,
        stored.version,
        stored.memory,
        stored.passes,
        stored.lanes,
        len(stored.salt),
        len(stored.key),
    )


DUMMY = Argon2Hash(
    type=_CURRENT.type,
    version=_CURRENT_VERSION,
    memory=_CURRENT.memory_cost,
    passes=_CURRENT.time_cost,
    lanes=_CURRENT.parallelism,
    salt=bytes(_CURRENT.salt_len),
    key=bytes(_CURRENT.hash_len),
)
"""Costs what a current hash costs, which depends on the parameters alone; no password is known for its zeros."""
