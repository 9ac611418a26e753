"""The record of a session, as it is stored: one text, so that no reader sees a mixed pair of tokens.

    {"version": 1, "service": "https://auth.example.com:443/v1/api", "generation": 3, "revision": 12,
     "idempotencyKey": null, "ended": null, "session": {"accessToken": …, "refreshToken": …, "expiresAt": …,
     "lifetime": …, "sessionId": …, "user": {"id": …, "email": …, "firstName": …, "lastName": …}}}

`generation` counts logins and ends of sessions, `revision` the refreshes of one login. What has ended leaves a record
of a higher generation behind, so that no late answer to a refresh brings it back.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from keybearer.client._errors import StoreError
from keybearer.credentials.alphabet import is_in_alphabet

VERSION: Final = 1
MAX_BYTES: Final = 65_536
MAX_TOKEN: Final = 8_192
_MAX_COUNT: Final = 2**53

Ended = Literal["logout", "expired"]


class CorruptRecord(Exception):
    """A text that no client has written. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class User:
    """Whose session it is."""

    id: str
    email: str
    first_name: str
    last_name: str


@dataclass(frozen=True, slots=True)
class Session:
    """`expires_at` is the end of the access token by this machine's clock, `lifetime` how long it was valid at first;
    both in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    lifetime: float
    session_id: str
    user: User


@dataclass(frozen=True, slots=True)
class Record:
    """`session` is None when there is none; `ended` says how the last one ended. `idempotency_key` is that of a refresh
    whose answer has not been stored."""

    service: str
    generation: int = 0
    revision: int = 0
    idempotency_key: str | None = field(default=None, repr=False)
    ended: Ended | None = None
    session: Session | None = None

    @property
    def age(self) -> tuple[int, int]:
        """Of two records of one store the one with the greater age is the newer one."""
        return self.generation, self.revision


def dump(record: Record) -> str:
    """The text of a record."""
    session = record.session
    return json.dumps(
        {
            "version": VERSION,
            "service": record.service,
            "generation": record.generation,
            "revision": record.revision,
            "idempotencyKey": record.idempotency_key,
            "ended": record.ended,
            "session": session and _dump_session(session),
        }
    )


def _dump_session(session: Session) -> dict[str, object]:
    user = session.user
    return {
        "accessToken": session.access_token,
        "refreshToken": session.refresh_token,
        "expiresAt": session.expires_at,
        "lifetime": session.lifetime,
        "sessionId": session.session_id,
        "user": {"id": user.id, "email": user.email, "firstName": user.first_name, "lastName": user.last_name},
    }


def parse(text: str) -> Record:
    """The record of a text. Raises CorruptRecord, and StoreError for one that a newer version has written."""
    if len(text) > MAX_BYTES:
        raise CorruptRecord("it is too long")
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        raise CorruptRecord("it is not JSON") from None
    version = members.get("version") if isinstance(members, dict) else None
    if type(version) is not int or version < VERSION:
        raise CorruptRecord("it has no version")
    if version > VERSION:
        raise StoreError(
            f"The stored session was written by a newer keybearer (version {version} of the record; this one reads "
            f"{VERSION}): upgrade keybearer, or give this client a store of its own."
        )
    return _record(members)


def _record(members: dict[str, Any]) -> Record:
    ended, session, key = members.get("ended"), members.get("session"), members.get("idempotencyKey")
    if ended is not None and ended not in get_args(Ended):
        raise CorruptRecord("`ended` is unknown")
    return Record(
        service=_text(members, "service"),
        generation=_count(members, "generation"),
        revision=_count(members, "revision"),
        idempotency_key=None if key is None else _token(members, "idempotencyKey"),
        ended=ended,
        session=None if session is None else _session(session),
    )


def _session(members: object) -> Session:
    user = members.get("user") if isinstance(members, dict) else None
    if not isinstance(members, dict) or not isinstance(user, dict):
        raise CorruptRecord("`session` or `user` is no object")
    return Session(
        access_token=_token(members, "accessToken"),
        refresh_token=_token(members, "refreshToken"),
        expires_at=_seconds(members, "expiresAt"),
        lifetime=_seconds(members, "lifetime"),
        session_id=_text(members, "sessionId"),
        user=User(_text(user, "id"), _text(user, "email"), _text(user, "firstName"), _text(user, "lastName")),
    )


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise CorruptRecord(f"`{name}` is no text")
    return value


def _token(members: dict[str, Any], name: str) -> str:
    """A value that reaches a header (rule R4)."""
    value = _text(members, name)
    if len(value) > MAX_TOKEN or not is_in_alphabet(value):
        raise CorruptRecord(f"`{name}` holds a character that no token has, or is too long")
    return value


def _count(members: dict[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or not 0 <= value < _MAX_COUNT:
        raise CorruptRecord(f"`{name}` is no count")
    return value


def _seconds(members: dict[str, Any], name: str) -> float:
    value = members.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MAX_COUNT:
        raise CorruptRecord(f"`{name}` is no number of seconds")
    return value
