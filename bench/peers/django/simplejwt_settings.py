"""djangorestframework-simplejwt as its getting-started page sets it up, with rotation and the blacklist.

Its stateless authentication, which reads no user from the database, is the fastest check that the package offers.
"""

from datetime import timedelta

from common import *  # noqa: F403 - to Django a module's names are the settings
from common import APPS

INSTALLED_APPS = [*APPS, "rest_framework", "rest_framework_simplejwt.token_blacklist"]
ROOT_URLCONF = "simplejwt_urls"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(hours=1),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
}
