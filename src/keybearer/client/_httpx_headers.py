"""The two headers in a request of httpx, so that they never follow a redirect to another origin.

httpx follows redirects behind the back of an Auth, with a copy of the request's headers from which it takes
`Authorization` where the origin changes, and nothing else. So `Api-Key` stands in the list of headers under a name that
goes with `authorization`: what removes the one removes the other. Redirects within the origin keep both.
"""

from types import ModuleType
from typing import Any, Final

from keybearer.client._calls import Credentials, make_credentials
from keybearer.client._errors import ConfigurationError
from keybearer.client._secret import SecretBytes, SecretText

Entry = tuple[bytes, bytes, bytes]
"""How httpx keeps a header: the name as it is sent, the name that is compared, the value."""


class _EitherName:
    def __eq__(self, other: object) -> bool:
        return other in (b"api-key", b"authorization")

    __hash__ = None  # type: ignore[assignment]  # equal to two names that are not


class _ApiKeyName(bytes):
    """`api-key` to whoever looks for it. Only to remove a header does httpx put this name in lower case."""

    __slots__ = ()

    def lower(self) -> Any:
        return _EitherName()


_BESIDE: Final = _ApiKeyName(b"api-key")
_ALONE: Final = b"authorization"
"""Without an Authorization beside it httpx would look for that first, and then remove nothing."""

_OURS: Final = frozenset({b"authorization", b"api-key"})


def bind(request: Any, credentials: Credentials) -> None:
    """Put our headers into the request. Earlier ones of ours give way, and an `Api-Key` of the caller's."""
    headers = request.headers
    kept = [entry for entry in headers._list if type(entry[2]) is not SecretBytes and entry[1] != b"api-key"]
    if credentials.authorization is None:
        ((name, key),) = credentials.pairs
        kept.append((name, _BESIDE if _has_authorization(kept) else _ALONE, key))
    else:
        (bearer, token), (name, key) = credentials.pairs
        kept += ((bearer, b"authorization", token), (name, _BESIDE, key))
    headers._list = kept


def unbind(request: Any) -> bool:
    """Take our headers out, for a request may have been built from one of ours. Whether it has an Authorization of the
    caller's."""
    headers = request.headers
    if _OURS.isdisjoint([entry[1] for entry in headers._list]):
        return False
    headers._list = kept = [entry for entry in headers._list if type(entry[2]) is not SecretBytes]
    return _has_authorization(kept)


def carries_token(request: Any) -> bool:
    """Whether the access token in it is ours."""
    return any(entry[0] == b"Authorization" and _is_ours(entry) for entry in request.headers._list)


def carries_key(request: Any) -> bool:
    """Whether the Api-Key in it is ours."""
    return any(entry[0] == b"Api-Key" and _is_ours(entry) for entry in request.headers._list)


def require_known_headers(module: ModuleType) -> None:
    """ConfigurationError when this httpx keeps its headers otherwise, so that they would not leave as they must."""
    for access_token in ("token", None):
        credentials = make_credentials(SecretText("key"), access_token)
        request = module.Request("GET", "https://a.example")
        bind(request, credentials)
        copied = module.Headers(request.headers)
        sent = [pair for pair in copied.raw if pair in credentials.pairs]
        copied.pop("Authorization", None)
        if len(sent) != len(credentials.pairs) or any(pair in credentials.pairs for pair in copied.raw):
            raise ConfigurationError(
                f"This client does not know {module.__name__} {module.__version__}: upgrade keybearer."
            )


def _is_ours(entry: Entry) -> bool:
    return type(entry[2]) is SecretBytes


def _has_authorization(entries: list[Entry]) -> bool:
    return any(entry[1] == b"authorization" for entry in entries)
