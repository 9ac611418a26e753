"""Client applications: what an Api-Key names."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ApplicationKind(StrEnum):
    BROWSER = "browser"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long credentials of an application last, in seconds; None takes the service's own setting."""

    access_token: int | None = None
    session_idle: int | None = None
    session_absolute: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """`origins` are the browser origins that may use its publishable keys, in the form `scheme://host[:port]`."""

    id: UUID
    name: str
    kind: ApplicationKind
    origins: tuple[str, ...]
    created_at: int
    disabled_at: int | None = None
    lifetimes: Lifetimes = Lifetimes()
