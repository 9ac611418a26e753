"""The guard for Django, under WSGI and ASGI: a middleware, and decorators for views that need more or less.

    MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", "keybearer.guard.django.GuardMiddleware", …]
    KEYBEARER = {"GUARD": Guard("https://auth.example.com", os.environ["GUARD_KEY"]), "EXEMPT": ["admin"]}

Every view is guarded, but those in the URL namespaces of `EXEMPT`, and finds the caller in `request.caller`. `GUARD`
may also be the dotted path of a guard. CORS stands before it in the list, so that a browser can read a refusal and
preflights, which carry no credentials, are answered before they get here.
"""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from keybearer.errors import KeybearerError
from keybearer.guard import Caller, Credentials, Guard, OnStale, Requirements
from keybearer.guard._refusal import make_refusal
from keybearer.guard._values import NOTHING
from keybearer.guard._views import View, make_requirements, mark, requirements_of, unguarded

__all__ = ["GuardMiddleware", "GuardedRequest", "guarded", "unguarded"]


class GuardedRequest(HttpRequest):
    """What the middleware makes of a request, for annotations. `caller` is None in a view that lets everyone in."""

    caller: Caller | None
    keybearer_guard: Guard
    keybearer_verified: Requirements | None


class GuardMiddleware:
    """Verifies both credentials before a view is called, and answers every KeybearerError as the service does."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._guard, self._exempt = _read_settings()
        self.process_view: Callable[..., Any] = self._verify
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._verify_async

    def __call__(self, request: HttpRequest) -> Any:
        """The answer; an awaitable of it where Django runs asynchronously."""
        request = cast(GuardedRequest, request)
        request.caller = request.keybearer_verified = None
        request.keybearer_guard = self._guard
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return _answer(request, error) if isinstance(error, KeybearerError) else None

    def _verify(self, request: GuardedRequest, view: Callable[..., Any], *_: Any) -> HttpResponse | None:
        requirements = self._required(request, view)
        if requirements is not None:
            try:
                _admit(request, requirements)
            except KeybearerError as error:
                return _answer(request, error)
        return None

    async def _verify_async(self, request: GuardedRequest, view: Callable[..., Any], *_: Any) -> HttpResponse | None:
        requirements = self._required(request, view)
        if requirements is not None:
            try:
                await _admit_async(request, requirements)
            except KeybearerError as error:
                return _answer(request, error)
        return None

    def _required(self, request: HttpRequest, view: Callable[..., Any]) -> Requirements | None:
        matched = request.resolver_match
        exempt = matched is not None and not self._exempt.isdisjoint(matched.namespaces)
        return requirements_of(view, None if exempt else NOTHING)


def guarded(
    *,
    roles: Collection[str] = (),
    scopes: Collection[str] = (),
    optional: bool = False,
    on_stale: OnStale | None = None,
) -> Callable[[View], View]:
    """Decorate a view for callers who have all of these roles and scopes; `Requirements` says what the rest means.

    The middleware reads it from the view. Where another decorator hides it from the middleware, the view sees to it
    by itself.
    """
    requirements = make_requirements(roles, scopes, optional=optional, on_stale=on_stale)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded_view(request: GuardedRequest, *args: Any, **kwargs: Any) -> Any:
            if _verified(request) is not requirements:
                _admit(request, requirements)
            return view(request, *args, **kwargs)

        @wraps(view)
        async def guarded_async_view(request: GuardedRequest, *args: Any, **kwargs: Any) -> Any:
            if _verified(request) is not requirements:
                await _admit_async(request, requirements)
            return await view(request, *args, **kwargs)

        return cast(View, mark(guarded_async_view if iscoroutinefunction(view) else guarded_view, requirements))

    return decorate


def _admit(request: GuardedRequest, requirements: Requirements) -> None:
    credentials = Credentials.from_environ(request.META)
    request.caller = request.keybearer_guard.verify(credentials, requirements)
    request.keybearer_verified = requirements


async def _admit_async(request: GuardedRequest, requirements: Requirements) -> None:
    credentials = Credentials.from_environ(request.META)
    request.caller = await request.keybearer_guard.verify_async(credentials, requirements)
    request.keybearer_verified = requirements


def _verified(request: GuardedRequest) -> Requirements | None:
    """What the request has been held to so far."""
    try:
        return request.keybearer_verified
    except AttributeError:
        raise ImproperlyConfigured("keybearer.guard.django.GuardMiddleware is missing in MIDDLEWARE.") from None


def _answer(request: HttpRequest, error: KeybearerError) -> HttpResponse:
    refusal = make_refusal(error, request.META.get("HTTP_X_REQUEST_ID"))
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.headers))


def _read_settings() -> tuple[Guard, frozenset[str]]:
    """The guard, and the namespaces that are exempt."""
    options = getattr(settings, "KEYBEARER", {})
    guard = options.get("GUARD")
    if isinstance(guard, str):
        guard = import_string(guard)
    if not isinstance(guard, Guard):
        raise ImproperlyConfigured('KEYBEARER["GUARD"] is a keybearer.guard.Guard, or the dotted path of one.')
    return guard, frozenset(options.get("EXEMPT", ()))
