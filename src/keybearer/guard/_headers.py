"""The headers that carry credentials, and when one of them counts as sent twice.

A server hands a repeated header over as two values or as one with a comma between (RFC 9110 section 5.3; in a WSGI
environment there is no other way), and nothing tells the second form from one header with a comma in it. So the verdict
is about the joined value, the same in the service and in every integration.
"""

from keybearer.errors import MalformedRequest

API_KEY = "api-key"
AUTHORIZATION = "authorization"
ORIGIN = "origin"


def require_once(api_key: str | None, authorization: str | None, origin: str | None) -> None:
    """Raise MalformedRequest when one of these joined values is of more than one header (contract.md section 2)."""
    if api_key is not None and "," in api_key:
        raise _repeated(API_KEY)
    if authorization is not None and "," in authorization and _is_of_several(authorization):
        raise _repeated(AUTHORIZATION)
    if origin is not None and "," in origin:
        raise _repeated(ORIGIN)


def _is_of_several(authorization: str) -> bool:
    """Whether it is more than one bearer token with a comma in it, which is a corrupted one (R4)."""
    first, *others = (value.strip(" ") for value in authorization.split(","))
    return not first.lower().startswith("bearer ") or any(" " in other for other in others)


def _repeated(name: str) -> MalformedRequest:
    return MalformedRequest(f"The header {name.title()} stands in the request more than once.")
