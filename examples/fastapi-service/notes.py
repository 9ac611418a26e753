"""Notes in an SQLite file, each of one user. Nobody's notes are read or removed without the name of their owner."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_NOTES = 1000
"""How many of a user's notes are listed, the newest first."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS note (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ'))
);
CREATE INDEX IF NOT EXISTS note_of_user ON note (user_id, id);
"""


@dataclass(frozen=True, slots=True)
class Note:
    id: int
    text: str
    created_at: str


class Notes:
    """Safe to call from several threads: every call has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._connected() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def add(self, user_id: str, text: str) -> Note:
        with self._connected() as connection:
            row = connection.execute(
                "INSERT INTO note (user_id, text) VALUES (?, ?) RETURNING id, text, created_at", (user_id, text)
            ).fetchone()
        return Note(*row)

    def list_notes(self, user_id: str) -> list[Note]:
        """The newest first."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT id, text, created_at FROM note WHERE user_id = ? ORDER BY id DESC LIMIT ?", (user_id, MAX_NOTES)
            ).fetchall()
        return [Note(*row) for row in rows]

    def remove(self, user_id: str, note_id: int) -> bool:
        """False when the user has no such note."""
        with self._connected() as connection:
            removed = connection.execute("DELETE FROM note WHERE id = ? AND user_id = ?", (note_id, user_id))
            return removed.rowcount == 1

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection whose transaction is committed when the block ends well."""
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            yield connection
