"""JSON as RFC 8259 has it and no more, from untrusted bytes: one document has one meaning, or is refused.

The `json` module alone takes duplicate members, NaN and lone surrogates, and fails with other exceptions than its own
on deep nesting and on integers of thousands of digits.
"""

import json
import re
from math import isfinite
from typing import Annotated

import msgspec

MAX_DEPTH = 32

_encode = msgspec.json.Encoder().encode

_MAX_DIGITS = 308
"""An integer of more digits is beyond the range of a double, as 1e999 is (RFC 8259 section 6: limits are allowed)."""

_Flat = Annotated[int, msgspec.Meta(ge=-(2**63) + 1, le=2**63 - 1)] | str | list[str]
_FLAT_DEPTH = 2

_decode_flat = msgspec.json.Decoder(dict[str, _Flat]).decode

# A string that is never closed runs to the end, and no part of it is read twice: the scan is linear for any input.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class StrictJsonError(ValueError):
    """The bytes are not one strict JSON document. The message never quotes them."""


def loads(data: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """The value of a JSON document: dict, list, str, int, float, bool or None.

    Raises StrictJsonError, and nothing else, for what RFC 8259 does not have, and for: a byte order mark, text that is
    not UTF-8, a lone surrogate, a repeated member (section 4), a number beyond the range of a double, arrays and
    objects nested deeper than `max_depth`. The caller bounds the size.
    """
    flat = _read_flat(data) if max_depth >= _FLAT_DEPTH else None
    if flat is not None:
        return flat
    _check_depth(data, max_depth)
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except StrictJsonError:
        raise
    except (ValueError, RecursionError):
        raise StrictJsonError("not a JSON document in UTF-8") from None
    if b"\\u" in data:
        _check_surrogates(value)
    return value


def _read_flat(data: bytes) -> dict[str, _Flat] | None:
    """The value of a document like the claims of a token, in a third of the time; None for any other, good or bad.

    That is an object of texts, integers of 64 bits and arrays of texts, in ASCII without escapes. There a quotation
    mark is the edge of a text: if there are more of them than the value has edges, a member was repeated.
    """
    if not data.isascii() or b"\\" in data:
        return None
    try:
        value = _decode_flat(data)
    except msgspec.DecodeError:
        return None
    texts = len(value)
    for member in value.values():
        if type(member) is str:
            texts += 1
        elif type(member) is list:
            texts += len(member)
    return value if data.count(b'"') == 2 * texts else None


def dumps(value: object) -> bytes:
    """The compact UTF-8 text of a value that `loads` can return. ValueError for lone surrogates."""
    return _encode(value)


def _check_depth(data: bytes, max_depth: int) -> None:
    """Refuses deep nesting before any parser sees it."""
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        found = match[0]
        if found in b"[{":
            depth += 1
            if depth > max_depth:
                raise StrictJsonError("nested too deeply")
        elif found in b"]}":
            depth -= 1


def _check_surrogates(value: object) -> None:
    """Refuses strings that no UTF-8 text can hold; only an escape can bring one in."""
    try:
        dumps(value)
    except UnicodeEncodeError:
        raise StrictJsonError("a string holds a lone surrogate") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("an object holds a member twice")
    return members


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise StrictJsonError("a number is out of range")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS and len(text.removeprefix("-")) > _MAX_DIGITS:
        raise StrictJsonError("a number is out of range")
    return int(text)


def _constant(_: str) -> object:
    raise StrictJsonError("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
