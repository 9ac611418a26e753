"""Argon2 (RFC 9106): the scheme in which passwords are stored, and other people's Argon2 hashes.

libsodium computes what it can, and our own hashes with it: its code is chosen for the processor at hand and takes three
quarters of the time. It knows neither lanes nor salts of other lengths; for those there is argon2-cffi.
"""

import hmac
import re
from dataclasses import dataclass

from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13, crypto_pwhash_SALTBYTES
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

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

# OWASP Password Storage Cheat Sheet, Argon2id with 19 MiB, 2 passes and 1 lane. What RFC 9106 section 4 advises for
# machines with little memory (64 MiB, 3 passes, 4 lanes) takes three times the memory for every login under way.
_MEMORY_KIB = 19_456
_PASSES = 2
_KEY_LENGTH = 32
_VERSION = 19

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
        try:
            derived = self._derive(password)
        except (CryptoError, HashingError) as error:
            raise MemoryError from error  # all else that they refuse is out of bounds
        return hmac.compare_digest(derived, self.key)

    def _derive(self, password: bytes) -> bytes:
        if self._is_libsodiums:
            memory = self.memory * 1024
            return crypto_pwhash_alg(
                len(self.key), password, self.salt, self.passes, memory, crypto_pwhash_ALG_ARGON2ID13
            )
        return hash_secret_raw(
            password,
            self.salt,
            time_cost=self.passes,
            memory_cost=self.memory,
            parallelism=self.lanes,
            hash_len=len(self.key),
            type=self.type,
            version=self.version,
        )

    @property
    def _is_libsodiums(self) -> bool:
        kind = self.type, self.version, self.lanes, len(self.salt)
        return kind == (Type.ID, _VERSION, 1, crypto_pwhash_SALTBYTES) and len(self.key) >= argon2id.BYTES_MIN


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
    """A PHC string of the current scheme, with a new salt. Raises MemoryError."""
    try:
        return argon2id.str(password, opslimit=_PASSES, memlimit=_MEMORY_KIB * 1024).decode()
    except CryptoError as error:
        raise MemoryError from error


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
    type=Type.ID,
    version=_VERSION,
    memory=_MEMORY_KIB,
    passes=_PASSES,
    lanes=1,
    salt=bytes(crypto_pwhash_SALTBYTES),
    key=bytes(_KEY_LENGTH),
)
"""Costs what a current hash costs, which depends on the parameters alone; no password is known for its zeros."""
