"""Every stored password hash of the collection, by what this service makes of it."""

import json
import re
from base64 import b64decode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keybearer.server.adapters.passwords.schemes import (
    REFUSED,
    Fault,
    UnsupportedPasswordHash,
    check_importable,
    needs_rehash,
    verify,
)

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parent / "data/password_hashes.json").read_text("utf-8"))

SUPPORTED = {
    "argon2": set[str](),  # six strings that are of no Argon2
    "argon2d": {"argon2d"},
    "argon2i": {"argon2i"},
    "argon2id": {"argon2id"},
    "aspnet_identity_v3": {"pbkdf2-sha256", "pbkdf2-sha512"},
    "bcrypt": {"bcrypt"},
    "bcrypt_sha256": {"bcrypt-sha256"},
    "django_argon2": {"argon2i", "argon2id"},
    "django_bcrypt": {"bcrypt"},
    "django_bcrypt_sha256": {"bcrypt-sha256"},
    "django_pbkdf2_sha256": {"pbkdf2-sha256"},
    "django_scrypt": {"scrypt"},
    "grub_pbkdf2_sha512": {"pbkdf2-sha512"},
    "kratos_scrypt": {"scrypt"},
    "pbkdf2_sha256": {"pbkdf2-sha256"},
    "pbkdf2_sha512": {"pbkdf2-sha512"},
    "phc_pbkdf2": {"pbkdf2-sha256", "pbkdf2-sha512"},
    "scrypt": {"scrypt"},
}
"""The formats of the collection that are understood, with the schemes as which they are."""

UNSUPPORTED = {
    "apr_md5_crypt": "MD5",
    "aspnet_identity_v2": "PBKDF2 with SHA-1 and 1,000 iterations, and nothing in the text that says so",
    "atlassian_pbkdf2_sha1": "PBKDF2 with SHA-1",
    "django_md5": "one round of MD5",
    "django_pbkdf2_sha1": "PBKDF2 with SHA-1",
    "drupal7": "an iterated SHA-512 of Drupal's own",
    "firebase_scrypt": "needs a second secret and AES; not plain scrypt",
    "firebase_scrypt_kratos": "needs a second secret and AES; not plain scrypt",
    "keycloak_pbkdf2": "two columns and no string; test_keycloak has the string to write",
    "kratos_pbkdf2_sha3": "the label says SHA-2 and the hash is made with SHA-3",
    "ldap_salted_sha1": "one round of SHA-1",
    "ldap_salted_sha256": "one round of SHA-256",
    "ldap_salted_sha512": "one round of SHA-512",
    "md5_crypt": "MD5",
    "md5_crypt_kratos": "MD5",
    "pbkdf2_sha1": "PBKDF2 with SHA-1",
    "phpass": "an iterated MD5",
    "sha256_crypt": "crypt(3), which neither hashlib nor a library of ours computes",
    "sha256_crypt_kratos": "crypt(3), which neither hashlib nor a library of ours computes",
    "sha512_crypt": "crypt(3), which neither hashlib nor a library of ours computes",
    "sha512_crypt_kratos": "crypt(3), which neither hashlib nor a library of ours computes",
}
"""The formats that are refused whole, and why."""

UNSUPPORTED_VECTORS = {
    ("aspnet_identity_v3", "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M"): "version 3 with SHA-1",
    ("aspnet_identity_v3", "AQAAAAAAAAD6AAAAEAhftMyfTJyAAAAAAAAAAAAAAAAAAAih5WsjXaR3PA9M"): "version 3 with SHA-1",
}
"""Vectors of an understood format that are refused although they are well formed, and why."""

CONTESTED = {
    "{SSHA256}TFv2RpwyO0U9mA0Hk8FsXRa1I+4dNUtv27Qa8dzGVLinlDIm===": "too much padding; its scheme is refused anyway",
}


@dataclass(frozen=True)
class Vector:
    format: str
    hash: str
    password: bytes
    expect: str
    contested: bool

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Vector":
        text: str | None = raw["password"]
        password = b64decode(raw["password_b64"]) if text is None else text.encode("utf-8")
        return cls(raw["scheme"], raw["hash"], password, raw["expect"], raw.get("contested", False))


VECTORS = [Vector.of(raw) for raw in DOCUMENT["vectors"]]


def refusal(text: str) -> UnsupportedPasswordHash | None:
    try:
        check_importable(text)
    except UnsupportedPasswordHash as refused:
        return refused
    return None


def verdict(vector: Vector) -> str:
    """`match`, `no match`, or the fault for which the hash is refused; whatever else is raised fails the test."""
    if (refused := refusal(vector.hash)) is not None:
        assert vector.hash not in str(refused)
        with pytest.raises(UnsupportedPasswordHash):
            verify(vector.hash, vector.password)
        return refused.fault
    scheme = check_importable(vector.hash)
    assert scheme in SUPPORTED[vector.format]
    assert needs_rehash(vector.hash)
    return "match" if verify(vector.hash, vector.password) else "no match"


ALLOWED = {
    "match": {"match"},
    "mismatch": {"no match", Fault.MALFORMED},
    "malformed": {"no match", Fault.MALFORMED, Fault.FOREIGN, Fault.TOO_DEAR},
}


def is_refused(vector: Vector) -> bool:
    return vector.format in UNSUPPORTED or (vector.format, vector.hash) in UNSUPPORTED_VECTORS


def test_the_collection_is_whole_and_every_format_has_its_place() -> None:
    assert Counter(vector.expect for vector in VECTORS) == {"match": 244, "malformed": 94, "mismatch": 35}
    assert {vector.format for vector in VECTORS} == SUPPORTED.keys() | UNSUPPORTED.keys()
    assert not SUPPORTED.keys() & UNSUPPORTED.keys()
    assert {vector.hash for vector in VECTORS if vector.contested} == CONTESTED.keys()


@pytest.mark.parametrize("name", sorted(SUPPORTED))
def test_understood_formats(name: str) -> None:
    vectors = [vector for vector in VECTORS if vector.format == name and not is_refused(vector)]
    wrong = [(vector, found) for vector in vectors if (found := verdict(vector)) not in ALLOWED[vector.expect]]
    assert wrong == []
    assert vectors


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_refused_formats(name: str) -> None:
    """Each is refused as foreign; a malformed one may be refused for its form."""
    for vector in (vector for vector in VECTORS if vector.format == name):
        allowed = {Fault.FOREIGN, Fault.MALFORMED} if vector.expect == "malformed" else {Fault.FOREIGN}
        assert verdict(vector) in allowed, vector


def test_refused_vectors_of_understood_formats() -> None:
    for name, text in UNSUPPORTED_VECTORS:
        (vector,) = (vector for vector in VECTORS if (vector.format, vector.hash) == (name, text))
        assert verdict(vector) == Fault.FOREIGN


def test_how_many_there_are_of_each() -> None:
    """What this service verifies, refuses and finds malformed, so that a change of it is seen."""
    understood = [vector for vector in VECTORS if not is_refused(vector)]
    assert Counter(vector.expect for vector in understood) == {"match": 133, "mismatch": 23, "malformed": 51}
    assert len(VECTORS) - len(understood) == 166


def test_everything_in_the_table_of_refused_beginnings_is_refused_with_its_reason() -> None:
    for prefix, reason in REFUSED.items():
        with pytest.raises(UnsupportedPasswordHash, match=re.escape(reason)) as refused:
            check_importable(prefix + "x" * 40)
        assert refused.value.fault == Fault.FOREIGN


def test_keycloak() -> None:
    """Its two columns, written as a PHC string, are understood; the key of 64 bytes under SHA-256 too."""
    (vector,) = (vector for vector in VECTORS if vector.format == "keycloak_pbkdf2")
    columns = json.loads(vector.hash)
    credential, secret = columns["credentialData"], columns["secretData"]
    length = len(b64decode(secret["value"]))
    text = f"$pbkdf2-sha256$i={credential['hashIterations']},l={length}${secret['salt']}${secret['value']}"
    assert check_importable(text) == "pbkdf2-sha256"
    assert verify(text, vector.password)
    assert not verify(text, b"another")
