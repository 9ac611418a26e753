"""SQLite files as a whole: copied while the service writes, looked into, put in the place of one another.

All functions block: they are for the command line. They raise `FileRefused` for what is wrong with a file.

A copy is made with VACUUM INTO. It reads in one transaction, so it is of one moment whoever writes meanwhile; it is a
single file, without a log beside it; it has no remains of rows that were deleted; and it has read every row, so that a
damaged page is found when the copy is made. SQLite's online backup interface has only the first of these.
"""

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from keybearer.server.storage.sqlite import connect

OnProgress = Callable[[int, int], None]
"""Takes how many bytes have been written, and about how many there will be."""

_HEADER = b"SQLite format 3\0"
_STEPS = 100_000
"""Steps of SQLite's machine between two reports of progress: some milliseconds."""

_LOCK_BYTES = (512, 0x40000000)
"""Length and offset of the bytes that SQLite locks (file format, section 1.6, the lock-byte page). In WAL mode every
connection holds some of them for as long as it is open."""

_BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the names of files that belong to a database, and that SQLite would take for those of its successor."""

_FEED = "SELECT epoch, position FROM feed"
_SESSIONS = "SELECT count(*) FROM session WHERE revoked_at IS NULL AND idle_until > ?1 AND absolute_until > ?1"
_LAST_EVENT = "SELECT at FROM audit_event ORDER BY id DESC LIMIT 1"


class FileRefused(Exception):
    """A file cannot be copied, taken or replaced; the message says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a database: `sessions` that can still be refreshed, and when the audit trail was last written to."""

    epoch: str
    position: int
    sessions: int
    last_event_at: int | None


def copy_to(source: Path, target: Path, on_progress: OnProgress) -> None:
    """Make `target` a copy of the database, whole and on the disk before it has this name, readable by its owner only.

    The source may be in use. Nothing is left behind when it fails.
    """
    with _refusals(source), closing(_open_to_read(source)) as connection:
        with new_file(target) as copy:
            _vacuum_into(connection, copy, on_progress)
            _sync(copy)
            copy.replace(target)
        _sync(target.parent)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """An empty file beside `target`, of mode 0600; removed in the end unless it has got another name."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for end in ("", *_BESIDE):
            Path(name + end).unlink(missing_ok=True)


def check(path: Path) -> None:
    """Read the whole file and compare its indexes and references with its rows."""
    with _refusals(path), closing(_open_to_read(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone():
            raise FileRefused(f"{path} is damaged; take another backup.")


def read_contents(path: Path, now: int) -> Contents:
    """What a database with our tables holds at `now`, in milliseconds."""
    with _refusals(path), closing(_open_to_read(path)) as connection:
        epoch, position = connection.execute(_FEED).fetchone()
        (sessions,) = connection.execute(_SESSIONS, (now,)).fetchone()
        last = connection.execute(_LAST_EVENT).fetchone()
    return Contents(epoch, position, sessions, None if last is None else last[0])


def is_database(path: Path) -> bool:
    """Whether the file says that it is SQLite's."""
    with _refusals(path), path.open("rb") as file:
        return file.read(len(_HEADER)) == _HEADER


def require_unused(path: Path) -> None:
    """Raise FileRefused while a process has the database open. A file that is not there is not in use."""
    with _locked(path):
        pass


def replace_database(path: Path, replacement: Path, kept_as: Path) -> bool:
    """Put `replacement` in the place of the database at once, and keep the old one. False when there was none.

    What belongs to the old one and is not in its file (a log, after a crash) is kept beside it. Raises FileRefused, and
    has changed nothing, while a process has the database open.
    """
    _write_back(path)
    _sync(replacement)
    with _refusals(path), _locked(path) as there:
        for end in _BESIDE:
            with suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{kept_as}{end}")
        if there:
            os.link(path, kept_as)
        replacement.replace(path)
        _sync(path.parent)
    return there


def give_to_owner_of(path: Path, replacement: Path) -> None:
    """Let the file belong to whom the other one belongs, if that is there: the service may not run as who restores."""
    with _refusals(replacement), suppress(FileNotFoundError):
        owner, own = path.stat(), replacement.stat()
        if (owner.st_uid, owner.st_gid) != (own.st_uid, own.st_gid):
            os.chown(replacement, owner.st_uid, owner.st_gid)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Whatever keeps the file from being read or written raises FileRefused."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise FileRefused(f"{path} cannot be used: {error}.") from error
    except OSError as error:
        raise FileRefused(f"{error.filename or path} cannot be used: {error.strerror}.") from error


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _vacuum_into(connection: sqlite3.Connection, target: Path, on_progress: OnProgress) -> None:
    def report() -> None:
        on_progress(target.stat().st_size, total)

    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    total = (pages - free) * size
    connection.set_progress_handler(report, _STEPS)
    connection.execute("VACUUM INTO ?", (str(target),))
    on_progress(total, total)


def _sync(path: Path) -> None:
    """Let the file, or the names in the directory, be on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold what SQLite locks, so that no process opens the database meanwhile; answers whether there is one. By hand,
    because SQLite refuses to lock a damaged file, which is the very one to be replaced."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCK_BYTES)
        except (BlockingIOError, PermissionError):
            raise FileRefused(f"A process has {path} open: stop the service first.") from None
        yield True
    finally:
        os.close(descriptor)


def _write_back(path: Path) -> None:
    """Let the log be written into the file, as the last connection to it does; a damaged one stays as it is."""
    if path.exists():
        with suppress(sqlite3.DatabaseError), closing(connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
