"""Reading the feed: the whole state, or what has changed since a position."""

from keybearer.guard.state import Entry, KeySetChanged, RevokedSession, RevokedUser
from keybearer.server.domain.revocations import FeedSnapshot, FeedTail
from keybearer.server.storage.operations.log import EntryKind
from keybearer.server.storage.rows import APPLICATION_STATE, KEY_STATE, application_state, key_state, uuid_of
from keybearer.server.storage.statements import Access, Row, Statement, Steps, operation

TAIL_LIMIT = 1000
"""Entries of one answer. A follower that is further behind asks again at once."""

_FEED = "SELECT epoch, position, key_set_version, clock_ms() AS now FROM feed"
_APPLICATIONS = f"SELECT a.id, {APPLICATION_STATE} FROM application a ORDER BY a.id"
_KEYS = f"SELECT k.id, {KEY_STATE} FROM api_key k ORDER BY k.id"
_REVOKED = """
    SELECT kind, subject_id, max(ver) AS ver, max(expires_at) AS expires_at FROM revocation
    WHERE kind IN ('session', 'user') AND expires_at > $1 GROUP BY kind, subject_id"""

# The feed's row comes back even when nothing has changed; then it has no entry beside it.
_TAIL = f"""
    SELECT f.epoch, f.position AS head, f.floor, f.now, r.position, r.kind, r.subject_id, r.ver, r.expires_at,
           {APPLICATION_STATE}, {KEY_STATE}
    FROM (SELECT epoch, position, floor, clock_ms() AS now FROM feed) f
    LEFT JOIN (SELECT * FROM revocation WHERE position > $1 ORDER BY position LIMIT {TAIL_LIMIT}) r ON 1 = 1
    LEFT JOIN application a ON r.kind = 'application' AND a.id = r.subject_id
    LEFT JOIN api_key k ON r.kind = 'key' AND k.id = r.subject_id
    ORDER BY r.position"""


@operation(Access.SNAPSHOT)
def snapshot() -> Steps[FeedSnapshot]:
    (feed,) = yield Statement(_FEED)
    applications = yield Statement(_APPLICATIONS)
    keys = yield Statement(_KEYS)
    revoked = yield Statement(_REVOKED, (feed["now"],))
    entries = [_revoked(row) for row in revoked]
    return FeedSnapshot(
        epoch=feed["epoch"],
        position=feed["position"],
        as_of=feed["now"],
        key_set_version=feed["key_set_version"],
        applications=tuple(application_state(row, row["id"]) for row in applications),
        keys=tuple(key_state(row, row["id"]) for row in keys),
        sessions=tuple(entry for entry in entries if isinstance(entry, RevokedSession)),
        users=tuple(entry for entry in entries if isinstance(entry, RevokedUser)),
    )


def _revoked(row: Row) -> RevokedSession | RevokedUser:
    subject = str(uuid_of(row["subject_id"]))
    if row["kind"] == EntryKind.SESSION:
        return RevokedSession(subject, row["expires_at"])
    return RevokedUser(subject, row["ver"], row["expires_at"])


@operation(Access.READ)
def tail(epoch: str, position: int) -> Steps[FeedTail]:
    rows = yield Statement(_TAIL, (position,))
    feed = rows[0]
    if feed["epoch"] != epoch or position > feed["head"] or position < feed["floor"]:
        return FeedTail(feed["epoch"], feed["head"], feed["now"], (), reset=True)
    more = len(rows) == TAIL_LIMIT
    last = rows[-1]["position"] if more else feed["head"]
    found = [row for row in rows if row["position"] is not None]
    positions = tuple(row["position"] for row in found)
    return FeedTail(epoch, last, feed["now"], tuple(map(_entry, found)), positions, more=more)


def _entry(row: Row) -> Entry:
    kind, subject = EntryKind(row["kind"]), row["subject_id"]
    match kind:
        case EntryKind.SESSION | EntryKind.USER:
            return _revoked(row)
        case EntryKind.APPLICATION:
            return application_state(row, subject)
        case EntryKind.KEY:
            return key_state(row, subject)
        case EntryKind.KEY_SET:
            return KeySetChanged(row["ver"])
