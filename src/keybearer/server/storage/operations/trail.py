"""The audit trail."""

import json
from collections.abc import Sequence

from keybearer.server.domain.audit import AuditEvent, RecordedEvent
from keybearer.server.storage.rows import recorded_event
from keybearer.server.storage.statements import Access, Repeat, Statement, Steps, operation

COLUMNS = "at, kind, actor_kind, address, agent, request_id, user_id, application_id, session_id, detail"
_INSERT = f"INSERT INTO audit_event ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_INSERT_NOW = f"INSERT INTO audit_event ({COLUMNS}) VALUES (clock_ms(), $1, $2, $3, $4, $5, $6, $7, $8, $9)"
_LIST = f"SELECT id, {COLUMNS} FROM audit_event WHERE id < $1 ORDER BY id DESC LIMIT $2"
_BEYOND_ALL_IDS = (1 << 63) - 1


def _values(event: AuditEvent) -> tuple[object, ...]:
    actor = event.actor
    return (
        *(event.kind, actor.kind, actor.address, actor.agent, actor.request_id),
        *(event.user_id, event.application_id, event.session_id),
        json.dumps(event.detail, ensure_ascii=False),
    )


def write(at: int, *events: AuditEvent) -> Steps[None]:
    """The lines of a change, in its transaction."""
    if len(events) == 1:
        yield Statement(_INSERT, (at, *_values(events[0])))
    elif events:
        yield Repeat(_INSERT, [(at, *_values(event)) for event in events])


@operation(Access.SINGLE)
def record(event: AuditEvent) -> Steps[None]:
    yield Statement(_INSERT_NOW, _values(event))


@operation(Access.READ)
def list_events(limit: int, before: int | None) -> Steps[Sequence[RecordedEvent]]:
    rows = yield Statement(_LIST, (_BEYOND_ALL_IDS if before is None else before, limit))
    return [recorded_event(row) for row in rows]
