"""The access token: a JWT of the RFC 9068 profile, and what is required of its claims.

    header   alg, kid, typ (at+jwt)
    claims   iss sub aud client_id sid jti iat exp ver, and scope and roles where they are not empty

Pure: keys and the present moment are arguments. Instants are seconds since the Unix epoch.
"""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from keybearer.credentials.alphabet import is_in_alphabet
from keybearer.errors import (
    AccessTokenCorrupted,
    AccessTokenExpired,
    AccessTokenInvalid,
    AccessTokenWrongApplication,
)
from keybearer.jose.compact import MAX_LENGTH, sign, verify
from keybearer.jose.errors import JoseError
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import ALGORITHMS, SigningKey
from keybearer.strict_json import StrictJsonError, dumps, loads

TYP = "at+jwt"  # RFC 9068 section 2.1
DEFAULT_ALGORITHMS = ("ES256",)

_MAX_TEXT = 1024
_MAX_INSTANT = 253_402_300_799  # the end of the year 9999: the last instant that a datetime holds
_MAX_VER = 2**63 - 1
_MAX_DEPTH = 8
_TEXT_CLAIMS = ("sub", "client_id", "sid", "jti", "iss")
_NO_SCOPE: frozenset[str] = frozenset()
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 section 3.3


class AccessToken(msgspec.Struct, frozen=True, gc=False):
    """What a verified token says. `claims` is all of it, as it was signed.

    A struct rather than a dataclass: one is made for every token that is verified.
    """

    user_id: str
    application_id: str
    session_id: str
    token_id: str
    issuer: str
    audience: tuple[str, ...]
    issued_at: int
    expires_at: int
    ver: int
    """The user's authorization version when the token was issued."""
    scope: frozenset[str]
    roles: tuple[str, ...]
    claims: Mapping[str, object]

    def __hash__(self) -> int:
        return hash((self.issuer, self.token_id, self.session_id, self.user_id, self.expires_at))

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "claims")
        return f"AccessToken({', '.join(values)})"


def _refuse_change(_: AccessToken, name: str, __: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


AccessToken.__setattr__ = _refuse_change  # type: ignore[method-assign, assignment]  # the error of frozen dataclasses


@dataclass(frozen=True, slots=True, eq=False)
class AccessTokenVerifier:
    """Decides about access tokens by itself, without I/O: what it cannot know is whether a token was revoked.

    `issuer` and `audience` are compared exactly. No algorithm is accepted but those in `algorithms`; none if it is
    empty. `leeway` is in seconds and forgives a clock that is behind or ahead, for `exp` and `nbf` alike.
    """

    issuer: str
    audience: str
    keys: KeySet
    algorithms: Collection[str] = DEFAULT_ALGORITHMS
    leeway: float = 0

    def __post_init__(self) -> None:
        if isinstance(self.algorithms, str) or not ALGORITHMS.issuperset(self.algorithms):
            raise ValueError(f"algorithms is a collection of {', '.join(sorted(ALGORITHMS))}")
        if not self.issuer or not self.audience:
            raise ValueError("issuer and audience are not empty")
        if not 0 <= self.leeway <= _MAX_INSTANT:
            raise ValueError("leeway is a number of seconds, not negative")
        object.__setattr__(self, "algorithms", frozenset(self.algorithms))

    def verify(self, token: str, application_id: str | None = None, now: float | None = None) -> AccessToken:
        """What `token` says, once all of it holds (RFC 9068 section 4, RFC 7519 section 7.2).

        `application_id` is whom the request's Api-Key names; None does not compare. `now` defaults to the clock.

        Raises, in this order: AccessTokenCorrupted for an alphabet or length that no token has; AccessTokenInvalid for
        signature, type, issuer, audience and claims, which it tells about only once the signature held;
        AccessTokenExpired; AccessTokenWrongApplication. Nothing else, whatever `token` is.
        """
        # Untyped callers pass what their framework gave them, None included.
        if not isinstance(token, str) or len(token) > MAX_LENGTH:  # type: ignore[redundant-expr]
            raise AccessTokenCorrupted
        if not is_in_alphabet(token):
            raise AccessTokenCorrupted
        claims = self._verify_claims(token)
        access_token = read_claims(claims)
        if access_token.issuer != self.issuer:
            _refuse("iss", "is another issuer's")
        if self.audience not in access_token.audience:
            _refuse("aud", "does not name this audience")
        self._check_time(access_token, claims.get("nbf"), time.time() if now is None else now)
        if application_id is not None and access_token.application_id != application_id:
            raise AccessTokenWrongApplication
        return access_token

    def _verify_claims(self, token: str) -> dict[str, object]:
        """The claims that a key of the set has signed."""
        try:
            _, payload = verify(token, self.keys, frozenset(self.algorithms), typ=TYP)
        except JoseError:
            raise AccessTokenInvalid from None
        try:
            claims = loads(payload, max_depth=_MAX_DEPTH)
        except StrictJsonError as error:
            raise AccessTokenInvalid(f"The claims of the access token are not strict JSON: {error}.") from None
        if not isinstance(claims, dict):
            raise AccessTokenInvalid("The claims of the access token are not a JSON object.")
        return claims

    def _check_time(self, token: AccessToken, not_before: object, now: float) -> None:
        """RFC 7519 sections 4.1.4 and 4.1.5: a token is expired *on* its `exp`, and good from its `nbf` on."""
        if not_before is not None and not _read_number("nbf", not_before) <= now + self.leeway:
            raise AccessTokenInvalid("The access token is not valid yet.")
        if not now - self.leeway < token.expires_at:
            raise AccessTokenExpired(f"The access token expired {int(now - token.expires_at)} s ago.")


def issue_access_token(
    key: SigningKey,
    *,
    issuer: str,
    audience: str,
    user_id: str,
    application_id: str,
    session_id: str,
    token_id: str,
    ver: int,
    issued_at: int,
    expires_at: int,
    roles: Sequence[str] = (),
    scope: str = "",
) -> str:
    """A signed token with these claims. ValueError for any that a verifier would refuse, and for too long a token."""
    claims: dict[str, object] = {
        "iss": issuer,
        "sub": user_id,
        "aud": audience,
        "client_id": application_id,
        "sid": session_id,
        "jti": token_id,
        "iat": issued_at,
        "exp": expires_at,
        "ver": ver,
    }
    if scope:
        claims["scope"] = scope
    if roles:
        claims["roles"] = list(roles)
    try:
        read_claims(claims)
    except AccessTokenInvalid as error:
        raise ValueError(error.detail) from None
    return sign(dumps(claims), key, TYP)


def read_claims(claims: dict[str, object]) -> AccessToken:
    """The claims with the types that RFC 9068 section 2.2 gives them; AccessTokenInvalid for any other."""
    subject, application, session, token, issuer = _read_texts_of(claims)
    return AccessToken(
        subject,
        application,
        session,
        token,
        issuer,
        _read_audience(claims.get("aud")),
        int(_read_number("iat", claims.get("iat"))),
        int(_read_number("exp", claims.get("exp"))),
        _read_ver(claims.get("ver")),
        _read_scope(claims["scope"]) if "scope" in claims else _NO_SCOPE,
        _read_texts("roles", claims["roles"]) if "roles" in claims else (),
        MappingProxyType(claims),
    )


def _read_texts_of(claims: dict[str, object]) -> list[str]:
    texts: list[Any] = list(map(claims.get, _TEXT_CLAIMS))
    for text in texts:
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_TEXT:
            _refuse(_TEXT_CLAIMS[texts.index(text)], f"is not a text of 1 to {_MAX_TEXT} characters")
    return texts


def _read_texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        _refuse(name, "is not an array")
    for text in value:
        if not isinstance(text, str) or not 0 < len(text) <= _MAX_TEXT:
            _refuse(name, f"holds something else than texts of 1 to {_MAX_TEXT} characters")
    return tuple(value)


def _read_audience(value: object) -> tuple[str, ...]:
    """RFC 7519 section 4.1.3: one text or an array of them."""
    if isinstance(value, str) and 0 < len(value) <= _MAX_TEXT:
        return (value,)
    audience = _read_texts("aud", [value] if isinstance(value, str) else value)
    if not audience:
        _refuse("aud", "is empty")
    return audience


def _read_number(name: str, value: object) -> int | float:
    """A NumericDate (RFC 7519 section 2) between the epoch and the year 9999; a boolean is no number, nor is a text."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MAX_INSTANT:
        _refuse(name, "is not a number of seconds since 1970")
    return value


def _read_ver(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_VER:
        _refuse("ver", "is not a whole number from 0 on")
    return value


def _read_scope(value: object) -> frozenset[str]:
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        _refuse("scope", "is not a list of words with one space between (RFC 6749 section 3.3)")
    return frozenset(value.split(" "))


def _refuse(name: str, reason: str) -> NoReturn:
    raise AccessTokenInvalid(f"The claim {name} of the access token {reason}.")
