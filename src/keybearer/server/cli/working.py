"""How a command of the service does its work: settings read, database ready, storage open; and failures said in one
line."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.errors import ServiceError
from keybearer.server import app
from keybearer.server.adapters.common_passwords import CommonPasswords
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.domain.audit import Actor
from keybearer.server.flows.administration import Administration, AdministrationError
from keybearer.server.flows.secret_keys import SecretKeys
from keybearer.server.ports import KeyEncryptionError, Storage
from keybearer.server.settings import Settings, SettingsError, load_settings
from keybearer.server.storage.schema import SchemaState, migrate, schema_state

T = TypeVar("T")


def administer(work: Callable[[Administration], Awaitable[T]]) -> T:
    """What `work` returns, done on the database of the settings. Ends the command when it cannot be done."""

    async def run(settings: Settings) -> T:
        async with app.open_storage(settings) as storage:
            with closing(app.build_hasher(settings)) as hasher:
                return await work(
                    Administration(storage, hasher, SystemRandomness(), CommonPasswords(), actor=operator())
                )

    return _run(run)


def with_storage(work: Callable[[Storage], Awaitable[T]]) -> T:
    """As `administer`, for what reads only."""

    async def run(settings: Settings) -> T:
        async with app.open_storage(settings) as storage:
            return await work(storage)

    return _run(run)


def with_secret_keys(work: Callable[[SecretKeys], Awaitable[T]]) -> T:
    """As `administer`, for the secret keys; needs the key-encryption key."""

    async def run(settings: Settings) -> T:
        encryption = app.build_key_encryption(settings)
        async with app.open_storage(settings) as storage:
            return await work(app.build_secret_keys(settings, storage, encryption))

    return _run(run)


def _run(work: Callable[[Settings], Awaitable[T]]) -> T:
    async def run() -> T:
        return await work(settings)

    with explained():
        settings = load_settings(os.environ)
        make_ready(settings)
        return asyncio.run(run())


def make_ready(settings: Settings) -> None:
    """Bring the tables of an embedded database up to date. A server's must be so already: the command fails if not."""
    state = schema_state(settings.database)
    if state is SchemaState.AHEAD:
        fail("A newer release has migrated the database; use that release.")
    if state is SchemaState.CURRENT:
        return
    if settings.sqlite_path is None:
        fail("The tables of the database are not those of this release: run `keybearer migrate`.")
    migrate(settings.database)


def operator() -> Actor:
    """Who the audit trail says it was: the command line, and the operating system's user behind it."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    return Actor("operator", agent=f"keybearer, run by {user}")


@contextmanager
def explained() -> Iterator[None]:
    """Turn what may go wrong into a message and an exit status."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), WRONGLY_ASKED)
    except AdministrationError as error:
        fail(str(error))
    except KeyEncryptionError as error:
        fail(f"{error} `keybearer doctor` says more.")
    except ServiceError as error:
        fail(f"{error.detail} Is KEYBEARER_DATABASE right, and does the database run? `keybearer doctor` says more.")
