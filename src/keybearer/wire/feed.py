"""The credential feed on the wire (contract.md section 4): what the service writes and the guards read.

Every document has one meaning: a state value of `keybearer.guard.state`. Instants are whole milliseconds since the Unix
epoch, ids the text of a UUID. A follower ignores members and kinds that it does not know.
"""

from typing import Final

import msgspec

CONTENT_TYPE: Final = "text/event-stream"

ENTRY: Final = "entry"
RESET: Final = "reset"
HEARTBEAT: Final = "heartbeat"

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"
ACTIVE: Final = "active"
REVOKED: Final = "revoked"


class FeedApplication(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="application"):
    """`state` is `enabled` or `disabled`."""

    id: str
    state: str
    origins: list[str]


class FeedKey(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="key"):
    """`hash` is the base64url of the SHA-256 of the key's text, `key_kind` is `publishable` or `secret`, `state` is
    `active` or `revoked`. A key that has permissions is refused from callers."""

    hash: str
    key_kind: str
    application_id: str
    state: str
    expires_at: int | None
    has_permissions: bool


class FeedSession(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="session"):
    """Every access token of this session is refused."""

    id: str
    expires_at: int


class FeedUser(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="user"):
    """Access tokens of this user with a `ver` below this one are refused."""

    id: str
    ver: int
    expires_at: int


class FeedKeySet(msgspec.Struct, frozen=True, rename="camel", tag_field="kind", tag="keySet"):
    """The key set has reached this version: fetch it."""

    version: int


FeedEntry = FeedApplication | FeedKey | FeedSession | FeedUser | FeedKeySet


class SnapshotHead(msgspec.Struct, frozen=True, rename="camel"):
    """What a snapshot begins with: the state as of `position`; entries after that may be in it already."""

    epoch: str
    position: int
    as_of: int
    now: int
    issuer: str
    audience: str
    key_set_version: int


class Snapshot(SnapshotHead, frozen=True, rename="camel"):
    applications: list[FeedApplication]
    keys: list[FeedKey]
    sessions: list[FeedSession]
    users: list[FeedUser]


class Heartbeat(msgspec.Struct, frozen=True, rename="camel"):
    """Everything up to `position` has been sent, and nothing committed before `as_of` is missing.

    `now` is the service's clock when it sent this, so that a guard can tell time as the service does.
    """

    as_of: int
    now: int
    position: int


def format_event(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One server-sent event (HTML Standard, section 9.2.6); `data` is JSON, so it has no line break."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {event}\ndata: ".encode() + data + b"\n\n"


def make_event_id(epoch: str, position: int) -> str:
    return f"{epoch}:{position}"


def parse_event_id(text: str) -> tuple[str, int] | None:
    """Epoch and position, or None when the service has never sent such an id."""
    epoch, _, position = text.rpartition(":")
    if not epoch or not position.isascii() or not position.isdigit() or len(position) > 18:
        return None
    return epoch, int(position)
