"""bcrypt, plain and over a SHA-256 of the password.

bcrypt knows the first 72 bytes of a password. A stored plain bcrypt hash is therefore verified against the first 72
bytes, as every bcrypt does (the `bcrypt` package raises from version 5 on); a right password is hashed anew under the
current scheme, which knows all of them. NUL bytes are taken as they are: implementations in C stopped at the first one,
and hashes of such passwords made by them are not found right.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass

import bcrypt

from keybearer.server.adapters.passwords.stored import StoredHash, decimal, match

MAX_COST = 15
"""About 1.7 s of a core."""

_MAX_PASSWORD_BYTES = 72

_SALT_AND_KEY = r"(?P<salt>[./A-Za-z0-9]{22})(?P<key>[./A-Za-z0-9]{31})"
_MODULAR = re.compile(r"\$2[aby]\$(?P<cost>0[4-9]|[12][0-9]|3[01])\$" + _SALT_AND_KEY)
_PASSLIB = re.compile(
    r"\$bcrypt-sha256\$(?P<version>v=2,t=2b,r=|2[ab],)(?P<cost>[4-9]|[12][0-9]|3[01])\$"
    + _SALT_AND_KEY.replace("22})", r"22})\$")
)

_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _as_is(password: bytes) -> bytes:
    return password


@dataclass(frozen=True, slots=True)
class BcryptHash:
    """`salt` and `key` in bcrypt's base64; `prepare` makes of a password what bcrypt is given."""

    scheme: str
    cost: int
    salt: str
    key: str
    prepare: Callable[[bytes], bytes] = _as_is

    def verify(self, password: bytes) -> bool:
        # $2a$, $2b$ and $2y$ differ in bugs of old implementations, not in what a sound one computes.
        setting = f"$2b${self.cost:02}${_canonical_salt(self.salt)}"
        derived = bcrypt.hashpw(self.prepare(password)[:_MAX_PASSWORD_BYTES], setting.encode("ascii"))
        return hmac.compare_digest(derived[-len(self.key) :], self.key.encode("ascii"))


def _canonical_salt(salt: str) -> str:
    """22 characters are 132 bits and a salt has 128: some systems left rubbish in the last 4, which is ignored."""
    return salt[:-1] + _ALPHABET[_ALPHABET.index(salt[-1]) & 0b110000]


def parse_bcrypt(text: str) -> StoredHash:
    return _parse_modular(text, "bcrypt", _as_is)


def parse_django_bcrypt(text: str) -> StoredHash:
    """Django's BCryptPasswordHasher: `bcrypt$` before the hash."""
    return _parse_modular(text.removeprefix("bcrypt$"), "bcrypt", _as_is)


def parse_django_bcrypt_sha256(text: str) -> StoredHash:
    """Django's BCryptSHA256PasswordHasher: bcrypt of the SHA-256 in hexadecimal."""
    return _parse_modular(text.removeprefix("bcrypt_sha256$"), "bcrypt-sha256", _hexadecimal_sha256)


def parse_passlib_bcrypt_sha256(text: str) -> StoredHash:
    """passlib's bcrypt_sha256: bcrypt of a base64 of SHA-256 (version 1) or of HMAC-SHA-256 under the salt (2)."""
    part = match(_PASSLIB, text, "bcrypt-sha256")
    salt = part["salt"]
    keyed = part["version"].startswith("v=2")
    prepare = _keyed_by(salt.encode("ascii")) if keyed else _base64_sha256
    return BcryptHash("bcrypt-sha256", _cost(part["cost"]), salt, part["key"], prepare)


def _parse_modular(text: str, scheme: str, prepare: Callable[[bytes], bytes]) -> StoredHash:
    part = match(_MODULAR, text, "bcrypt")
    return BcryptHash(scheme, _cost(part["cost"].removeprefix("0")), part["salt"], part["key"], prepare)


def _cost(text: str) -> int:
    return decimal(text, "the cost", at_least=4, at_most=MAX_COST)


def _hexadecimal_sha256(password: bytes) -> bytes:
    return hashlib.sha256(password).hexdigest().encode("ascii")


def _base64_sha256(password: bytes) -> bytes:
    return b64encode(hashlib.sha256(password).digest())


def _keyed_by(salt: bytes) -> Callable[[bytes], bytes]:
    return lambda password: b64encode(hmac.digest(salt, password, "sha256"))
