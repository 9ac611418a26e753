from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keybearer.guard._events import MAX_LINE, Event, EventReader, MalformedStream

STREAM = (
    "\ufeffid: e:1\nevent: entry\ndata: {}\n\n"
    ": comment\n\n"
    "data:a\r\ndata: b\r\ndata\r\n\r\n"
    "event: x\rdata:  two spaces\rid: e:2\r\r"
    "event: without data\n\n"
    "nonsense\nretry: 5\nid: nul\0\ndata: äöü\n\n"
    "event: unfinished\ndata: y\n"
)

EVENTS = [
    Event("entry", b"{}", "e:1"),
    Event("", b"a\nb\n", ""),
    Event("x", b" two spaces", "e:2"),
    Event("", "äöü".encode(), ""),
]


def read(*chunks: bytes) -> list[Event]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.read(chunk)]


def test_fields() -> None:
    assert read(STREAM.encode()) == EVENTS


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=30))
def test_it_may_be_cut_anywhere(cuts: list[int]) -> None:
    text = STREAM.encode()
    edges = [0, *sorted(cuts), len(text)]
    assert read(*(text[start:end] for start, end in pairwise(edges))) == EVENTS


def test_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in STREAM.encode())) == EVENTS


def test_an_event_is_there_with_its_last_byte() -> None:
    for end in (b"\n\n", b"\r\r", b"\r\n\r\n"):
        reader = EventReader()
        assert list(reader.read(b"data: x" + end)) == [Event("", b"x", "")]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: \xff\n"],
        [b"\xff\n"],
        [b"event: \xc3\n"],
        [b"x" * (MAX_LINE + 1)],
        [b"x" * 65_536] * 17,
        [b"data: " + b"x" * 65_536 + b"\n"] * 17,
    ],
)
def test_what_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(MalformedStream):
        read(*chunks)
