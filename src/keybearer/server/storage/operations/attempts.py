"""Admitting attempts to log in: the limiter's buckets are charged (domain/attempts.py says how a bucket works)."""

from collections.abc import Sequence
from itertools import count
from uuid import UUID

from keybearer.server.domain.attempts import Admission, Admitted, Assess, Attempt, Charge, ChargeOutcome, Refused
from keybearer.server.storage.operations import places, users
from keybearer.server.storage.rows import uuid_of
from keybearer.server.storage.statements import Access, Row, Rows, Share, Shared, Statement, Steps, operation

# `excluded.full_at - $2` is now: what is tried to insert is now + cost.
_CHARGE = """
    INSERT INTO attempt (key, full_at) VALUES ($1, clock_ms() + $2::bigint)
    ON CONFLICT (key) DO UPDATE SET full_at = GREATEST(attempt.full_at, excluded.full_at - $2::bigint) + $2::bigint
    WHERE attempt.full_at + $2::bigint <= excluded.full_at - $2::bigint + $3::bigint
    RETURNING full_at"""
_AT_HOME = f"""
    LEFT JOIN identifier i ON i.value = asked.name
    LEFT JOIN known_place k ON k.user_id = i.user_id AND k.place_hash = asked.place_hash AND {places.IS_KNOWN}"""
_ASKED_AT_ONCE = "SELECT unnest($1::uuid[]) AS id, unnest($2::text[]) AS name, unnest($3::bytea[]) AS place_hash"
_FIND_ALL_AT_HOME = f"SELECT asked.id, k.user_id FROM ({_ASKED_AT_ONCE}) asked {_AT_HOME}"
_FIND_ONE_AT_HOME = f"SELECT asked.id, k.user_id FROM (SELECT $1 AS id, $2 AS name, $3 AS place_hash) asked {_AT_HOME}"

_ASKED = count(1)
"""Tells those who are looked up at once from one another."""

_AHEAD = "SELECT full_at - clock_ms() AS ahead FROM attempt WHERE key = $1"


@operation(Access.LOOKUP)
def find_at_home(identifier: str, place_hash: bytes) -> Steps[UUID | None]:
    """The user of this name, if the place is known to him. Nothing is charged."""
    if not users.can_be_stored(identifier):
        return None
    asked = UUID(int=next(_ASKED))
    rows = yield Share(_FIND_AT_HOME, asked, (asked, identifier, place_hash))
    return uuid_of(rows[0]["user_id"]) if rows and rows[0]["user_id"] is not None else None


def _find_one_by_one(asked: Sequence[tuple[object, ...]], _: tuple[object, ...]) -> Steps[Rows]:
    rows: list[Row] = []
    for args in asked:
        rows += yield Statement(_FIND_ONE_AT_HOME, args)
    return rows


_FIND_AT_HOME = Shared(_FIND_ALL_AT_HOME, _FIND_ALL_AT_HOME, _find_one_by_one)


@operation(Access.ADMISSION)
def admit(identifier: str, place_hash: bytes, assess: Assess) -> Steps[Admission]:
    """Everything before the password: on SQLite in one commit; on PostgreSQL each charge with its own, since all logins
    of an application meet at its bucket."""
    record = yield from users.find_for_login(identifier, place_hash)
    return Admission(record, (yield from _charge_all(assess(record))))


def _charge_all(attempt: Attempt) -> Steps[ChargeOutcome]:
    alarm = isinstance((yield from _charge(attempt.application)), Refused)
    for charge in attempt.charges_at_alarm if alarm else attempt.charges:
        outcome = yield from _charge(charge)
        if isinstance(outcome, Refused):
            return outcome
    return Admitted()


def _charge(charge: Charge) -> Steps[ChargeOutcome]:
    allowance = charge.allowance
    if charge.cost > allowance.limit:
        return Refused(max(1, allowance.period))  # more than the bucket ever holds
    # Rounded up, and the bucket with it: it holds exactly `limit` charges, whatever `period / limit` leaves over.
    step = -(-allowance.period * 1000 // allowance.limit)
    cost, capacity = step * charge.cost, step * allowance.limit
    if (yield Statement(_CHARGE, (charge.key, cost, capacity))):
        return Admitted()
    rows = yield Statement(_AHEAD, (charge.key,))
    wait = (rows[0]["ahead"] if rows else 0) + cost - capacity
    return Refused(max(1, -(-wait // 1000)))
