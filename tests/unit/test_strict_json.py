import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybearer.strict_json import MAX_DEPTH, StrictJsonError, dumps, loads

# Machines are shared, and the first draw of a text reads the table of Unicode.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
)


@pytest.mark.parametrize(
    "text, value",
    [
        (b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (b" 7 \n", 7),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 40),
        (b'["\\"", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', ['"', "[" * 36]),
        (b"9" * 308, 10**308 - 1),
        (b"-0", 0),
    ],
)
def test_accepts(text: bytes, value: object) -> None:
    assert loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b'{"a": 1, "a": 1}',
        b'{"a":1,"a":1}',
        b'{"a" :1,"a":2}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"a": {"b": 1, "b": 2}}]',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"[-1e999]",
        b"9" * 309,
        b"-" + b"9" * 309,
        b"9" * 100_000,
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\uDFFF": 1}',
        b'{"a": ["\\uD800x"]}',
        b'"\x00"',
        b'"tab\t"',
        b"'a'",
        b"[1,]",
        b'{"a": 1,}',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"[1] [2]",
        b"// no\n1",
        b"\xc2\xa01",
        "\u0661".encode(),
        b"[" * 100_000,
        b"]" * 100_000 + b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"\\' + b'\\"' * 10_000 + b"[" * 50,
    ],
    ids=lambda text: repr(text[:24]),
)
def test_refuses(text: bytes) -> None:
    with pytest.raises(StrictJsonError):
        loads(text)


def test_depth_is_exact() -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        assert loads(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
        with pytest.raises(StrictJsonError, match="deep"):
            loads(opening * (MAX_DEPTH + 1) + b"1" + closing * (MAX_DEPTH + 1))
    assert loads(b"[" + b"[]," * 1000 + b"[]]", max_depth=2)
    with pytest.raises(StrictJsonError, match="deep"):
        loads(b"[[]]", max_depth=1)
    with pytest.raises(StrictJsonError, match="deep"):
        loads(b"[]", max_depth=0)


def test_recursion_without_a_useful_limit_is_refused_too() -> None:
    with pytest.raises(StrictJsonError):
        loads(b"[" * 100_000 + b"]" * 100_000, max_depth=1_000_000)


def test_digits_are_limited_whatever_the_interpreter_allows() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(StrictJsonError, match="range"):
            loads(b"1" * 10_000)
    finally:
        sys.set_int_max_str_digits(before)


def test_messages_do_not_quote() -> None:
    for text in (b'{"hunter2": 1, "hunter2": 1}', b'"hunter2', b'["hunter2", NaN]', b'"hunter2 \xff"'):
        with pytest.raises(StrictJsonError) as caught:
            loads(text)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}])
def test_dumps_refuses_what_is_no_json(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library's own words
        dumps(value)


@unhurried
@given(VALUES)
def test_round_trip(value: object) -> None:
    assert loads(dumps(value), max_depth=1000) == value
    assert loads(json.dumps(value).encode(), max_depth=1000) == value


@unhurried
@given(st.binary() | st.text(st.sampled_from('{}[]",:\\u0d8c1eE+-. \nNaIty')).map(str.encode))
def test_no_other_exception(data: bytes) -> None:
    try:
        value = loads(data)
    except StrictJsonError:
        return
    assert json.loads(data) == value


FLAT = [
    b'{"a":1,"b":"x","c":["p","q"]}',
    b'{ "a" : 1, "b":2 }',
    b'{"a":"b","c":"d"}',
    b'{"a":"b","a":"c"}',
    b'{"":""}',
    b'{"a":[["x"]],"b":{"c":1}}',
]
EDITS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from('{}[]":,a1 .-e\\\n\x00\x7f')), max_size=3
)


@unhurried
@given(st.sampled_from(FLAT), EDITS)
def test_the_short_way_says_what_the_long_one_says(text: bytes, edits: list[tuple[int, int, str]]) -> None:
    """Nested once more, a document is read the long way."""
    for at, removed, inserted in edits:
        text = text[:at] + inserted.encode() + text[at + removed :]
    nested = _loads_or_none(b"[" + text + b"]")
    assert _loads_or_none(text) == (nested[0] if nested and len(nested) == 1 else None)


def _loads_or_none(text: bytes) -> Any:
    try:
        return loads(text)
    except StrictJsonError:
        return None
