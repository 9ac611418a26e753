"""`python prepare.py <peer> <access tokens> <refresh tokens> <rounds> <password>`: the database, users with one
password, and tokens, as files a line each in BENCH_DIRECTORY."""

import importlib
import os
import sys
from typing import Any

import django

USERS = 100


def main() -> None:
    peer, checks, refreshes, rounds, password = sys.argv[1:]
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{peer}_settings"
    django.setup()

    from django.core.management import call_command  # noqa: PLC0415 - Django has to be set up before
    from django.db import transaction  # noqa: PLC0415 - as above

    call_command("migrate", verbosity=0)
    tokens = importlib.import_module(f"{peer}_tokens")
    with transaction.atomic():
        users = _make_users(password)
        _write("users", [f"{user.username} {password}" for user in users])
        if hasattr(tokens, "make_key"):
            _write("key", [tokens.make_key(users[0])])
        _write("access", [tokens.make_access(users[number % USERS]) for number in range(int(checks))])
        for turn in range(int(rounds)):
            made = [tokens.make_refresh(users[number % USERS]) for number in range(int(refreshes))]
            _write(f"refresh-{turn}", made)


def _make_users(password: str) -> list[Any]:
    from django.contrib.auth.hashers import make_password  # noqa: PLC0415 - as above
    from django.contrib.auth.models import User  # noqa: PLC0415 - as above

    hashed = make_password(password)
    return User.objects.bulk_create([User(username=f"user{number}", password=hashed) for number in range(USERS)])


def _write(name: str, lines: list[str]) -> None:
    from django.conf import settings  # noqa: PLC0415 - as above

    (settings.DIRECTORY / name).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
