"""`keybearer backup`, `restore` and `after-restore`: a copy of the database, and the way back to it."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from keybearer.cli.ending import WRONGLY_ASKED, fail
from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, command
from keybearer.server import app as composition
from keybearer.server.adapters.clock import SystemClock
from keybearer.server.cli.instants import instant
from keybearer.server.cli.working import explained, operator, with_secret_keys
from keybearer.server.domain.revocations import EpochBegun
from keybearer.server.settings import Settings, load_settings
from keybearer.server.storage import sqlite_files
from keybearer.server.storage.schema import SchemaState, current_revision, migrate, schema_state
from keybearer.server.storage.sqlite_files import FileRefused, OnProgress

File = Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False)]
KeepSessions = Annotated[
    bool,
    typer.Option("--keep-sessions", help="End none: what was revoked in the time that is lost is accepted again."),
]

_OVER = "All sessions are over, and no token that was issued before is accepted any more: users log in again."
_KEPT = "Sessions go on. Those that were revoked in the time that is lost are accepted again: revoke them anew."
_AS_IT_WAS = "Users, passwords, roles, applications and Api-Keys are as they were then."


app = make_app()


@command(app, "backup")
def backup(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace the file, if it is a backup.")] = False,
) -> Shown:
    """Copy the SQLite database into a file; the service may run."""
    with _explained():
        settings = load_settings(os.environ)
        database = _require_sqlite(settings, "pg_dump")
        revision = current_revision(settings.database)
        if revision is None:
            fail(f"There is nothing to back up: {database} has no tables.")
        if file.exists():
            _require_old_backup(file, database, force=force)
        with _progress() as on_progress:
            sqlite_files.copy_to(database, file, on_progress)
        values = {"file": str(file), "bytes": file.stat().st_size, **_describe_contents(file, revision)}
    return Record(values, f"The key-encryption key is not in it: keep a copy of {_place_of_key(settings)} elsewhere.")


@command(app, "restore")
def restore(file: File, keep_sessions: KeepSessions = False) -> Shown:
    """Put a backup in the place of the SQLite database. Stop the service first.

    All sessions end, and all keys that make tokens are replaced. The old database is kept beside the new one.
    """
    with _explained():
        settings = load_settings(os.environ)
        database = _require_sqlite(settings, "pg_restore, and then `keybearer after-restore`").resolve()
        sqlite_files.require_unused(database)
        with sqlite_files.new_file(database) as copy:
            _copy_backup(file, copy)
            sqlite_files.give_to_owner_of(database, copy)
            values = _describe_contents(copy, _migrate(file, copy))
            begun = asyncio.run(_begin_epoch(settings, copy, keep_sessions=keep_sessions))
            old = database.with_name(f"{database.name}.before-{_stamp(begun.at)}")
            was_there = sqlite_files.replace_database(database, copy, old)
    kept = str(old) if was_there else None
    values |= {"database": str(database), **_describe_epoch(begun), "old_database": kept}
    return Record(values, _note(keep_sessions=keep_sessions, old=kept))


@command(app, "after-restore")
def after_restore(keep_sessions: KeepSessions = False) -> Shown:
    """Go on with a database that was restored by other means, or with a standby that was promoted.

    All sessions end, and all keys that make tokens are replaced. Services that verify tokens take the whole state anew.
    """
    begun = with_secret_keys(lambda keys: keys.begin_epoch(operator(), keep_sessions=keep_sessions))
    return Record(_describe_epoch(begun), _note(keep_sessions=keep_sessions))


@contextmanager
def _explained() -> Iterator[None]:
    with explained():
        try:
            yield
        except FileRefused as error:
            fail(str(error))


def _require_sqlite(settings: Settings, instead: str) -> Path:
    path = settings.sqlite_path
    if path is None:
        fail(f"This is for SQLite. With PostgreSQL use {instead}: docs/operations.md says how.", WRONGLY_ASKED)
    return path


def _require_old_backup(file: Path, database: Path, *, force: bool) -> None:
    if not force:
        fail(f"{file} is there already: choose another name, or --force to replace it.")
    if file.samefile(database) or not sqlite_files.is_database(file):
        fail(f"{file} is no backup, and is not replaced: choose another name.")
    sqlite_files.require_unused(file)


def _place_of_key(settings: Settings) -> str:
    if settings.key_encryption_key is not None:
        return "KEYBEARER_KEY_ENCRYPTION_KEY"
    return str(settings.key_encryption_key_file or settings.key_file_beside_database)


def _copy_backup(file: Path, copy: Path) -> None:
    sqlite_files.check(file)
    with _progress() as on_progress:
        sqlite_files.copy_to(file, copy, on_progress)


def _migrate(file: Path, copy: Path) -> str | None:
    """Bring the copy to this release; the revision that the backup has."""
    url = f"sqlite:///{copy}"
    revision, state = current_revision(url), schema_state(url)
    if state is SchemaState.EMPTY:
        fail(f"{file} is no backup of Keybearer.")
    if state is SchemaState.AHEAD:
        fail(f"{file} is the backup of a newer release; use that release.")
    migrate(url)
    return revision


async def _begin_epoch(settings: Settings, copy: Path, *, keep_sessions: bool) -> EpochBegun:
    """On the copy, so that the database is in its final state as soon as it is in its place."""
    encryption = composition.build_key_encryption(settings)
    async with composition.open_storage(replace(settings, database=f"sqlite:///{copy}")) as storage:
        keys = composition.build_secret_keys(settings, storage, encryption)
        return await keys.begin_epoch(operator(), keep_sessions=keep_sessions)


def _describe_contents(path: Path, revision: str | None) -> dict[str, Any]:
    contents = sqlite_files.read_contents(path, SystemClock().now())
    return {
        "revision": revision,
        "last_event_at": instant(contents.last_event_at),
        "epoch": contents.epoch,
        "position": contents.position,
        "sessions": contents.sessions,
    }


def _describe_epoch(begun: EpochBegun) -> dict[str, Any]:
    return {"epoch": begun.epoch, "position": begun.position, "sessions_ended": begun.sessions}


def _note(*, keep_sessions: bool, old: str | None = None) -> str:
    note = f"{_KEPT if keep_sessions else _OVER} {_AS_IT_WAS}"
    if old is None:
        return note
    return f"{note} What was done since, and may have to be done again: keybearer --database sqlite:///{old} audit list"


def _stamp(milliseconds: int) -> str:
    """An instant for a file's name."""
    return str(instant(milliseconds)).translate({ord("-"): None, ord(":"): None})


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """A bar on stderr, at a terminal only."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Copying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
