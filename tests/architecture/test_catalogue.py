"""The catalogue of error codes is complete, and says the same everywhere."""

import inspect

import generate_errors
from generated import ROOT
from keybearer import errors
from keybearer.wire.problems import STATUS

TYPESCRIPT = ROOT / "packages/keybearer-js/src/codes.ts"

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, errors.KeybearerError) and "code" in vars(value)
]


def test_every_code_has_its_status() -> None:
    assert STATUS.keys() == errors.CATALOGUE.keys()


def test_every_error_with_a_code_is_in_the_catalogue() -> None:
    assert {error.code: error for error in CLASSES} == errors.CATALOGUE


def test_every_error_has_a_title_and_a_sentence() -> None:
    for error in CLASSES:
        assert error.title[0].isupper(), error
        assert error.default_detail.endswith("."), error


def test_an_api_key_failure_is_never_401() -> None:
    for code, error in errors.CATALOGUE.items():
        if issubclass(error, errors.ApiKeyError):
            assert STATUS[code] == 403, code


def test_the_document_has_every_code() -> None:
    text = generate_errors.text()
    assert [code for code in STATUS if f"| `{code}` |" not in text] == []


def test_the_browser_client_has_the_same_catalogue() -> None:
    assert TYPESCRIPT.read_text(encoding="utf-8") == generate_errors.typescript()
