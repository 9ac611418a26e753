"""The guard for Flask: an extension that guards every view, and decorators for views that need more or less.

    app = Flask(__name__)
    CORS(app, …)
    KeybearerGuard(app, Guard("https://auth.example.com", os.environ["GUARD_KEY"]))

A view finds the caller in `flask.g.caller`. Flask-CORS stands before it, so that a browser can read a refusal;
preflights, which carry no credentials, are answered by Flask itself.
"""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, Final, cast

from flask import Flask, Response, current_app, g, request

from keybearer.errors import KeybearerError
from keybearer.guard import Credentials, Guard, OnStale, Requirements
from keybearer.guard._refusal import make_refusal
from keybearer.guard._values import NOTHING
from keybearer.guard._views import View, make_requirements, mark, requirements_of, unguarded

__all__ = ["KeybearerGuard", "guarded", "unguarded"]

_NAME: Final = "keybearer"


class KeybearerGuard:
    """Verifies both credentials before a view is called, and answers every KeybearerError as the service does.

    `exempt` are endpoints that everyone may call, such as `static`. An answer that Flask gives to `OPTIONS` by itself
    calls no view and needs no credentials.
    """

    def __init__(self, app: Flask, guard: Guard, *, exempt: Collection[str] = ()) -> None:
        self._guard = guard
        self._exempt = frozenset(exempt)
        app.extensions[_NAME] = self
        app.before_request(self._verify)
        app.register_error_handler(KeybearerError, _answer)

    def admit(self, requirements: Requirements) -> None:
        """Hold the request under way to these requirements; the caller is `flask.g.caller` afterwards.

        Raises the errors of `Guard.verify`.
        """
        g.caller = self._guard.verify(Credentials.from_environ(request.environ), requirements)
        g.keybearer_verified = requirements

    def _verify(self) -> None:
        g.caller = g.keybearer_verified = None
        requirements = self._required()
        if requirements is not None:
            self.admit(requirements)

    def _required(self) -> Requirements | None:
        """None also where no view will be called: there is no route, or Flask answers `OPTIONS` by itself."""
        rule = request.url_rule
        if rule is None or request.endpoint in self._exempt:
            return None
        if request.method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
            return None
        return requirements_of(current_app.view_functions[rule.endpoint], NOTHING)


def guarded(
    *,
    roles: Collection[str] = (),
    scopes: Collection[str] = (),
    optional: bool = False,
    on_stale: OnStale | None = None,
) -> Callable[[View], View]:
    """Decorate a view for callers who have all of these roles and scopes; `Requirements` says what the rest means.

    The extension reads it from the view. Where another decorator hides it from the extension, the view sees to it by
    itself.
    """
    requirements = make_requirements(roles, scopes, optional=optional, on_stale=on_stale)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded_view(*args: Any, **kwargs: Any) -> Any:
            if g.get("keybearer_verified") is not requirements:
                _extension().admit(requirements)
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast(View, mark(guarded_view, requirements))

    return decorate


def _extension() -> KeybearerGuard:
    extension = current_app.extensions.get(_NAME)
    if not isinstance(extension, KeybearerGuard):
        raise RuntimeError("This application has no guard: make it a KeybearerGuard(app, guard).")  # noqa: TRY004 - no argument is of a wrong type
    return extension


def _answer(error: Exception) -> Response:
    """The answer to a KeybearerError, for which it is registered."""
    assert isinstance(error, KeybearerError)  # noqa: S101 - what it is registered for
    refusal = make_refusal(error, request.headers.get("X-Request-Id"))
    return Response(refusal.body, refusal.status, refusal.headers)
