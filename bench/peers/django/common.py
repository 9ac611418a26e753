"""What both Django peers share: the settings that Django's own documentation recommends for a service with one SQLite
file, or with PostgreSQL where BENCH_POSTGRES names the directory of its socket. Middleware and applications are the
fewest that the package needs, which favours the peer."""

import os
from pathlib import Path

DIRECTORY = Path(os.environ["BENCH_DIRECTORY"])
SECRET_KEY = "a key of this benchmark's own, long enough for HS256"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]

# Write-ahead log and immediate transactions, as Django's page on databases advises for SQLite under load; connections
# stay open. `synchronous` is at SQLite's default, FULL, as it is with Keybearer.
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": DIRECTORY / "bench.db",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
    },
}

# Connections stay open, which Django's page on databases calls persistent. It advises psycopg 3.
_POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "postgres",
    "USER": "postgres",
    "HOST": os.environ.get("BENCH_POSTGRES"),
    "CONN_MAX_AGE": None,
}
DATABASES = {"default": _POSTGRES if _POSTGRES["HOST"] else _SQLITE}
