"""PBKDF2 (RFC 8018 section 5.2) with HMAC-SHA-256 and HMAC-SHA-512, by the standard library (OpenSSL).

The length of the derived key is that of the stored value, never one that the hash function suggests: Keycloak stores 64
bytes under SHA-256.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass

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
    too_dear,
)

MAX_ITERATIONS = 5_000_000
"""For each block of output: about 2.6 s of a core with SHA-512, half of it with SHA-256."""

_DIGEST_BYTES = {"sha256": 32, "sha512": 64}

_NUMBER = "[0-9]{1,19}"
_BASE64 = "[A-Za-z0-9+/]+={0,2}"
_PASSLIB_BASE64 = "[A-Za-z0-9+/.]+={0,2}"
_MODULAR = re.compile(
    r"\$pbkdf2-(?P<digest>sha256|sha512)"
    rf"\$(?:(?P<passlib>{_NUMBER})|i=(?P<iterations>{_NUMBER}),l=(?P<length>{_NUMBER}))"
    rf"\$(?P<salt>{_PASSLIB_BASE64})\$(?P<key>{_PASSLIB_BASE64})"
)
_DJANGO = re.compile(rf"pbkdf2_sha256\$(?P<iterations>{_NUMBER})\$(?P<salt>[!-#%-~]+)\$(?P<key>{_BASE64})")
_GRUB = re.compile(
    rf"grub\.pbkdf2\.sha512\.(?P<iterations>{_NUMBER})\.(?P<salt>(?:[0-9A-F]{{2}})+)\.(?P<key>(?:[0-9A-F]{{2}})+)"
)


@dataclass(frozen=True, slots=True)
class Pbkdf2Hash:
    digest: str
    iterations: int
    salt: bytes
    key: bytes

    def __post_init__(self) -> None:
        """Raises UnsupportedPasswordHash when the blocks of a long key would add up to more than the bound."""
        blocks = -(-len(self.key) // _DIGEST_BYTES[self.digest])
        if self.iterations * blocks > MAX_ITERATIONS:
            raise too_dear(f"more than {MAX_ITERATIONS} iterations, the blocks taken together")

    @property
    def scheme(self) -> str:
        return f"pbkdf2-{self.digest}"

    def verify(self, password: bytes) -> bool:
        derived = hashlib.pbkdf2_hmac(self.digest, password, self.salt, self.iterations, len(self.key))
        return hmac.compare_digest(derived, self.key)


def parse_pbkdf2(text: str) -> StoredHash:
    """passlib's form (`$iterations$`, `.` standing for `+`) or the PHC one (`$i=…,l=…$`)."""
    part = match(_MODULAR, text, "PBKDF2")
    salt, key = (base64_bytes(part[name].replace(".", "+"), f"the {name}") for name in ("salt", "key"))
    if part["length"] is not None and part["length"] != str(len(key)):
        raise malformed("l is not the length of the derived key")
    return Pbkdf2Hash(
        digest=part["digest"],
        iterations=_iterations(part["passlib"] or part["iterations"]),
        salt=checked_salt(salt),
        key=checked_key(key),
    )


def parse_django_pbkdf2(text: str) -> StoredHash:
    """Django's PBKDF2PasswordHasher; the salt is text and is not encoded."""
    part = match(_DJANGO, text, "PBKDF2")
    key = checked_key(base64_bytes(part["key"], "the derived key"))
    return Pbkdf2Hash("sha256", _iterations(part["iterations"]), checked_salt(part["salt"].encode("ascii")), key)


def parse_grub_pbkdf2(text: str) -> StoredHash:
    """GRUB's grub-mkpasswd-pbkdf2: salt and key in hexadecimal."""
    part = match(_GRUB, text, "GRUB")
    salt, key = bytes.fromhex(part["salt"]), bytes.fromhex(part["key"])
    return Pbkdf2Hash("sha512", _iterations(part["iterations"]), checked_salt(salt), checked_key(key))


_ASPNET_HEADER_BYTES = 13
_ASPNET_DIGESTS = {1: "sha256", 2: "sha512"}


def parse_aspnet_identity(text: str) -> StoredHash:
    """ASP.NET Core Identity, version 3: base64 of 0x01, then function, iterations and length of the salt (32 bits each,
    big-endian), salt and key (aspnetcore, Identity/Extensions.Core/src/PasswordHasher.cs)."""
    data = base64_bytes(text, "the hash")
    if len(data) < _ASPNET_HEADER_BYTES or data[0] != 1:
        raise malformed("not a well-formed ASP.NET Core Identity hash")
    function, iterations, salt_bytes = (int.from_bytes(data[at : at + 4]) for at in (1, 5, 9))
    if function not in _ASPNET_DIGESTS:
        raise UnsupportedPasswordHash(Fault.FOREIGN, "PBKDF2 with a function that is neither SHA-256 nor SHA-512")
    salt_end = _ASPNET_HEADER_BYTES + salt_bytes
    return Pbkdf2Hash(
        digest=_ASPNET_DIGESTS[function],
        iterations=_iterations(str(iterations)),
        salt=checked_salt(data[_ASPNET_HEADER_BYTES:salt_end]),
        key=checked_key(data[salt_end:]),
    )


def _iterations(text: str) -> int:
    return decimal(text, "the number of iterations", at_least=1, at_most=MAX_ITERATIONS)
