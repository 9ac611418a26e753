"""/verify: forward authentication, for proxies that ask before they pass a request on.

Every answer has all identity headers, so that a proxy which copies them overwrites whatever the caller sent. Proxies
know yes (204), 401 and 403 only; what the caller himself is at fault for is therefore never anything else.
"""

from typing import Any
from urllib.parse import quote

import msgspec

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import KeybearerError, MalformedRequest
from keybearer.server.http.answer import NO_STORE, Answer
from keybearer.server.http.call import Call
from keybearer.wire.problems import ErrorDocument

METHOD_HEADER = "methodHeader"
"""The parameter of the query in which the proxy's configuration names the header that holds the original method."""

_METHOD_HEADERS = {"x-original-method": b"x-original-method", "x-forwarded-method": b"x-forwarded-method"}
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ",%")

Headers = tuple[tuple[bytes, bytes], ...]


def _identity(user: str, application: str, session: str, roles: str) -> Headers:
    return (
        (b"x-keybearer-user", user.encode("ascii")),
        (b"x-keybearer-application", application.encode("ascii")),
        (b"x-keybearer-session", session.encode("ascii")),
        (b"x-keybearer-roles", roles.encode("ascii")),
    )


_NOBODY = _identity("", "", "", "")


class Verify:
    def get_verify(self, call: Call) -> Answer:
        return Answer(204, b"", (NO_STORE, *_identity_of(call.access_token)))

    def admit(self, call: Call) -> Answer | None:
        """The answer to what needs no credentials, `OPTIONS`: yes, and nobody. None for every other request.

        The original method is the request's own (Envoy), or stands in a header (nginx, Traefik). A caller can send such
        a header too, so it counts only when the proxy's configuration says that the proxy overwrites it.
        """
        if _original_method(call) == "OPTIONS":
            return Answer(204, b"", (NO_STORE, *_NOBODY))
        return None

    def refuse(self, error: KeybearerError, answer: Answer) -> Answer:
        """A refusal as proxies understand it, the code in a header."""
        headers = (*answer.headers, *_NOBODY, (b"x-keybearer-error", error.code.encode()))
        if answer.status in (401, 403) or answer.status >= 500:
            return Answer(answer.status, answer.body, headers)
        return Answer(403, _with_status(answer.body, "403"), headers)


def _original_method(call: Call) -> str | None:
    request = call.request
    if call.parameter:  # the path, and with it the query, is the caller's
        return request.method
    named = request.query_value(METHOD_HEADER)
    if named is None:
        return request.method
    header = _METHOD_HEADERS.get(named.lower())
    if header is None:
        raise MalformedRequest(f"The query parameter {METHOD_HEADER} takes X-Original-Method or X-Forwarded-Method.")
    return request.header(header)


def _identity_of(token: AccessToken) -> Headers:
    roles = ",".join(map(escape, token.roles))
    return _identity(escape(token.user_id), escape(token.application_id), escape(token.session_id), roles)


def escape(text: str) -> str:
    """A text as it can stand in a header: all but visible ASCII, and `,` and `%`, percent-encoded as UTF-8 (RFC 3986
    section 2.1)."""
    return quote(text, safe=_PLAIN)


def _with_status(body: bytes, status: str) -> bytes:
    document = msgspec.json.decode(body, type=ErrorDocument)
    problems: list[Any] = [msgspec.structs.replace(problem, status=status) for problem in document.errors]
    return msgspec.json.encode(ErrorDocument(problems))
