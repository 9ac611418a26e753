"""The set of keys that a verifier trusts (RFC 7517 section 5)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from keybearer.jose.errors import InvalidKey
from keybearer.jose.header import Header
from keybearer.jose.keys import ALGORITHMS, KEY_TYPES, SECRET_MEMBERS, VerificationKey

MAX_KEYS = 64
_MAX_KNOWN_HEADERS = 256


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """Keys by their `kid`. Immutable, and the one source of keys: a token never brings its own.

    An empty set is allowed and verifies nothing.
    """

    _keys: Mapping[str, VerificationKey]
    _known_headers: dict[str, Header] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def from_keys(cls, keys: Iterable[VerificationKey]) -> Self:
        """InvalidKey for two keys of one name and for more than 64 keys."""
        by_kid: dict[str, VerificationKey] = {}
        for key in keys:
            if key.kid in by_kid:
                raise InvalidKey("two keys of the set have the same kid")
            by_kid[key.kid] = key
        if len(by_kid) > MAX_KEYS:
            raise InvalidKey(f"a key set has at most {MAX_KEYS} keys")
        return cls(MappingProxyType(by_kid))

    @classmethod
    def from_jwks(cls, jwks: Mapping[str, object]) -> Self:
        """The keys of a JWK Set that are ours to verify with.

        Keys of another type, algorithm or use, or of no stated algorithm, are ignored (RFC 7517 section 5). InvalidKey
        for a malformed key of ours, for a symmetric or private key (a set is public) and as `from_keys` says.
        """
        entries = jwks.get("keys")
        if not isinstance(entries, list) or len(entries) > MAX_KEYS:
            raise InvalidKey(f"a key set is an object with at most {MAX_KEYS} keys")
        return cls.from_keys(VerificationKey.from_jwk(entry) for entry in entries if _is_ours(entry))

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public JWK Set, which `from_jwks` reads."""
        return {"keys": [key.to_jwk() for key in self._keys.values()]}

    def find_key(self, kid: str) -> VerificationKey | None:
        return self._keys.get(kid)

    def find_header(self, segment: str) -> Header | None:
        """The header that `segment` encodes, when `remember_header` was told of it."""
        return self._known_headers.get(segment)

    def remember_header(self, segment: str, header: Header) -> None:
        """To be called once a signature of this set held for a token with this header, and at no other time.

        So only the issuer fills the table. An issuer has a handful of headers; when the table is full no more are
        remembered.
        """
        if len(self._known_headers) < _MAX_KNOWN_HEADERS:
            self._known_headers[segment] = header


def _is_ours(jwk: object) -> bool:
    """Whether an entry of a set is meant for this package; InvalidKey when the set should not be trusted for it."""
    if not isinstance(jwk, dict):
        raise InvalidKey("an entry of the key set is not an object")
    kty, algorithm, use = jwk.get("kty"), jwk.get("alg", ""), jwk.get("use", "sig")
    if not (isinstance(kty, str) and isinstance(algorithm, str) and isinstance(use, str)):
        raise InvalidKey("the type, algorithm or use of a key is not a string")
    if kty == "oct" or not SECRET_MEMBERS.isdisjoint(jwk):
        raise InvalidKey("a key set holds public keys only")
    return kty in KEY_TYPES and algorithm in ALGORITHMS and use == "sig"
