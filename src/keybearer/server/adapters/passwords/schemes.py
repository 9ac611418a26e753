"""The stored hashes that are understood, by how their text begins; what is made of a password; what is refused.

Passwords are bytes here, as `domain.passwords.prepare_password` makes them.
"""

from collections.abc import Callable

from keybearer.server.adapters.passwords.argon2_hashes import (
    DUMMY,
    hash_argon2,
    is_current,
    parse_argon2,
    parse_django_argon2,
)
from keybearer.server.adapters.passwords.bcrypt_hashes import (
    parse_bcrypt,
    parse_django_bcrypt,
    parse_django_bcrypt_sha256,
    parse_passlib_bcrypt_sha256,
)
from keybearer.server.adapters.passwords.pbkdf2_hashes import (
    parse_aspnet_identity,
    parse_django_pbkdf2,
    parse_grub_pbkdf2,
    parse_pbkdf2,
)
from keybearer.server.adapters.passwords.scrypt_hashes import parse_django_scrypt, parse_scrypt
from keybearer.server.adapters.passwords.stored import Fault, StoredHash, UnsupportedPasswordHash

__all__ = [
    "DUMMY",
    "REFUSED",
    "Fault",
    "StoredHash",
    "UnsupportedPasswordHash",
    "check_importable",
    "hash_password",
    "is_current",
    "needs_rehash",
    "parse",
    "verify",
]

MAX_HASH_LENGTH = 1024
"""Characters of a stored hash; the longest within the other bounds has fewer than 600."""

_PARSERS: dict[str, Callable[[str], StoredHash]] = {
    "$argon2id$": parse_argon2,
    "$argon2i$": parse_argon2,
    "$argon2d$": parse_argon2,
    "argon2$": parse_django_argon2,
    "$2a$": parse_bcrypt,
    "$2b$": parse_bcrypt,
    "$2y$": parse_bcrypt,
    "bcrypt$": parse_django_bcrypt,
    "bcrypt_sha256$": parse_django_bcrypt_sha256,
    "$bcrypt-sha256$": parse_passlib_bcrypt_sha256,
    "$scrypt$": parse_scrypt,
    "scrypt$": parse_django_scrypt,
    "$pbkdf2-sha256$": parse_pbkdf2,
    "$pbkdf2-sha512$": parse_pbkdf2,
    "pbkdf2_sha256$": parse_django_pbkdf2,
    "grub.pbkdf2.sha512.": parse_grub_pbkdf2,
    "AQAAAA": parse_aspnet_identity,
}

_SHA1 = "PBKDF2 with SHA-1"
_CRYPT = "an iterated hash of crypt(3)"
_FAST = "a salted hash without stretching: whoever has it tries billions of passwords a second"
_FIREBASE = "Firebase's scrypt: its key encrypts another secret, which is not a password hash's business to keep"
_SHA3 = "ory/kratos's PBKDF2 under a label that says SHA-2 while it computes SHA-3"

REFUSED: dict[str, str] = {
    "$pbkdf2$": _SHA1,
    "pbkdf2_sha1$": _SHA1,
    "{PKCS5S2}": _SHA1 + " (Atlassian)",
    "$pbkdf2-sha224$": _SHA3,
    "$pbkdf2-sha384$": _SHA3,
    "$fbscrypt$": _FIREBASE,
    "$firescrypt$": _FIREBASE,
    "$1$": _CRYPT + " (MD5)",
    "$apr1$": _CRYPT + " (MD5, Apache's)",
    "$md5-crypt$": _CRYPT + " (MD5)",
    "$5$": _CRYPT + " (SHA-256)",
    "$sha256-crypt$": _CRYPT + " (SHA-256)",
    "$6$": _CRYPT + " (SHA-512)",
    "$sha512-crypt$": _CRYPT + " (SHA-512)",
    "$P$": "an iterated MD5 (phpass)",
    "$H$": "an iterated MD5 (phpass, as phpBB writes it)",
    "$S$": "an iterated SHA-512 (Drupal 7)",
    "md5$": _FAST,
    "{SSHA}": _FAST,
    "{SSHA256}": _FAST,
    "{SSHA512}": _FAST,
    "$2$": "the first bcrypt, which knew no UTF-8",
    "$2x$": "bcrypt with the sign extension bug of crypt_blowfish 1.0",
    '{"credentialData"': "Keycloak's two columns: write them as $pbkdf2-sha256$i=…,l=…$salt$value",
}
"""What is not taken, by how its text begins, and why. Users with such a hash are imported without a password."""


def parse(text: str) -> StoredHash:
    """The one hash that `text` stands for, within all bounds. Raises UnsupportedPasswordHash; computes nothing."""
    if len(text) > MAX_HASH_LENGTH:
        raise UnsupportedPasswordHash(Fault.MALFORMED, f"longer than {MAX_HASH_LENGTH} characters")
    for prefix, parser in _PARSERS.items():
        if text.startswith(prefix):
            return parser(text)
    for prefix, reason in REFUSED.items():
        if text.startswith(prefix):
            raise UnsupportedPasswordHash(Fault.FOREIGN, f"not supported: {reason}")
    raise UnsupportedPasswordHash(Fault.FOREIGN, "in no form that is known")


def check_importable(text: str) -> str:
    """The scheme of a hash that may be stored, such as `bcrypt`. Raises UnsupportedPasswordHash, which says why not."""
    return parse(text).scheme


def verify(text: str, password: bytes) -> bool:
    """True when `password` is the one of the stored hash. Raises UnsupportedPasswordHash before computing anything."""
    return parse(text).verify(password)


def needs_rehash(text: str) -> bool:
    """True when a stored hash is not of the current scheme and cost. Raises UnsupportedPasswordHash."""
    return not is_current(parse(text))


def hash_password(password: bytes) -> str:
    """A PHC string of the current scheme (`argon2_hashes`), with a new salt."""
    return hash_argon2(password)
