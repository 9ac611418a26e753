"""What is particular to Django: decorators and their order, exempt namespaces, settings that are wrong."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse, HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import include, path

from keybearer.errors import PermissionDenied
from keybearer.guard.django import GuardedRequest, GuardMiddleware, guarded, unguarded
from keybearer.testing import FakeIssuer
from tests.guard.integrations.targets import set_up_django

set_up_django()


def hiding(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A decorator that forgets `functools.wraps`."""

    def hidden(*args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(*args, **kwargs)

    return hidden


def answering_from_a_cache(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A decorator that answers without calling the view."""

    @functools.wraps(view)
    def cached(*_: Any, **__: Any) -> HttpResponseBase:
        return HttpResponse("cached")

    return cached


def who(request: GuardedRequest) -> HttpResponse:
    return HttpResponse(request.caller.user_id if request.caller else "nobody")


async def who_later(request: GuardedRequest) -> HttpResponse:
    return who(request)


def denied(_: GuardedRequest) -> HttpResponse:
    raise PermissionDenied("This note is somebody else's.")


async def denied_later(request: GuardedRequest) -> HttpResponse:
    return denied(request)


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture(autouse=True)
def project(issuer: FakeIssuer) -> Iterator[None]:
    urls = ModuleType("urls")
    internal = ([path("who", who)], "internal")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("who", who),
        path("open", unguarded(who)),
        path("open-later", unguarded(who_later)),
        path("admin", guarded(roles={"admin"})(who)),
        path("admin-hidden", hiding(guarded(roles={"admin"})(who))),
        path("admin-cached", answering_from_a_cache(guarded(roles={"admin"})(who))),
        path("optional-hidden", hiding(guarded(optional=True)(who))),
        path("denied", denied),
        path("denied-later", denied_later),
        path("internal/", include(internal)),
    ]
    middleware = ["keybearer.guard.django.GuardMiddleware"]
    options = {"GUARD": issuer.guard(), "EXEMPT": ["internal"]}
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware, KEYBEARER=options, ALLOWED_HOSTS=["testserver"]):
        yield


async def statuses(page: str, headers: dict[str, str]) -> set[int]:
    """What Django answers in its two ways of running."""
    later = await AsyncClient().get(page, headers=headers)
    return {await in_a_thread(page, headers), later.status_code}


async def in_a_thread(page: str, headers: dict[str, str]) -> int:
    return (await asyncio.to_thread(Client().get, page, headers=headers)).status_code


@pytest.mark.parametrize("page", ["/admin", "/admin-hidden", "/admin-cached"])
async def test_a_role_is_required_whatever_stands_around_the_view(issuer: FakeIssuer, page: str) -> None:
    """A decorator may hide the requirement from the middleware, or answer before the view is called."""
    assert await statuses(page, issuer.headers(roles=["admin"])) == {200}
    assert await statuses(page, issuer.headers()) == {403}
    assert await statuses(page, {}) == {403}


async def test_what_is_hidden_is_held_to_more_and_never_to_less(issuer: FakeIssuer) -> None:
    assert await statuses("/optional-hidden", {"Api-Key": issuer.api_key()}) == {401}


async def test_an_unguarded_view_is_guarded_elsewhere(issuer: FakeIssuer) -> None:
    assert await statuses("/open", {}) == {200}
    assert await statuses("/open-later", {}) == {200}
    assert await statuses("/who", {}) == {403}


async def test_namespaces_can_be_exempt(issuer: FakeIssuer) -> None:
    assert await statuses("/internal/who", {}) == {200}


async def test_errors_that_a_view_raises_are_answered_as_the_service_would(issuer: FakeIssuer) -> None:
    for page in ("/denied", "/denied-later"):
        assert await statuses(page, issuer.headers()) == {403}
        answer = await AsyncClient().get(page, headers=issuer.headers())
        assert answer.json()["errors"][0]["code"] == "permission_denied"


def test_a_decorator_needs_the_middleware() -> None:
    with pytest.raises(ImproperlyConfigured, match="GuardMiddleware"):
        guarded(roles={"admin"})(who)(cast(GuardedRequest, RequestFactory().get("/")))


@pytest.mark.parametrize("options", [{}, {"GUARD": None}, {"GUARD": "https://auth.example.com"}])
def test_a_guard_must_be_configured(options: dict[str, Any]) -> None:
    with override_settings(KEYBEARER=options), pytest.raises((ImproperlyConfigured, ImportError)):
        GuardMiddleware(cast(Any, who))


def test_a_guard_may_be_named_by_its_path(issuer: FakeIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.guard.integrations.targets.GUARD", issuer.guard(), raising=False)
    with override_settings(KEYBEARER={"GUARD": "tests.guard.integrations.targets.GUARD"}):
        assert Client().get("/who", headers=issuer.headers(user_id="jane")).content == b"jane"
