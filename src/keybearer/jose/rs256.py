"""RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256

from keybearer.jose.errors import InvalidJws, InvalidKey
from keybearer.jose.members import read_uint, write_uint

_MIN_BITS = 2048  # RFC 7518 section 3.3
_MAX_BITS = 8192  # beyond it one verification costs milliseconds
_GENERATED_BITS = 3072  # NIST SP 800-57 part 1: as strong as P-256
_EXPONENT = 65537
_MAX_EXPONENT_BYTES = 4
_PADDING = PKCS1v15()
_HASH = SHA256()


def _check_numbers(modulus: int, exponent: int) -> None:
    """Raises InvalidKey for a size out of bounds, an even number, and an exponent below 2^16 (FIPS 186-5 A.1.1)."""
    if not _MIN_BITS <= modulus.bit_length() <= _MAX_BITS or modulus % 2 == 0:
        raise InvalidKey(f"an RS256 key has {_MIN_BITS} to {_MAX_BITS} bits")
    if exponent < _EXPONENT or exponent % 2 == 0 or exponent.bit_length() > 8 * _MAX_EXPONENT_BYTES:
        raise InvalidKey("the exponent of an RS256 key is odd, at least 65537 and at most 32 bits long")


@dataclass(frozen=True, slots=True, eq=False)
class Rs256PublicKey:
    kty: ClassVar[str] = "RSA"
    _key: rsa.RSAPublicKey

    @classmethod
    def from_members(cls, jwk: Mapping[str, object]) -> Self:
        """A key of an RSA JWK (RFC 7518 section 6.3.1); InvalidKey for a weak, a huge or an odd one."""
        modulus = read_uint(jwk, "n", _MAX_BITS // 8)
        exponent = read_uint(jwk, "e", _MAX_EXPONENT_BYTES)
        _check_numbers(modulus, exponent)
        try:
            return cls(rsa.RSAPublicNumbers(exponent, modulus).public_key())
        except ValueError:
            raise InvalidKey("the crypto library refuses the key") from None

    def members(self) -> dict[str, str]:
        """The members that make up the key (RFC 7638 section 3.2)."""
        numbers = self._key.public_numbers()
        return {"kty": self.kty, "n": write_uint(numbers.n), "e": write_uint(numbers.e)}

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises InvalidJws unless `signature` is as long as the modulus and holds (RFC 8017 section 8.2.2)."""
        if len(signature) != (self._key.key_size + 7) // 8:
            raise InvalidJws("the signature has the wrong length")
        try:
            self._key.verify(signature, data, _PADDING, _HASH)
        except InvalidSignature:
            raise InvalidJws("the signature does not hold") from None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rs256PrivateKey:
    key: rsa.RSAPrivateKey

    @classmethod
    def generate(cls) -> Self:
        return cls(rsa.generate_private_key(_EXPONENT, _GENERATED_BITS))

    @classmethod
    def of(cls, key: PrivateKeyTypes) -> Self:
        """InvalidKey when `key` is of another kind, weak or huge."""
        if not isinstance(key, rsa.RSAPrivateKey):
            raise InvalidKey("an RS256 key is an RSA key")
        numbers = key.public_key().public_numbers()
        _check_numbers(numbers.n, numbers.e)
        return cls(key)

    def public_key(self) -> Rs256PublicKey:
        return Rs256PublicKey(self.key.public_key())

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data, _PADDING, _HASH)
