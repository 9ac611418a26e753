"""Every string of the Big List of Naughty Strings: as a token, as claims, as JSON."""

import json
from pathlib import Path

import pytest

from keybearer.credentials.access_token import AccessTokenVerifier, issue_access_token
from keybearer.errors import AccessTokenCorrupted, AccessTokenInvalid
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey
from keybearer.strict_json import dumps, loads

STRINGS: list[str] = json.loads((Path(__file__).parent / "data/blns/blns.json").read_text("utf-8"))
KEY = SigningKey.generate("ES256")
VERIFIER = AccessTokenVerifier(issuer="me", audience="you", keys=KeySet.from_jwks({"keys": [KEY.public_jwk()]}))


def issue(*, user_id: str = "user", roles: tuple[str, ...] = (), scope: str = "") -> str:
    return issue_access_token(
        KEY,
        issuer="me",
        audience="you",
        user_id=user_id,
        application_id="application",
        session_id="session",
        token_id="token",
        ver=0,
        issued_at=1000,
        expires_at=2000,
        roles=roles,
        scope=scope,
    )


def test_the_list_is_whole() -> None:
    assert len(STRINGS) == 515


def test_as_tokens() -> None:
    good = VERIFIER.verify(issue(), now=1500)
    assert good.user_id == "user"
    refused = []
    for text in STRINGS:
        for token in (text, f"{issue()}{text}" if text else "", f"{text}.{text}.{text}"):
            with pytest.raises((AccessTokenCorrupted, AccessTokenInvalid)) as caught:
                VERIFIER.verify(token, now=1500)
            refused.append(type(caught.value))
    assert len(refused) == 3 * 515
    assert set(refused) == {AccessTokenCorrupted, AccessTokenInvalid}


def test_as_texts_in_claims() -> None:
    """Any text of 1 to 1024 characters comes back as it was; others are not signed."""
    unsigned = []
    for text in STRINGS:
        try:
            token = issue(user_id=text, roles=(text, "plain"))
        except ValueError:
            unsigned.append(text)
            continue
        verified = VERIFIER.verify(token, now=1500)
        assert verified.user_id == text
        assert verified.roles == (text, "plain")
    assert all(not text or len(text) > 1024 for text in unsigned)
    assert "" in unsigned
    assert len(unsigned) < 5


def test_as_scope() -> None:
    """Words of RFC 6749 section 3.3 come back; whatever is not made of them is not signed."""
    signed = 0
    for text in STRINGS:
        try:
            token = issue(scope=text)
        except ValueError:
            continue
        scope = VERIFIER.verify(token, now=1500).scope
        assert scope == (frozenset(text.split(" ")) if text else frozenset())
        assert text.isascii()
        signed += 1
    assert signed == 198


def test_as_json() -> None:
    for text in STRINGS:
        document = {text: [text, {"nested": text}]}
        for encoded in (dumps(document), json.dumps(document).encode()):
            assert loads(encoded) == document
