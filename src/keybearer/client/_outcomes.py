"""What a request for new tokens can lead to, and what a logout can."""

from dataclasses import dataclass
from enum import StrEnum

from keybearer.client._errors import ClientError
from keybearer.client._record import Session


@dataclass(frozen=True, slots=True)
class Granted:
    session: Session


@dataclass(frozen=True, slots=True)
class Refused:
    """The session has ended: nothing else than 401 says so. `reason` is the service's code, where it gave one."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not for what the session is; it is kept."""

    error: ClientError


@dataclass(frozen=True, slots=True)
class Untried:
    """Nobody knows; the session is kept. `retry_after` is in seconds, where the service gave it."""

    detail: str
    retry_after: float | None = None


Outcome = Granted | Refused | Rejected | Untried


class LogoutOutcome(StrEnum):
    """What became of the session at the service. Here it has ended in any case; if the service was `UNREACHABLE`, it
    lives on there until it is revoked or reaches its limit."""

    REVOKED = "revoked"
    ALREADY_ENDED = "already_ended"
    UNREACHABLE = "unreachable"
