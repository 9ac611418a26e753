"""From the documents of the feed to values of the state."""

from typing import Final

import msgspec

from keybearer.base64url import decode_base64url
from keybearer.guard.state import (
    ApiKeyState,
    ApplicationState,
    Entry,
    KeySetChanged,
    RevokedSession,
    RevokedUser,
)
from keybearer.wire import feed

MAX_INSTANT: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds."""

MAX_NUMBER: Final = 2**63 - 1

_KEY_HASH_BYTES = 32
_STANDS_FOR_ANY: Final = frozenset({"permission"})
"""Which permissions a key has is not told to guards: that it has some is enough."""


class MalformedDocument(Exception):
    """A document of the feed is not what contract.md section 4 says. The message never quotes it."""


class _Kind(msgspec.Struct, frozen=True):
    kind: str


_KINDS: Final = frozenset({"application", "key", "session", "user", "keySet"})
_read_kind = msgspec.json.Decoder(_Kind).decode
_read_entry = msgspec.json.Decoder(feed.FeedEntry).decode
_read_heartbeat = msgspec.json.Decoder(feed.Heartbeat).decode


def read_entry(data: bytes) -> Entry | None:
    """The state value of an entry; None for a kind that is not known here. Raises MalformedDocument."""
    try:
        if _read_kind(data).kind not in _KINDS:
            return None
        return to_state(_read_entry(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedDocument("an entry of the feed is malformed") from None


def read_heartbeat(data: bytes) -> feed.Heartbeat:
    """Raises MalformedDocument."""
    try:
        heartbeat = _read_heartbeat(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedDocument("a heartbeat is malformed") from None
    require_instant(heartbeat.as_of)
    require_instant(heartbeat.now)
    require_number(heartbeat.position)
    return heartbeat


def to_state(document: feed.FeedEntry) -> Entry:
    """Raises MalformedDocument for a value that has the right type and no meaning."""
    match document:
        case feed.FeedSession(id=id, expires_at=expires_at):
            return RevokedSession(id, require_instant(expires_at))
        case feed.FeedUser(id=id, ver=ver, expires_at=expires_at):
            return RevokedUser(id, require_number(ver), require_instant(expires_at))
        case feed.FeedApplication(id=id, origins=origins):
            return ApplicationState(id, "", _one_of(document.state, feed.ENABLED, feed.DISABLED), frozenset(origins))
        case feed.FeedKey():
            return _to_key(document)
        case feed.FeedKeySet(version=version):
            return KeySetChanged(require_number(version))


def require_instant(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INSTANT:
        raise MalformedDocument("an instant is not one")
    return value


def require_number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise MalformedDocument("a number is not one")
    return value


def require_text(value: object) -> str:
    if type(value) is not str or not value:
        raise MalformedDocument("a text is not one")
    return value


def _to_key(document: feed.FeedKey) -> ApiKeyState:
    key_hash = decode_base64url(document.hash)
    if key_hash is None or len(key_hash) != _KEY_HASH_BYTES:
        raise MalformedDocument("the hash of a key is not one")
    return ApiKeyState(
        id=document.hash,
        key_hash=key_hash,
        secret=_one_of(document.key_kind, "secret", "publishable"),
        application_id=document.application_id,
        revoked=_one_of(document.state, feed.REVOKED, feed.ACTIVE),
        expires_at=None if document.expires_at is None else require_instant(document.expires_at),
        permissions=_STANDS_FOR_ANY if document.has_permissions else frozenset(),
    )


def _one_of(value: str, true: str, false: str) -> bool:
    """Whether `value` is `true`. What a newer service may say beside the two is not guessed at."""
    if value not in (true, false):
        raise MalformedDocument("a state is not one that is known")
    return value == true
