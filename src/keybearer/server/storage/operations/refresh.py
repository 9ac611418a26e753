"""Refreshing: one decision on one locked row, by the table of contract.md section 3.

The decision is SQL, the same on both databases, and is written for any number of presented tokens at once. PostgreSQL
decides, changes and records in one statement; SQLite decides in one, and has one for each change and each record.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain

from keybearer.server.domain.audit import Actor, AuditKind
from keybearer.server.domain.sessions import (
    EndReason,
    Moved,
    Presentation,
    RefreshOutcome,
    RefreshRefused,
    Repeated,
    SessionPolicy,
)
from keybearer.server.storage.operations import log, trail
from keybearer.server.storage.rows import GRANTED_USER, SESSION, grant, session, uuid_of
from keybearer.server.storage.statements import Access, Repeat, Row, Rows, Share, Shared, Statement, Steps, operation

MOST_AT_ONCE = 64
"""Members of one statement on SQLite; a power of two."""

_PRESENTED = {
    "session_id": "uuid",
    "presented_place": "bigint",
    "presented_moved_at": "bigint",
    "presented_binder": "bytea",
    "presented_application_id": "uuid",
    "presented_idempotency_hash": "bytea",
    "next_token_key_id": "bigint",
    "actor_kind": "text",
    "address": "text",
    "agent": "text",
    "request_id": "text",
}
"""What was presented, by whom: the columns of `presented` with their types, in the order of the arguments."""


_ARRAYS = ", ".join(f"unnest(${number}::{kind}[])" for number, kind in enumerate(_PRESENTED.values(), 1))
_COMMON = 3
"""Arguments that are the same for all: $12 to $14."""


def _values(count: int) -> str:
    """So many rows of single arguments. Those of all rows but the first come after the common ones."""
    width = len(_PRESENTED)
    firsts = (1, *(1 + width * row + _COMMON for row in range(1, count)))
    return f"VALUES {', '.join(f'({_numbers(first, width)})' for first in firsts)}"


def _numbers(first: int, count: int) -> str:
    return ", ".join(f"${number}" for number in range(first, first + count))


_FOUND = f"""
    SELECT {SESSION}, {GRANTED_USER}, u.status, a.disabled_at AS application_disabled_at,
           COALESCE(a.access_token_lifetime, $12::bigint) * 1000 AS access_lifetime,
           COALESCE(a.session_idle_lifetime, $13::bigint) * 1000 AS idle_lifetime,
           p.*
    FROM presented p
    JOIN session s ON s.id = p.session_id
    JOIN users u ON u.id = s.user_id
    JOIN application a ON a.id = s.application_id
    FOR NO KEY UPDATE OF s"""
"""The rows, as they are once nobody else is changing them."""

_TIMED = """timed AS MATERIALIZED (SELECT found.*, clock_ms() AS now FROM found)"""
"""The clock is read after the lock was had: who waited for it sees no move in the future."""

_JUDGED = """judged AS MATERIALIZED (
    SELECT t.*, t.address <> t.last_address OR t.agent <> t.last_agent AS elsewhere,
           t.now - t.now % 1000 AS issued_at,
           LEAST(t.now - t.now % 1000 + t.access_lifetime, t.absolute_until) AS expires_at,
           CASE
               WHEN binder_of(t.nonce, t.id, t.presented_place, t.presented_moved_at) <> t.presented_binder
                   THEN 'unknown'
               WHEN t.application_id <> t.presented_application_id THEN 'wrong_application'
               WHEN t.revoked_at IS NOT NULL OR t.status <> 'enabled' OR t.application_disabled_at IS NOT NULL
                   THEN 'revoked'
               WHEN t.now >= t.idle_until OR t.now >= t.absolute_until THEN 'expired'
               WHEN t.presented_place > t.place THEN 'regressed'
               WHEN t.presented_place = t.place AND t.presented_moved_at = t.moved_at THEN
                   CASE WHEN t.place = 0 OR $14::bigint = 0 OR t.now - t.moved_at >= $14::bigint
                        THEN 'moved' ELSE 'repeated' END
               WHEN t.presented_place >= t.place - 1 AND (
                   ($14::bigint > 0 AND t.now - t.moved_at < $14::bigint)
                   OR t.presented_idempotency_hash = t.idempotency_hash
               ) THEN 'repeated'
               ELSE 'reused'
           END AS outcome
    FROM timed t
)"""
"""The table of contract.md section 3, from the first reason to refuse to the last."""

_MOVES = "outcome IN ('moved', 'regressed')"
_GRANTS = "outcome IN ('moved', 'regressed', 'repeated')"

_DECIDED = f"""decided AS MATERIALIZED (
    SELECT outcome, elsewhere, now, actor_kind, address, agent, request_id, issued_at, expires_at,
           email, first_name, last_name, roles, ver,
           id, user_id, application_id, nonce, created_at, absolute_until, first_address, first_agent,
           CASE outcome WHEN 'moved' THEN place + 1 WHEN 'regressed' THEN presented_place + 1 ELSE place END AS place,
           CASE WHEN {_MOVES} THEN GREATEST(now, moved_at) ELSE moved_at END AS moved_at,
           CASE WHEN {_MOVES} THEN next_token_key_id ELSE token_key_id END AS token_key_id,
           CASE WHEN {_MOVES} THEN presented_idempotency_hash ELSE idempotency_hash END AS idempotency_hash,
           CASE WHEN {_GRANTS} THEN GREATEST(now, last_used_at) ELSE last_used_at END AS last_used_at,
           CASE WHEN {_GRANTS} THEN LEAST(now + idle_lifetime, absolute_until) ELSE idle_until END AS idle_until,
           CASE WHEN {_GRANTS} THEN GREATEST(access_until, expires_at) ELSE access_until END AS access_until,
           CASE WHEN {_GRANTS} THEN address ELSE last_address END AS last_address,
           CASE WHEN {_GRANTS} THEN agent ELSE last_agent END AS last_agent,
           CASE outcome WHEN 'reused' THEN now ELSE revoked_at END AS revoked_at,
           CASE outcome WHEN 'reused' THEN '{EndReason.REUSE}' ELSE revoked_reason END AS revoked_reason,
           CASE WHEN outcome = 'moved' THEN '{AuditKind.REFRESH}'
                WHEN outcome = 'regressed' THEN '{AuditKind.STATE_REGRESSED}'
                WHEN outcome = 'repeated' AND elsewhere THEN '{AuditKind.REFRESH_ELSEWHERE}'
                WHEN outcome = 'reused' THEN '{AuditKind.REFRESH_REUSED}'
           END AS audit_kind
    FROM judged
)"""
"""The rows as they are after the decision."""


def _decision(presented: str, found: str = _FOUND) -> str:
    named = f"presented ({', '.join(_PRESENTED)}) AS ({presented}), found AS MATERIALIZED ({found})"
    return f"WITH {named}, {_TIMED}, {_JUDGED}, {_DECIDED}"


def _with_fewer_steps(decision: str) -> str:
    """For SQLite, which keeps each step in a table of its own. The clock is still read once, and judged by once; it has
    no locks to be had before."""
    for step in ("found", "decided"):
        decision = decision.replace(f"{step} AS MATERIALIZED", f"{step} AS")
    return decision


@cache
def _decide(count: int) -> str:
    """The decision alone, about so many."""
    return f"{_with_fewer_steps(_decision(_values(count)))} SELECT * FROM decided"


_CHANGED_AND_WRITTEN = f"""changed AS (
    UPDATE session AS s SET
        place = d.place, moved_at = d.moved_at, token_key_id = d.token_key_id, idempotency_hash = d.idempotency_hash,
        last_used_at = d.last_used_at, idle_until = d.idle_until, access_until = d.access_until,
        last_address = NULLIF(d.last_address, s.first_address), last_agent = NULLIF(d.last_agent, s.first_agent),
        revoked_at = d.revoked_at, revoked_reason = d.revoked_reason
    FROM settled d
    WHERE s.id = d.id AND (d.{_GRANTS} OR d.outcome = 'reused')
    RETURNING s.id, d.outcome, d.access_until
), written AS (
    INSERT INTO audit_event ({trail.COLUMNS})
    SELECT now, audit_kind, actor_kind, address, agent, request_id, user_id, application_id, id, '{{}}'
    FROM settled WHERE audit_kind IS NOT NULL
)"""
_APPENDED = f"""reused AS MATERIALIZED (
    SELECT id, access_until, row_number() OVER (ORDER BY id) AS number, count(*) OVER () AS total
    FROM changed WHERE outcome = 'reused'
), counter AS (
    UPDATE feed SET position = feed.position + one.total FROM (SELECT total FROM reused LIMIT 1) one
    RETURNING feed.position
), appended AS (
    INSERT INTO revocation (position, kind, subject_id, ver, expires_at)
    SELECT counter.position - reused.total + reused.number, '{log.EntryKind.SESSION}', reused.id, 0,
           reused.access_until + {log.GRACE_MS}
    FROM reused CROSS JOIN counter
)"""

_MANY = f"SELECT {_ARRAYS}"
_AT_ONCE = f"""{_decision(_MANY, f"{_FOUND} SKIP LOCKED")},
settled AS (SELECT * FROM decided WHERE outcome <> 'reused'), {_CHANGED_AND_WRITTEN}
SELECT * FROM settled"""
"""Of everyone whose session nobody else is changing. Not of a reuse, which waits for the counter of the feed."""

_PATIENTLY = f"""{_decision(_MANY)},
settled AS (SELECT * FROM decided), {_CHANGED_AND_WRITTEN}, {_APPENDED}
SELECT * FROM settled"""

_CHANGE = """UPDATE session SET
        place = $2, moved_at = $3, token_key_id = $4, idempotency_hash = $5, last_used_at = $6, idle_until = $7,
        access_until = $8, last_address = NULLIF($9, first_address), last_agent = NULLIF($10, first_agent),
        revoked_at = $11, revoked_reason = $12
    WHERE id = $1"""
_CHANGED_COLUMNS = (
    *("id", "place", "moved_at", "token_key_id", "idempotency_hash", "last_used_at", "idle_until"),
    *("access_until", "last_address", "last_agent", "revoked_at", "revoked_reason"),
)
_WRITE = f"INSERT INTO audit_event ({trail.COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '{{}}')"
_WRITTEN_COLUMNS = (
    *("now", "audit_kind", "actor_kind", "address", "agent", "request_id"),
    *("user_id", "application_id", "id"),
)


@operation(Access.SINGLE)
def refresh(presentation: Presentation, actor: Actor, policy: SessionPolicy) -> Steps[RefreshOutcome]:
    token = presentation.token
    args = (
        *(token.session_id, token.place, token.moved_at, token.binder, presentation.application_id),
        *(presentation.idempotency_hash, presentation.next_token_key_id),
        *(actor.kind, actor.address, actor.agent, actor.request_id),
    )
    common = (policy.access_token_lifetime, policy.idle_lifetime, policy.refresh_retry_window * 1000)
    rows = yield Share(Shared(_AT_ONCE, _PATIENTLY, _step_by_step, common), token.session_id, args)
    return _outcome(rows[0]) if rows else RefreshRefused.UNKNOWN


def _step_by_step(presented: Sequence[tuple[object, ...]], common: tuple[object, ...]) -> Steps[Rows]:
    rows: list[Row] = []
    for first, *others in _in_few_sizes(presented):
        rows += yield Statement(_decide(1 + len(others)), (*first, *common, *chain.from_iterable(others)))
    changed = [row for row in rows if row["outcome"] in ("moved", "regressed", "repeated", "reused")]
    yield Repeat(_CHANGE, [tuple(map(row.__getitem__, _CHANGED_COLUMNS)) for row in changed])
    written = [row for row in rows if row["audit_kind"] is not None]
    yield Repeat(_WRITE, [tuple(map(row.__getitem__, _WRITTEN_COLUMNS)) for row in written])
    reused = [log.session_entry(uuid_of(row["id"]), row["access_until"]) for row in rows if row["outcome"] == "reused"]
    yield from log.append(*reused)
    return rows


def _in_few_sizes(presented: Sequence[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    """In parts whose sizes are powers of two, so that a few statements serve for any number."""
    done, size = 0, MOST_AT_ONCE
    while done < len(presented):
        while size > len(presented) - done:
            size //= 2
        yield presented[done : done + size]
        done += size


def _outcome(row: Row) -> RefreshOutcome:
    outcome = row["outcome"]
    if outcome not in ("moved", "regressed", "repeated"):
        return RefreshRefused(outcome)
    granted = grant(row, session(row), row["issued_at"], row["expires_at"])
    if outcome == "repeated":
        return Repeated(granted, elsewhere=bool(row["elsewhere"]))
    return Moved(granted, regressed=outcome == "regressed")
