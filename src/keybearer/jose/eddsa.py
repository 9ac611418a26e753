"""EdDSA with Ed25519 (RFC 8037 section 3.1). Ed448 is not supported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from keybearer.base64url import encode_base64url
from keybearer.jose.errors import InvalidJws, InvalidKey
from keybearer.jose.members import read_octets

_PUBLIC_KEY = 32
_SIGNATURE = 64


@dataclass(frozen=True, slots=True, eq=False)
class EdDsaPublicKey:
    kty: ClassVar[str] = "OKP"
    _key: Ed25519PublicKey

    @classmethod
    def from_members(cls, jwk: Mapping[str, object]) -> Self:
        """A key of an OKP JWK (RFC 8037 section 2); InvalidKey for another curve."""
        if jwk.get("crv") != "Ed25519":
            raise InvalidKey("the curve of an EdDSA key is Ed25519")
        return cls(Ed25519PublicKey.from_public_bytes(read_octets(jwk, "x", _PUBLIC_KEY)))

    def members(self) -> dict[str, str]:
        """The members that make up the key (RFC 8037 section 2)."""
        return {"kty": self.kty, "crv": "Ed25519", "x": encode_base64url(self._key.public_bytes_raw())}

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises InvalidJws unless `signature` has 64 bytes and holds (RFC 8032 section 5.1.7)."""
        if len(signature) != _SIGNATURE:
            raise InvalidJws("the signature has the wrong length")
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            raise InvalidJws("the signature does not hold") from None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EdDsaPrivateKey:
    key: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> Self:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of(cls, key: PrivateKeyTypes) -> Self:
        """InvalidKey when `key` is of another kind."""
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidKey("an EdDSA key is an Ed25519 key")
        return cls(key)

    def public_key(self) -> EdDsaPublicKey:
        return EdDsaPublicKey(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)
