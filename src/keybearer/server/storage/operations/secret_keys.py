"""Secret keys, sealed, and their way from next to active to retired."""

from collections.abc import Sequence

from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.secret_keys import KeyPurpose, SecretKey
from keybearer.server.storage.operations import log, trail
from keybearer.server.storage.rows import secret_key
from keybearer.server.storage.statements import Access, Row, Rows, Statement, Steps, operation

_COLUMNS = """id, purpose, algorithm, kid, state, encrypted, created_at, usable_from, activated_at,
    retired_at"""
_LIST = f"SELECT {_COLUMNS} FROM secret_key ORDER BY created_at, id"
_INSERT = f"""
    INSERT INTO secret_key ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT DO NOTHING RETURNING id, purpose, kid, clock_ms() AS now"""
_LOCK = "SELECT id, purpose, kid, state, usable_from, clock_ms() AS now FROM secret_key WHERE id = $1 FOR UPDATE"
_RETIRE = """
    UPDATE secret_key SET state = 'retired', retired_at = $2 WHERE purpose = $1 AND state = 'active'
    RETURNING id, purpose, kid"""
_ACTIVATE = "UPDATE secret_key SET state = 'active', activated_at = $2 WHERE id = $1"
_REMOVE_ALL = "DELETE FROM secret_key RETURNING id, purpose, kid"
_REMOVE = """
    DELETE FROM secret_key WHERE purpose = $1 AND state = 'retired' AND retired_at < $2
    RETURNING id, purpose, kid, clock_ms() AS now"""


@operation(Access.READ)
def list_keys() -> Steps[Sequence[SecretKey]]:
    rows = yield Statement(_LIST)
    return [secret_key(row) for row in rows]


@operation(Access.TRANSACTION)
def add(key: SecretKey, actor: Actor) -> Steps[bool]:
    rows = yield _insert(key)
    if not rows:
        return False
    yield from trail.write(rows[0]["now"], _event(AuditKind.SECRET_KEY_CREATED, rows[0], actor))
    yield from _announce(rows[0]["now"])
    return True


def _insert(key: SecretKey) -> Statement:
    return Statement(
        _INSERT,
        (
            *(key.id, key.purpose.value, key.algorithm, key.kid, key.state.value, key.encrypted),
            *(key.created_at, key.usable_from, key.activated_at, key.retired_at),
        ),
    )


def _event(kind: AuditKind, row: Row, actor: Actor, **detail: str) -> AuditEvent:
    facts = {"key": str(row["id"]), "purpose": row["purpose"], "kid": row["kid"]}
    return AuditEvent(kind, actor, detail={**facts, **detail})


def _removed(rows: Rows, actor: Actor) -> list[AuditEvent]:
    return [_event(AuditKind.SECRET_KEY_RETIRED, row, actor, removed="true") for row in rows]


def replace_all(keys: Sequence[SecretKey], now: int, actor: Actor) -> Steps[None]:
    """These keys for all others; the caller tells the followers."""
    removed = yield Statement(_REMOVE_ALL)
    yield from trail.write(now, *_removed(removed, actor))
    for key in keys:
        (row,) = yield _insert(key)
        yield from trail.write(now, _event(AuditKind.SECRET_KEY_CREATED, row, actor))


def _announce(now: int) -> Steps[None]:
    """Tell the followers that they have keys to load; a guard reads the public set again, and finds it unchanged when
    the key was for refresh tokens."""
    yield from log.append(log.state_entry(log.EntryKind.KEY_SET, None, now))


@operation(Access.TRANSACTION)
def activate(key_id: int, actor: Actor) -> Steps[bool]:
    rows = yield Statement(_LOCK, (key_id,))
    if not rows or rows[0]["state"] != "next" or rows[0]["usable_from"] > rows[0]["now"]:
        return False
    (row,), now = rows, rows[0]["now"]
    retired = yield Statement(_RETIRE, (row["purpose"], now))
    yield Statement(_ACTIVATE, (key_id, now))
    events = [_event(AuditKind.SECRET_KEY_RETIRED, old, actor) for old in retired]
    yield from trail.write(now, *events, _event(AuditKind.SECRET_KEY_ACTIVATED, row, actor))
    yield from _announce(now)
    return True


@operation(Access.TRANSACTION)
def remove_retired(purpose: KeyPurpose, retired_before: int, actor: Actor) -> Steps[int]:
    rows = yield Statement(_REMOVE, (purpose, retired_before))
    if rows:
        now: int = rows[0]["now"]
        yield from trail.write(now, *_removed(rows, actor))
        yield from _announce(now)
    return len(rows)
