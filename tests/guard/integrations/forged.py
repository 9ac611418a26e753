"""Access tokens with every fault, most of them signed by the service's own key: only the fault is wrong."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from keybearer.base64url import encode_base64url
from keybearer.credentials.access_token import TYP
from keybearer.jose.keys import SigningKey
from keybearer.strict_json import dumps
from tests.http.world import World

LIFETIME = 900


@dataclass(frozen=True, slots=True)
class Forger:
    """`claims` are those of a good token of `key`, at `now` (seconds)."""

    key: SigningKey
    claims: Mapping[str, object]
    now: int

    @classmethod
    async def of(cls, world: World) -> Self:
        """A forger with the key that the service signs with."""
        now = world.clock.now() // 1000
        claims = {
            "iss": "https://auth.example.com",
            "sub": str(world.user.id),
            "aud": "https://auth.example.com",
            "client_id": str(world.application.id),
            "sid": "0198c0de-0000-7000-8000-000000000001",
            "jti": "0198c0de-0000-7000-8000-000000000002",
            "iat": now,
            "exp": now + LIFETIME,
            "ver": 1,
        }
        return cls((await world.service._keys.load()).signing, claims, now)

    def good(self, **claims: object) -> str:
        """A token that holds, with these claims besides; None leaves a claim out."""
        return self.sign(self.payload(**claims))

    def payload(self, **claims: object) -> bytes:
        return dumps({name: value for name, value in {**self.claims, **claims}.items() if value is not None})

    def sign(self, payload: bytes, key: SigningKey | None = None, **header: object) -> str:
        """A token of the service's key, unless another is named, with these parameters in its header besides."""
        key = key or self.key
        parameters = {"alg": key.algorithm, "kid": key.kid, "typ": TYP, **header}
        signing_input = _join(dumps({name: value for name, value in parameters.items() if value is not None}), payload)
        return f"{signing_input}.{encode_base64url(key.sign(signing_input.encode()))}"

    def tokens(self) -> dict[str, str]:
        return {**self._of_claims(), **self._of_headers(), **self._of_signatures(), **self._of_texts()}

    def _of_claims(self) -> dict[str, str]:
        now = self.now
        return {
            "expired": self.good(exp=now - 60),
            "expiring now": self.good(exp=now),
            "expired since 1970": self.good(exp=0),
            "for another application": self.good(client_id="0198c0de-0000-7000-8000-00000000000a"),
            "expired and for another application": self.good(exp=now - 60, client_id="another"),
            "of another issuer": self.good(iss="https://evil.example.com"),
            "of an issuer with a slash": self.good(iss="https://auth.example.com/"),
            "for another audience": self.good(aud="https://other.example.com"),
            "for many audiences": self.good(aud=["https://other.example.com", "https://auth.example.com"]),
            "for no audience": self.good(aud=[]),
            "exp as text": self.good(exp=str(now + LIFETIME)),
            "exp as a boolean": self.good(exp=True),
            "exp beyond time": self.good(exp=10**18),
            "nbf to come": self.good(nbf=now + 3600),
            "nbf past": self.good(nbf=now - 1),
            "nbf as text": self.good(nbf="0"),
            "ver as text": self.good(ver="1"),
            "roles as text": self.good(roles="admin"),
            "scope as a list": self.good(scope=["notes"]),
            **{f"without {name}": self.good(**{name: None}) for name in self.claims},
            "with sub twice": self.sign(b'{"sub":"somebody",' + self.payload()[1:]),
            "claims that are an array": self.sign(b"[" + self.payload() + b"]"),
            "claims that are not JSON": self.sign(b"claims"),
            "claims too deep": self.sign(self.payload(deep=[[[[[[[[[[]]]]]]]]]])),
        }

    def _of_headers(self) -> dict[str, str]:
        payload = self.payload()
        return {
            "unknown kid": self.sign(payload, kid="somebody"),
            "no kid": self.sign(payload, kid=None),
            "no typ": self.sign(payload, typ=None),
            "another typ": self.sign(payload, typ="JWT"),
            "the long typ": self.sign(payload, typ="application/at+jwt"),
            "another alg": self.sign(payload, alg="ES384"),
            "crit": self.sign(payload, crit=["exp"]),
            "a key of its own": self.sign(payload, jwk=SigningKey.generate("ES256").public_jwk()),
            "a key elsewhere": self.sign(payload, jku="https://evil.example.com/jwks.json"),
        }

    def _of_signatures(self) -> dict[str, str]:
        payload, good = self.payload(), self.good()
        head, claims, signature = good.split(".")
        stranger = SigningKey.generate("ES256")
        return {
            "by a stranger": self.sign(payload, stranger),
            "by a stranger under our kid": self.sign(payload, stranger, kid=self.key.kid),
            "other claims": f"{head}.{encode_base64url(self.payload(sub='somebody'))}.{signature}",
            "alg none": _join(dumps({"alg": "none", "kid": self.key.kid, "typ": TYP}), payload) + ".",
            "alg none with a signature": _join(dumps({"alg": "none", "typ": TYP}), payload) + f".{signature}",
            "HS256 with the public key": self._confused(),
            "no signature": f"{head}.{claims}.",
            "a signature of zeros": f"{head}.{claims}.{encode_base64url(bytes(64))}",
            "half a signature": f"{head}.{claims}.{signature[:43]}",
        }

    def _of_texts(self) -> dict[str, str]:
        good = self.good()
        return {
            "two segments": good.rpartition(".")[0],
            "four segments": good + ".a",
            "dots": "..",
            "words": "a.b.c",
            "trailing letters": good + "AA",
        }

    def _confused(self) -> str:
        """The public key, as everyone can read it, taken for a secret (RFC 8725 section 2.1)."""
        secret = json.dumps(self.key.public_jwk()).encode()
        signing_input = _join(dumps({"alg": "HS256", "kid": self.key.kid, "typ": TYP}), self.payload())
        return f"{signing_input}.{encode_base64url(hmac.new(secret, signing_input.encode(), hashlib.sha256).digest())}"


def _join(header: bytes, payload: bytes) -> str:
    return f"{encode_base64url(header)}.{encode_base64url(payload)}"
