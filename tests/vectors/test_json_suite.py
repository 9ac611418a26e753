"""Every text of JSONTestSuite gets a verdict from `strict_json.loads`."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from keybearer.strict_json import StrictJsonError, dumps, loads

SUITE = json.loads((Path(__file__).parent / "data/json_parsing/json_test_suite.json").read_text("utf-8"))
TESTS: list[dict[str, Any]] = SUITE["tests"]
GENERATED: list[dict[str, Any]] = SUITE["generated"]

MAX_DEPTH = 100

# What RFC 8259 leaves open ("either"), and what is accepted of it; everything else of it is refused.
ACCEPTED_OF_EITHER = {
    "i_number_double_huge_neg_exp.json": "underflows to zero",
    "i_number_real_underflow.json": "underflows to zero",
    "i_number_too_big_neg_int.json": "an integer of 30 digits is within the range of a double",
    "i_number_too_big_pos_int.json": "an integer of 21 digits is within the range of a double",
    "i_number_very_big_negative_int.json": "an integer of 48 digits is within the range of a double",
}

# What RFC 8259 accepts and is refused all the same: the one requirement of ours that goes beyond its grammar.
REFUSED_OF_ACCEPT = {
    "y_object_duplicated_key.json": "a member stands twice (section 4: names SHOULD be unique)",
    "y_object_duplicated_key_and_value.json": "a member stands twice (section 4: names SHOULD be unique)",
}


def verdict(text: bytes) -> str:
    try:
        value = loads(text, max_depth=MAX_DEPTH)
    except StrictJsonError:
        return "reject"
    assert loads(dumps(value), max_depth=MAX_DEPTH) == value
    return "accept"


def expected(name: str, label: str) -> str:
    if name in REFUSED_OF_ACCEPT:
        return "reject"
    if label == "either":
        return "accept" if name in ACCEPTED_OF_EITHER else "reject"
    return label


def test_the_suite_is_whole() -> None:
    assert len(TESTS) == 316
    assert len(GENERATED) == 2
    labels = [test["expect"] for test in TESTS]
    assert (labels.count("accept"), labels.count("reject"), labels.count("either")) == (95, 186, 35)
    assert {test["name"] for test in TESTS} >= ACCEPTED_OF_EITHER.keys() | REFUSED_OF_ACCEPT.keys()


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test["name"])
def test_verdict(test: dict[str, Any]) -> None:
    assert verdict(b64decode(test["b64"])) == expected(test["name"], test["expect"])


@pytest.mark.parametrize("test", GENERATED, ids=lambda test: test["name"])
def test_huge_texts(test: dict[str, Any]) -> None:
    assert test["expect"] == "reject"
    assert verdict((test["repeat"] * test["count"] + test.get("suffix", "")).encode()) == "reject"
