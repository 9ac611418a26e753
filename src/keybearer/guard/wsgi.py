"""The guard for any WSGI application (PEP 3333).

    app = GuardedApp(app, guard, exempt=("/health",))

The application finds the caller in `environ["keybearer.caller"]`. Parts of it that need more are wrapped once more,
each with its requirements. CORS belongs outside, so that a browser can read a refusal and preflights, which carry no
credentials, are answered before they get here.

The server must hand over the `Authorization` header: Apache's mod_wsgi does with `WSGIPassAuthorization On`.
"""

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from keybearer.errors import KeybearerError
from keybearer.guard import Credentials, Guard, Requirements
from keybearer.guard._refusal import make_refusal
from keybearer.guard._values import NOTHING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CALLER: Final = "keybearer.caller"


class GuardedApp:
    """Passes a request on once both credentials hold, and refuses it as the service would otherwise.

    `exempt` are whole paths, below the application's root, that need no credentials; their caller is None.
    `pass_preflights` lets CORS preflights through, for an application that answers them itself: it must not do
    anything else for `OPTIONS`.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        guard: Guard,
        requirements: Requirements = NOTHING,
        *,
        exempt: Collection[str] = (),
        pass_preflights: bool = False,
    ) -> None:
        self._app = app
        self._guard = guard
        self._requirements = requirements
        self._exempt = frozenset(exempt)
        self._pass_preflights = pass_preflights

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if self._is_exempt(environ):
            caller = None
        else:
            try:
                caller = self._guard.verify(Credentials.from_environ(environ), self._requirements)
            except KeybearerError as error:
                return _refuse(error, environ, start_response)
        return self._app({**environ, CALLER: caller}, start_response)

    def _is_exempt(self, environ: "WSGIEnvironment") -> bool:
        return environ.get("PATH_INFO", "") in self._exempt or (self._pass_preflights and _is_preflight(environ))


def _is_preflight(environ: "WSGIEnvironment") -> bool:
    """The Fetch standard, CORS-preflight request."""
    headers = ("HTTP_ORIGIN", "HTTP_ACCESS_CONTROL_REQUEST_METHOD")
    return environ["REQUEST_METHOD"] == "OPTIONS" and all(name in environ for name in headers)


def _refuse(error: KeybearerError, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    refusal = make_refusal(error, environ.get("HTTP_X_REQUEST_ID"))
    start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", list(refusal.headers))
    return [refusal.body]
