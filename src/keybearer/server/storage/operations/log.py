"""Writing the feed: every change of a credential appends its entries in its own transaction, as the last thing it does.

The counter's row is locked from then to the commit, so positions are in the order of the commits, and a follower that
has seen one has seen all before it.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from keybearer.server.domain.revocations import ENTRY_GRACE, STATE_ENTRY_LIFETIME
from keybearer.server.storage.statements import Combined, Repeat, Rows, Statement, Steps

GRACE_MS = ENTRY_GRACE * 1000


class EntryKind(StrEnum):
    SESSION = "session"
    USER = "user"
    APPLICATION = "application"
    KEY = "key"
    KEY_SET = "key_set"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """`ver` is a user's authorization version, and 0 for everything else."""

    kind: EntryKind
    subject_id: UUID | None
    expires_at: int
    ver: int = 0


def session_entry(session_id: UUID, access_until: int) -> NewEntry:
    """`access_until`: when the session's last access token ends."""
    return NewEntry(EntryKind.SESSION, session_id, access_until + GRACE_MS)


def user_entry(user_id: UUID, ver: int, access_until: int) -> NewEntry:
    """`access_until`: when the last access token of the user with a lower `ver` ends."""
    return NewEntry(EntryKind.USER, user_id, access_until + GRACE_MS, ver)


def state_entry(kind: EntryKind, subject_id: UUID | None, now: int) -> NewEntry:
    """Says that something has changed; followers are told its state as it is when they ask."""
    return NewEntry(kind, subject_id, now + STATE_ENTRY_LIFETIME * 1000)


_COUNT = """UPDATE feed SET position = position + $1, key_set_version = key_set_version + $2
    RETURNING position, key_set_version"""
_APPEND = """
    WITH counter AS (
        UPDATE feed SET position = position + $1, key_set_version = key_set_version + $2
        RETURNING position, key_set_version
    )
    INSERT INTO revocation (position, kind, subject_id, ver, expires_at)
    SELECT counter.position - $1 + entry.number, entry.kind, entry.subject_id,
           CASE entry.kind WHEN 'key_set' THEN counter.key_set_version ELSE entry.ver END, entry.expires_at
    FROM counter CROSS JOIN
         unnest($3::text[], $4::uuid[], $5::bigint[], $6::bigint[])
         WITH ORDINALITY AS entry (kind, subject_id, ver, expires_at, number)"""
_INSERT = "INSERT INTO revocation (position, kind, subject_id, ver, expires_at) VALUES ($1, $2, $3, $4, $5)"


def append(*entries: NewEntry) -> Steps[None]:
    """Append entries, in this order. An entry for the key set raises its version."""
    if not entries:
        return
    key_sets = sum(entry.kind is EntryKind.KEY_SET for entry in entries)
    columns = (
        [entry.kind.value for entry in entries],
        [entry.subject_id for entry in entries],
        [entry.ver for entry in entries],
        [entry.expires_at for entry in entries],
    )
    yield Combined(
        Statement(_APPEND, (len(entries), key_sets, *columns)), lambda: _append_step_by_step(entries, key_sets)
    )


def _append_step_by_step(entries: tuple[NewEntry, ...], key_sets: int) -> Steps[Rows]:
    (counter,) = yield Statement(_COUNT, (len(entries), key_sets))
    first = counter["position"] - len(entries) + 1
    version = counter["key_set_version"]
    yield Repeat(
        _INSERT,
        [
            (
                *(first + index, entry.kind.value, entry.subject_id),
                version if entry.kind is EntryKind.KEY_SET else entry.ver,
                entry.expires_at,
            )
            for index, entry in enumerate(entries)
        ],
    )
    return ()
