"""The body of a request: media type, JSON, members, in this order."""

from typing import Any

from keybearer.errors import MalformedJson, UnsupportedMediaType
from keybearer.server.http.request import Request
from keybearer.strict_json import StrictJsonError, loads
from keybearer.wire.problems import validate_members

_MEDIA_TYPES = frozenset({"application/json", "application/vnd.api+json"})
_UTF8 = frozenset({"utf-8", "utf8"})


def read_members(request: Request, body: bytes, kind: type[Any]) -> Any:
    """The body as a struct of `kind`. Raises UnsupportedMediaType, MalformedJson and ValidationFailed."""
    _check_media_type(request.header(b"content-type"))
    try:
        members = loads(body)
    except StrictJsonError as error:
        raise MalformedJson(f"The body is not a well-formed JSON document: {error}.") from None
    return validate_members(kind, members)


def _check_media_type(content_type: str | None) -> None:
    media_type, _, parameters = (content_type or "").partition(";")
    if media_type.strip().lower() not in _MEDIA_TYPES:
        raise UnsupportedMediaType
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in _UTF8:
            raise UnsupportedMediaType("The body must be UTF-8.")
