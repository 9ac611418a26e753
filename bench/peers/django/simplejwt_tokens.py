"""Tokens of new sessions, as the package's log-in makes them."""

from django.contrib.auth.models import User
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken


def make_access(user: User) -> str:
    return str(AccessToken.for_user(user))


def make_refresh(user: User) -> str:
    return str(RefreshToken.for_user(user))
