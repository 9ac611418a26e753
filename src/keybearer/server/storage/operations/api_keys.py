"""Api-Keys."""

from collections.abc import Sequence
from uuid import UUID

from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.storage.operations import log, trail
from keybearer.server.storage.rows import API_KEY, api_key, list_text
from keybearer.server.storage.statements import Access, Repeat, Statement, Steps, operation

_INSERT = """
    INSERT INTO api_key (id, application_id, kind, key_hash, hint, permissions, created_at, expires_at, revoked_at,
                         last_used_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    RETURNING clock_ms() AS now"""
_LIST_OF_ALL = f"SELECT {API_KEY} FROM api_key k ORDER BY k.created_at, k.id"
_LIST_OF_ONE = f"SELECT {API_KEY} FROM api_key k WHERE k.application_id = $1 ORDER BY k.created_at, k.id"
_LOCK = f"SELECT {API_KEY}, clock_ms() AS now FROM api_key k WHERE k.id = $1 FOR NO KEY UPDATE"
_REVOKE = "UPDATE api_key SET revoked_at = $2 WHERE id = $1"
_RECORD_USE = "UPDATE api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"


@operation(Access.TRANSACTION)
def create(key: ApiKey, actor: Actor) -> Steps[None]:
    (row,) = yield Statement(
        _INSERT,
        (
            *(key.id, key.application_id, key.kind.value, key.key_hash, key.hint),
            *(list_text(sorted(key.permissions)), key.created_at, key.expires_at, key.revoked_at, key.last_used_at),
        ),
    )
    yield from trail.write(row["now"], _event(AuditKind.API_KEY_CREATED, key, actor))
    yield from log.append(log.state_entry(log.EntryKind.KEY, key.id, row["now"]))


def _event(kind: AuditKind, key: ApiKey, actor: Actor) -> AuditEvent:
    return AuditEvent(kind, actor, application_id=key.application_id, detail={"key": str(key.id), "kind": key.kind})


@operation(Access.READ)
def list_keys(application_id: UUID | None) -> Steps[Sequence[ApiKey]]:
    if application_id is None:
        rows = yield Statement(_LIST_OF_ALL)
    else:
        rows = yield Statement(_LIST_OF_ONE, (application_id,))
    return [api_key(row) for row in rows]


@operation(Access.TRANSACTION)
def revoke(key_id: UUID, actor: Actor) -> Steps[ApiKey | None]:
    rows = yield Statement(_LOCK, (key_id,))
    if not rows:
        return None
    key, now = api_key(rows[0]), rows[0]["now"]
    if key.revoked_at is not None:
        return key
    yield Statement(_REVOKE, (key_id, now))
    yield from trail.write(now, _event(AuditKind.API_KEY_REVOKED, key, actor))
    yield from log.append(log.state_entry(log.EntryKind.KEY, key_id, now))
    (row,) = yield Statement(_LOCK, (key_id,))
    return api_key(row)


@operation(Access.TRANSACTION)
def record_use(used: Sequence[tuple[UUID, int]]) -> Steps[None]:
    yield Repeat(_RECORD_USE, sorted(used))  # in the order of their ids: two processes note the same keys
