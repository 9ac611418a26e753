"""Tokens of new sessions, as the package's log-in makes them, of one public client.

Introspection asks for a token of its own with the scope for it, as the page on resource servers shows; a client's
secret instead would be hashed at each request.
"""

from datetime import timedelta
from functools import cache
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application, RefreshToken
from oauthlib.common import generate_token


@cache
def _application() -> Application:
    return Application.objects.create(
        name="Bench",
        client_id="bench",
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_PASSWORD,
    )


def _make(user: User, scope: str) -> AccessToken:
    expires = timezone.now() + timedelta(hours=1)
    return AccessToken.objects.create(
        user=user, application=_application(), token=generate_token(), expires=expires, scope=scope
    )


def make_access(user: User) -> str:
    return _make(user, "read").token


def make_refresh(user: User) -> str:
    made = RefreshToken.objects.create(
        user=user,
        application=_application(),
        token=generate_token(),
        access_token=_make(user, "read"),
        token_family=uuid4(),
    )
    return made.token


def make_key(user: User) -> str:
    return _make(user, "introspection").token
