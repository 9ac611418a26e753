"""What is particular to Flask: decorators and their order, and what Flask answers by itself."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g

from keybearer.errors import PermissionDenied
from keybearer.guard.flask import KeybearerGuard, guarded, unguarded
from keybearer.testing import FakeIssuer


def hiding(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that hands nothing on but the name."""

    def hidden(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return hidden


def who() -> str:
    return g.caller.user_id if g.caller else "nobody"


def denied() -> str:
    raise PermissionDenied("This note is somebody else's.")


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


@pytest.fixture
def app(issuer: FakeIssuer) -> Flask:
    app = Flask(__name__)
    KeybearerGuard(app, issuer.guard(), exempt=["exempt"])
    app.add_url_rule("/who", "who", who, methods=["GET", "POST"])
    app.add_url_rule("/all", "all", who, methods=["GET", "OPTIONS"])
    app.add_url_rule("/open", "open", unguarded(who))
    app.add_url_rule("/exempt", "exempt", who)
    app.add_url_rule("/admin", "admin", guarded(roles={"admin"})(who))
    app.add_url_rule("/admin-hidden", "admin-hidden", hiding(guarded(roles={"admin"})(who)))
    app.add_url_rule("/denied", "denied", denied)
    return app


def status(app: Flask, path: str, headers: dict[str, str], method: str = "GET") -> int:
    return app.test_client().open(path, method=method, headers=headers).status_code


@pytest.mark.parametrize("path", ["/admin", "/admin-hidden"])
def test_a_role_is_required_whatever_stands_around_the_view(app: Flask, issuer: FakeIssuer, path: str) -> None:
    assert status(app, path, issuer.headers(roles=["admin"])) == 200
    assert status(app, path, issuer.headers()) == 403
    assert status(app, path, {}) == 403


def test_an_unguarded_view_is_guarded_elsewhere(app: Flask) -> None:
    assert status(app, "/open", {}) == 200
    assert status(app, "/exempt", {}) == 200
    assert status(app, "/who", {}) == 403


def test_what_flask_answers_by_itself_calls_no_view(app: Flask) -> None:
    assert status(app, "/who", {}, "OPTIONS") == 200
    assert app.test_client().options("/who").data == b""
    assert status(app, "/all", {}, "OPTIONS") == 403
    assert status(app, "/nowhere", {}) == 404
    assert status(app, "/who", {}, "DELETE") == 405


def test_errors_that_a_view_raises_are_answered_as_the_service_would(app: Flask, issuer: FakeIssuer) -> None:
    answer = app.test_client().get("/denied", headers=issuer.headers())
    assert answer.status_code == 403
    assert json.loads(answer.data)["errors"][0]["code"] == "permission_denied"


def test_one_text_is_no_set_of_roles() -> None:
    """It would be one of letters."""
    with pytest.raises(TypeError, match="roles"):
        guarded(roles="admin")


def test_a_decorator_needs_the_extension() -> None:
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/admin", "admin", guarded(roles={"admin"})(who))
    with pytest.raises(RuntimeError, match="KeybearerGuard"):
        app.test_client().get("/admin")
