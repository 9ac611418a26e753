"""Cross-origin headers (the Fetch standard), from the union of the applications' origins.

A preflight carries no Api-Key, so it can be held to that union only; the request after it is held to its own
application's origins by the check of the key. Credentials mode is never allowed: nothing here uses cookies.
"""

from keybearer.guard._core import CredentialState
from keybearer.server.http.answer import Answer

_VARY = (b"vary", b"Origin")
_EXPOSE = (b"access-control-expose-headers", b"WWW-Authenticate, Retry-After, X-Request-Id, Date")
_ALLOW_HEADERS = (
    b"access-control-allow-headers",
    b"Api-Key, Authorization, Content-Type, Idempotency-Key, X-Request-Id",
)
_MAX_AGE = (b"access-control-max-age", b"600")


def cors_headers(state: CredentialState, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer carries, so that a browser can read it: refusals too."""
    if origin is None or origin.decode("latin-1") not in state.origins:
        return (_VARY,)
    return (_VARY, (b"access-control-allow-origin", origin), _EXPOSE)


def preflight(methods: tuple[str, ...]) -> Answer:
    """The answer to a preflight; the edge adds `cors_headers`, without which a browser goes no further."""
    return Answer(204, b"", ((b"access-control-allow-methods", ", ".join(methods).encode()), _ALLOW_HEADERS, _MAX_AGE))
