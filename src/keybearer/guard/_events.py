"""Server-sent events, read from bytes that arrive in any pieces (HTML Standard, section 9.2.6)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE = 1 << 20
"""Bytes of a line, and of an event's data."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class MalformedStream(Exception):
    """What arrives is no stream of events, or holds one that is too long."""


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is the event's own; empty when it has none."""

    kind: str
    data: bytes
    id: str


class EventReader:
    """Raises MalformedStream for text that is not UTF-8, and for lines beyond MAX_LINE."""

    def __init__(self) -> None:
        self._rest = b""
        self._carriage_returned = False
        """The last piece ended in a carriage return: a line feed that comes next belongs to it."""
        self._started = False
        self._kind = ""
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in this piece."""
        if not chunk:
            return
        for line in self._lines(chunk):
            if line:
                self._take_field(line)
            elif (event := self._finish()) is not None:
                yield event

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        if self._carriage_returned:
            chunk = chunk.removeprefix(b"\n")
        text = self._rest + chunk
        at = 0
        for match in _LINE_END.finditer(text, len(self._rest)):
            yield self._without_mark(text[at : match.start()])
            at = match.end()
        self._rest = text[at:]
        self._carriage_returned = chunk.endswith(b"\r")
        if len(self._rest) > MAX_LINE:
            raise MalformedStream("a line is too long")

    def _without_mark(self, line: bytes) -> bytes:
        if self._started:
            return line
        self._started = True
        return line.removeprefix(_BYTE_ORDER_MARK)

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._size += len(value)
                if self._size > MAX_LINE:
                    raise MalformedStream("an event is too long")
                _utf8(value)
                self._data.append(value)
            case b"event":
                self._kind = _utf8(value)
            case b"id" if b"\0" not in value:
                self._id = _utf8(value)
            case _:
                _utf8(line)

    def _finish(self) -> Event | None:
        """The event that an empty line ends; None when there was nothing of one."""
        event = Event(self._kind, b"\n".join(self._data), self._id) if self._data else None
        self._kind, self._data, self._size, self._id = "", [], 0, ""
        return event


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedStream("not UTF-8") from None
