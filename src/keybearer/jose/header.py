"""The header of a JWS, read strictly (RFC 7515 section 4)."""

from dataclasses import dataclass

from keybearer.base64url import decode_base64url
from keybearer.jose.errors import InvalidJws
from keybearer.jose.keys import MAX_KID
from keybearer.strict_json import StrictJsonError, loads

_MAX_DEPTH = 4

_REFUSED = {
    "crit": "no extension is understood (RFC 7515 section 4.1.11)",
    "b64": "the payload is always encoded (RFC 7797 section 3)",
    "jku": "keys come from the configured set only (RFC 7515 section 4.1.2)",
    "jwk": "keys come from the configured set only (RFC 7515 section 4.1.3)",
    "x5u": "keys come from the configured set only (RFC 7515 section 4.1.5)",
    "x5c": "keys come from the configured set only (RFC 7515 section 4.1.6)",
}


@dataclass(frozen=True, slots=True)
class Header:
    """The parameters that a verifier goes by. `typ` is in its short form, in lower case: at+jwt."""

    algorithm: str
    kid: str
    typ: str | None


def parse_header(segment: str) -> Header:
    """The header of a token's first segment; InvalidJws when anything in it is not well formed or not allowed."""
    members = _parse_object(segment)
    for name, reason in _REFUSED.items():
        if name in members:
            raise InvalidJws(f"the header parameter {name} is refused: {reason}")
    algorithm, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(algorithm, str):
        raise InvalidJws("the header names no algorithm")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise InvalidJws("the header names no key")
    return Header(algorithm, kid, _read_typ(typ) if "typ" in members else None)


def normalize_typ(typ: str) -> str:
    """The short form in lower case: "application/" is left out (RFC 7515 section 4.1.9), case is not significant."""
    short = typ.lower()
    subtype = short.removeprefix("application/")
    return short if "/" in subtype else subtype


def _parse_object(segment: str) -> dict[str, object]:
    data = decode_base64url(segment)
    if data is None:
        raise InvalidJws("the header is not canonical base64url")
    try:
        members = loads(data, max_depth=_MAX_DEPTH)
    except StrictJsonError as error:
        raise InvalidJws(f"the header: {error}") from None
    if not isinstance(members, dict):
        raise InvalidJws("the header is not a JSON object")
    return members


def _read_typ(typ: object) -> str:
    # A media type is ASCII; beyond it lower() folds characters onto letters (the Kelvin sign onto k).
    if not isinstance(typ, str) or not typ.isascii():
        raise InvalidJws("the type is not a media type")
    return normalize_typ(typ)
