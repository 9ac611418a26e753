"""Client applications."""

from collections.abc import Sequence
from uuid import UUID

from keybearer.server.domain.applications import Application
from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.storage.operations import endings, log, trail
from keybearer.server.storage.rows import APPLICATION, application, list_text, uuid_of
from keybearer.server.storage.statements import Access, Statement, Steps, operation

_INSERT = """
    INSERT INTO application (id, name, kind, origins, created_at, disabled_at, access_token_lifetime,
                             session_idle_lifetime, session_absolute_lifetime)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    RETURNING clock_ms() AS now"""
_FIND = f"SELECT {APPLICATION} FROM application a WHERE a.id = $1"
_LIST = f"SELECT {APPLICATION} FROM application a ORDER BY a.created_at, a.id"
_LOCK = f"SELECT {APPLICATION}, clock_ms() AS now FROM application a WHERE a.id = $1 FOR NO KEY UPDATE"
_SET_DISABLED = "UPDATE application SET disabled_at = $2 WHERE id = $1"
_STILL_HELD = """
    SELECT id, access_until FROM session
    WHERE application_id = $1 AND revoked_reason = 'application_disabled' AND access_until > $2 ORDER BY id"""


@operation(Access.TRANSACTION)
def create(new: Application, actor: Actor) -> Steps[None]:
    lifetimes = new.lifetimes
    (row,) = yield Statement(
        _INSERT,
        (
            *(new.id, new.name, new.kind.value, list_text(new.origins), new.created_at, new.disabled_at),
            *(lifetimes.access_token, lifetimes.session_idle, lifetimes.session_absolute),
        ),
    )
    yield from trail.write(row["now"], AuditEvent(AuditKind.APPLICATION_CREATED, actor, application_id=new.id))
    yield from log.append(log.state_entry(log.EntryKind.APPLICATION, new.id, row["now"]))


@operation(Access.READ)
def find(application_id: UUID) -> Steps[Application | None]:
    rows = yield Statement(_FIND, (application_id,))
    return application(rows[0]) if rows else None


@operation(Access.READ)
def list_applications() -> Steps[Sequence[Application]]:
    rows = yield Statement(_LIST)
    return [application(row) for row in rows]


@operation(Access.BULK)
def set_enabled(application_id: UUID, enabled: bool, actor: Actor) -> Steps[Application | None]:
    rows = yield Statement(_LOCK, (application_id,))
    if not rows:
        return None
    now: int = rows[0]["now"]
    if (rows[0]["disabled_at"] is None) == enabled:
        return application(rows[0])
    yield Statement(_SET_DISABLED, (application_id, None if enabled else now))
    yield from (_enable if enabled else _disable)(application_id, now, actor)
    (row,) = yield Statement(_FIND, (application_id,))
    return application(row)


def _disable(application_id: UUID, now: int, actor: Actor) -> Steps[None]:
    """One entry says it all: followers refuse the application, and with it every access token of it."""
    count = yield from endings.end_of_application(application_id, now)
    detail = {"sessions": str(count)}
    event = AuditEvent(AuditKind.APPLICATION_DISABLED, actor, application_id=application_id, detail=detail)
    yield from trail.write(now, event)
    yield from log.append(log.state_entry(log.EntryKind.APPLICATION, application_id, now))


def _enable(application_id: UUID, now: int, actor: Actor) -> Steps[None]:
    """What disabling ended stays ended: each access token that would hold again is named, before the application is."""
    rows = yield Statement(_STILL_HELD, (application_id, now))
    yield from trail.write(now, AuditEvent(AuditKind.APPLICATION_ENABLED, actor, application_id=application_id))
    yield from log.append(
        *(log.session_entry(uuid_of(row["id"]), row["access_until"]) for row in rows),
        log.state_entry(log.EntryKind.APPLICATION, application_id, now),
    )
