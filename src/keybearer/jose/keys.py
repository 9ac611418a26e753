"""Keys, each pinned to one algorithm: what signs, what verifies, and the JWK that tells the one about the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from keybearer.base64url import encode_base64url
from keybearer.jose.eddsa import EdDsaPrivateKey, EdDsaPublicKey
from keybearer.jose.errors import InvalidKey
from keybearer.jose.es256 import Es256PrivateKey, Es256PublicKey
from keybearer.jose.rs256 import Rs256PrivateKey, Rs256PublicKey
from keybearer.strict_json import dumps

_Kind = TypeVar("_Kind")

PublicKey = Es256PublicKey | EdDsaPublicKey | Rs256PublicKey
PrivateKey = Es256PrivateKey | EdDsaPrivateKey | Rs256PrivateKey

_PUBLIC_KEYS: dict[str, type[PublicKey]] = {"ES256": Es256PublicKey, "EdDSA": EdDsaPublicKey, "RS256": Rs256PublicKey}
_PRIVATE_KEYS: dict[str, type[PrivateKey]] = {
    "ES256": Es256PrivateKey,
    "EdDSA": EdDsaPrivateKey,
    "RS256": Rs256PrivateKey,
}

ALGORITHMS = frozenset(_PUBLIC_KEYS)
"""The names of the algorithms that this package has (RFC 7518 section 3.1, RFC 8037 section 3.1)."""

KEY_TYPES = frozenset(key.kty for key in _PUBLIC_KEYS.values())

SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members that make a JWK a private or symmetric key (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1, RFC 8037)."""

MAX_KID = 256


@dataclass(frozen=True, slots=True, eq=False)
class VerificationKey:
    """A public key with its name, for one algorithm and no other."""

    kid: str
    algorithm: str
    _public: PublicKey

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """A key of a public JWK (RFC 7517 section 4); InvalidKey for any that is not fit to verify with.

        `kid` and `alg` are required here: a token names its key, and a key's algorithm is never guessed. Members that
        are not understood are ignored, as section 4 says, so certificates and URLs are never followed.
        """
        if not SECRET_MEMBERS.isdisjoint(jwk):
            raise InvalidKey("a public key has no private members")
        public_key = _find(_PUBLIC_KEYS, jwk.get("alg"))
        if jwk.get("kty") != public_key.kty:
            raise InvalidKey("the key is of another type than its algorithm needs")
        _check_purpose(jwk)
        return cls(_read_kid(jwk), str(jwk["alg"]), public_key.from_members(jwk))

    def to_jwk(self) -> dict[str, str]:
        """The public JWK, which `from_jwk` reads."""
        return {**self._public.members(), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises InvalidJws unless `signature` is this key's over `data`."""
        self._public.verify(signature, data)


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A private key for one algorithm. Its `kid` is the JWK thumbprint of its public half (RFC 7638)."""

    kid: str
    algorithm: str
    _private: PrivateKey = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str) -> Self:
        """A new key: P-256, Ed25519, or RSA with 3072 bits."""
        return cls._of(_find(_PRIVATE_KEYS, algorithm).generate(), algorithm)

    @classmethod
    def from_pkcs8(cls, data: bytes, algorithm: str) -> Self:
        """The key of an unencrypted PKCS #8 structure in DER; InvalidKey when it is none or not fit for `algorithm`."""
        private_key = _find(_PRIVATE_KEYS, algorithm)
        try:
            key = load_der_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InvalidKey("not an unencrypted private key in DER") from None
        return cls._of(private_key.of(key), algorithm)

    @classmethod
    def _of(cls, private: PrivateKey, algorithm: str) -> Self:
        return cls(_thumbprint(private.public_key().members()), algorithm, private)

    def to_pkcs8(self) -> bytes:
        """The private key itself, unencrypted, in DER (RFC 5958)."""
        return self._private.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def verification_key(self) -> VerificationKey:
        return VerificationKey(self.kid, self.algorithm, self._private.public_key())

    def public_jwk(self) -> dict[str, str]:
        return self.verification_key().to_jwk()

    def sign(self, data: bytes) -> bytes:
        """The signature in the form that JWS has it (RFC 7518 section 3)."""
        return self._private.sign(data)


def _find(kinds: Mapping[str, _Kind], algorithm: object) -> _Kind:
    kind = kinds.get(algorithm) if isinstance(algorithm, str) else None
    if kind is None:
        raise InvalidKey("the algorithm is not ES256, EdDSA or RS256")
    return kind


def _check_purpose(jwk: Mapping[str, object]) -> None:
    """Raises InvalidKey unless the key is for verifying signatures (RFC 7517 sections 4.2 and 4.3)."""
    if "use" in jwk and jwk["use"] != "sig":
        raise InvalidKey("the key is not for signatures")
    if "key_ops" in jwk and jwk["key_ops"] != ["verify"]:
        raise InvalidKey("the key is not for verifying, or not for that alone")


def _read_kid(jwk: Mapping[str, object]) -> str:
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise InvalidKey("the key has no name, or too long a one")
    return kid


def _thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638 section 3.1: SHA-256 over the required members in the order of their names."""
    return encode_base64url(sha256(dumps(dict(sorted(members.items())))).digest())
