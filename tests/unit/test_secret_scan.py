"""The scanner for credentials: every planted one is found, in every form and at every place."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.credentials.api_key import ApiKeyKind, make_api_key
from keybearer.credentials.refresh_token import make_refresh_token
from tests.support.secret_scan import Credential, Finding, Ledger, Scanner, read_ledgers, scan_files

CHANCE = Random(1)
REFRESH_TOKEN = make_refresh_token(
    CHANCE.randbytes(32), key_id=1, session_id=UUID(int=5), place=3, moved_at=1_800_000_000_000, nonce=bytes(16)
)
HEAD = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0"
SIGNATURE = encode_base64url(CHANCE.randbytes(64))
SECRETS = [
    Credential("password", "correct horse battery"),
    Credential("api key", make_api_key(ApiKeyKind.SECRET, CHANCE.randbytes(32))),
    Credential("access token", f"{HEAD}.{SIGNATURE}"),
    Credential("refresh token", REFRESH_TOKEN),
    Credential("key-encryption key", encode_base64url(CHANCE.randbytes(32))),
]
TOKENS = SECRETS[1:]

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "URL-encoded": lambda text: quote(text, safe="").encode(),
    "URL-encoded as a form": lambda text: quote_plus(text).encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "upper hex": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: b64encode(text.encode()),
    "base64 in a header": lambda text: b64encode(f"x:{text}\n".encode()),
    "base64 in another header": lambda text: b64encode(f"xy:{text}".encode()),
    "base64url": lambda text: urlsafe_b64encode(text.encode()),
    "UTF-16": lambda text: text.encode("utf-16-le"),
}


def found(data: bytes) -> set[str]:
    return {finding.kind for finding in Scanner(SECRETS).scan("data", data)}


def surrounded(planted: bytes, offset: int) -> bytes:
    """Other text before it and after."""
    return bytes(range(256)) * 3 + b"." * offset + planted + b"!" + HEAD.encode() + bytes(100)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: str(secret.kind))
def test_a_planted_credential_is_found(secret: Credential, encoding: str) -> None:
    for offset in range(8):
        assert found(surrounded(ENCODINGS[encoding](secret.text), offset)) == {secret.kind}


@pytest.mark.parametrize("secret", TOKENS, ids=lambda secret: str(secret.kind))
def test_the_bytes_of_a_credential_are_found(secret: Credential) -> None:
    text = {"access token": SIGNATURE, "refresh token": secret.text[4:], "api key": secret.text[4:47]}
    raw = decode_base64url(text.get(secret.kind, secret.text))
    assert raw is not None
    for planted in (raw, raw.hex().encode(), raw.hex().upper().encode(), b64encode(raw), b64encode(b"." + raw)):
        assert found(surrounded(planted, 3)) == {secret.kind}


def test_a_secret_part_is_enough() -> None:
    assert found(surrounded(f"token=...{SIGNATURE}".encode(), 1)) == {"access token"}
    assert found(surrounded(REFRESH_TOKEN[-60:].encode(), 1)) == {"refresh token"}


def test_what_is_no_credential_is_not_found() -> None:
    hint, beginning = SECRETS[1].text[:8], REFRESH_TOKEN[:40]
    assert found(surrounded(f"{hint} {beginning} {HEAD}. correct horse".encode(), 2)) == set()
    assert found(b"") == found(b"short") == set()


def test_a_finding_does_not_show_the_credential() -> None:
    (finding,) = Scanner(SECRETS).scan("the log", surrounded(b"correct horse battery", 0))
    assert str(finding) == "the log: password, as it is"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Scanner([Credential("password", "hunter2hunter2")])


def test_files_are_scanned_for_what_processes_wrote_down(tmp_path: Path) -> None:
    known, scanned = tmp_path / "known", tmp_path / "scanned"
    known.mkdir()
    (scanned / "deeper").mkdir(parents=True)
    for number, secrets in enumerate((SECRETS[:2], SECRETS[2:])):
        ledger = Ledger(known / str(number))
        for secret in secrets:
            ledger.note(secret.kind, secret.text)
        ledger.close()
    with (known / "1").open("ab") as killed:
        killed.write(b'{"kind":"pass')
    (scanned / "empty").touch()
    log, database = scanned / "service.log", scanned / "deeper" / "data"
    log.write_bytes(surrounded(REFRESH_TOKEN.encode(), 5))
    database.write_bytes(surrounded(b"nothing", 5))
    report = scan_files([scanned], read_ledgers(known))
    assert Finding(str(log), "refresh token", "as it is") in report.findings
    assert {finding.where for finding in report.findings} == {str(log)}
    assert (report.credentials, report.files) == (len(SECRETS), 3)
    assert report.scanned == log.stat().st_size + database.stat().st_size
