"""The snapshot of the feed, read as it arrives: tens of megabytes, and no step that stops other threads for long."""

import codecs
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from keybearer.guard._documents import (
    MalformedDocument,
    require_instant,
    require_number,
    require_text,
    to_state,
)
from keybearer.guard._revocations import TURN, Revocations
from keybearer.guard.state import ApiKeyState, ApplicationState
from keybearer.wire.feed import FeedApplication, FeedKey

MAX_ELEMENT: Final = 1 << 20
"""Characters of one element of a list, and of a member that is no list."""

_Entry = TypeVar("_Entry", FeedApplication, FeedKey)

_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(slots=True)
class Snapshot:
    """The whole state at `position` of `epoch`. Instants are milliseconds since the epoch of Unix."""

    epoch: str = ""
    position: int = -1
    as_of: int = -1
    now: int = -1
    issuer: str = ""
    audience: str = ""
    key_set_version: int = -1
    applications: list[ApplicationState] = field(default_factory=list)
    keys: list[ApiKeyState] = field(default_factory=list)
    revocations: Revocations = field(default_factory=Revocations)


def read_snapshot(chunks: Iterable[bytes], *, max_bytes: int, on_member: Callable[[str, Snapshot], None]) -> Snapshot:
    """The snapshot that these bytes are. `on_member` is told of each member as soon as it was read, and may raise.

    Raises MalformedDocument when they are more than `max_bytes`, end too soon, are not JSON in UTF-8, or miss a member
    or have a wrong type. Members that are not known here are skipped.
    """
    text = _Text(chunks, max_bytes)
    snapshot = Snapshot()
    missing = set(_MEMBERS)
    text.expect("{")
    while True:
        name = require_text(text.value())
        text.expect(":")
        _read_member(text, snapshot, name)
        missing.discard(name)
        on_member(name, snapshot)
        if text.expect(",}") == "}":
            break
    if missing:
        raise MalformedDocument("the snapshot misses a member")
    text.expect_end()
    return snapshot


def _read_member(text: "_Text", snapshot: Snapshot, name: str) -> None:
    match name:
        case "epoch" | "issuer" | "audience":
            setattr(snapshot, name, require_text(text.value()))
        case "position":
            snapshot.position = require_number(text.value())
        case "keySetVersion":
            snapshot.key_set_version = require_number(text.value())
        case "asOf":
            snapshot.as_of = require_instant(text.value())
        case "now":
            snapshot.now = require_instant(text.value())
        case "applications":
            snapshot.applications = [_application(element) for element in text.elements()]
        case "keys":
            snapshot.keys = [_key(element) for element in text.elements()]
        case "sessions":
            _read_sessions(text, snapshot.revocations)
        case "users":
            _read_users(text, snapshot.revocations)
        case _:
            text.skip()


_MEMBERS: Final = frozenset(
    {
        "epoch", "position", "asOf", "now", "issuer", "audience", "keySetVersion", "applications", "keys", "sessions",
        "users",
    }
)  # fmt: skip


def _application(element: object) -> ApplicationState:
    state = to_state(_convert(element, FeedApplication))
    assert isinstance(state, ApplicationState)  # noqa: S101 - what the document stands for
    return state


def _key(element: object) -> ApiKeyState:
    state = to_state(_convert(element, FeedKey))
    assert isinstance(state, ApiKeyState)  # noqa: S101 - as above
    return state


def _convert(element: object, kind: type[_Entry]) -> _Entry:
    try:
        return msgspec.convert(element, kind)
    except msgspec.ValidationError:
        raise MalformedDocument("an element of the snapshot is malformed") from None


def _read_sessions(text: "_Text", revocations: Revocations) -> None:
    """By hand: a million of these are read, and a struct for each would double the time."""
    for element in text.elements():
        try:
            id, expires_at = element["id"], element["expiresAt"]  # type: ignore[index]  # TypeError is caught
        except (KeyError, TypeError):
            raise MalformedDocument("a session of the snapshot is malformed") from None
        revocations.add_session(require_text(id), require_instant(expires_at))


def _read_users(text: "_Text", revocations: Revocations) -> None:
    for element in text.elements():
        try:
            id, ver, expires_at = element["id"], element["ver"], element["expiresAt"]  # type: ignore[index]  # as above
        except (KeyError, TypeError):
            raise MalformedDocument("a user of the snapshot is malformed") from None
        revocations.add_user(require_text(id), require_number(ver), require_instant(expires_at))


class _Text:
    """JSON text of which a part has arrived; what was read of it is forgotten."""

    def __init__(self, chunks: Iterable[bytes], max_bytes: int) -> None:
        self._chunks = iter(chunks)
        self._left = max_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def expect(self, characters: str) -> str:
        """The next character that is no space; it is one of these."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._text):
                break
            self._require_more()
        character = self._text[self._at]
        if character not in characters:
            raise MalformedDocument("not JSON, or of another form")
        self._at += 1
        return character

    def value(self) -> object:
        """The next value, whole."""
        while True:
            start = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it always matches
            try:
                value, end = _decode(self._text, start)
            except (ValueError, RecursionError):
                if len(self._text) - start > MAX_ELEMENT:
                    raise MalformedDocument("not JSON, or one element is too long") from None
                self._require_more()
                continue
            # A number may go on in what has not arrived.
            if end < len(self._text) or self._text[end - 1] in '}]"' or not self._more():
                self._at = end
                return value

    def elements(self) -> Iterator[object]:
        """The elements of the list that comes next, one by one."""
        self.expect("[")
        if self._peek() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            # What mostly follows, before what may.
            if self._text.startswith(",", self._at):
                self._at += 1
            elif self.expect(",]") == "]":
                return

    def skip(self) -> None:
        """Read past the next value."""
        if self._peek() != "[":
            self.value()
            return
        for _ in self.elements():
            pass

    def expect_end(self) -> None:
        while self._more():
            pass
        if self._text[self._at :].strip(" \t\r\n"):
            raise MalformedDocument("something follows the snapshot")

    def _peek(self) -> str:
        character = self.expect('[]{"-0123456789tfn')
        self._at -= 1
        return character

    def _require_more(self) -> None:
        if not self._more():
            raise MalformedDocument("the snapshot ends too soon")

    def _more(self) -> bool:
        """Whether more has arrived."""
        time.sleep(TURN)
        chunk = next(self._chunks, None)
        self._left -= len(chunk or b"")
        if self._left < 0:
            raise MalformedDocument("the snapshot is too large")
        try:
            arrived = self._utf8.decode(chunk or b"", final=chunk is None)
        except UnicodeDecodeError:
            raise MalformedDocument("not UTF-8") from None
        self._text = self._text[self._at :] + arrived
        self._at = 0
        return chunk is not None
