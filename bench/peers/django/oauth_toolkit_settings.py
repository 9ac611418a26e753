"""django-oauth-toolkit as its tutorial sets it up: opaque tokens, introspection, and refresh tokens that rotate, which
they do by default."""

from common import *  # noqa: F403 - to Django a module's names are the settings
from common import APPS

INSTALLED_APPS = [*APPS, "oauth2_provider"]
ROOT_URLCONF = "oauth_toolkit_urls"
OAUTH2_PROVIDER = {"SCOPES": {"read": "Reading scope", "introspection": "Introspect tokens"}}
