"""Every token of Wycheproof's JWS, JWK and JWE sets and of the JOSE cookbook gets a verdict from `jose.compact`."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keybearer.base64url import decode_base64url
from keybearer.jose.compact import sign, verify
from keybearer.jose.errors import InvalidJws, InvalidKey
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import ALGORITHMS, SigningKey, VerificationKey

DATA = Path(__file__).parent / "data"
COOKBOOK = DATA / "jose_cookbook"
OVERRIDES = json.loads((DATA / "wycheproof/overrides.json").read_text("utf-8"))

SIGNATURES, KEYS = "json_web_signature_test.json", "json_web_key_test.json"
MIXED, ENCRYPTION = "json_web_crypto_test.json", "json_web_encryption_test.json"

# A good token in one of these algorithms is refused, and this is why.
_NOT_OURS = "refused, unsupported algorithm: "
UNSUPPORTED = {
    "HS256": _NOT_OURS + "a symmetric key lets every verifier sign",
    "HS384": _NOT_OURS + "a symmetric key lets every verifier sign",
    "HS512": _NOT_OURS + "a symmetric key lets every verifier sign",
    "RS384": _NOT_OURS + "RS256 is the one RSA algorithm",
    "RS512": _NOT_OURS + "RS256 is the one RSA algorithm",
    "PS256": _NOT_OURS + "RS256 is the one RSA algorithm",
    "PS384": _NOT_OURS + "RS256 is the one RSA algorithm",
    "PS512": _NOT_OURS + "RS256 is the one RSA algorithm",
    "ES521": _NOT_OURS + "no such algorithm; ES256 is the one with ECDSA",
}

# What overrides.json leaves to policy ("skip"), as this project decides it.
POLICY = {
    (SIGNATURES, 347): ("refused", UNSUPPORTED["ES521"]),
    (SIGNATURES, 351): ("refused", UNSUPPORTED["ES521"]),
    (SIGNATURES, 349): ("accepted", "the public key has key_ops [verify]; the misspelt key_ops are the private key's"),
    (KEYS, 1): ("refused", "a set with a symmetric key is refused as a whole"),
    (KEYS, 4): ("refused", "symmetric keys, and two of one name"),
    (KEYS, 7): ("accepted", "no check for ROCA: keys come from this service, which makes its own"),
    (MIXED, 46): ("accepted", "no check for ROCA: keys come from this service, which makes its own"),
}

ACCEPTED = {
    SIGNATURES: {18, 33, 259, 260, 261, 262, 263, 345, 349, 378},
    KEYS: {5, 7},
    MIXED: {18, 33, 46},
}


def cases(name: str) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Each test with the keys that a verifier is given: the public ones, else the shared ones."""
    for group in json.loads((DATA / "wycheproof" / name).read_text("utf-8"))["testGroups"]:
        key = group.get("public") or group["private"]
        for test in group["tests"]:
            yield key.get("keys", [key]), test


def text_of(token: object) -> str:
    return token if isinstance(token, str) else json.dumps(token)


def verdict(keys: list[dict[str, Any]], token: str) -> str:
    try:
        verify(token, KeySet.from_jwks({"keys": keys}), ALGORITHMS, typ=None)
    except (InvalidKey, InvalidJws):
        return "refused"
    return "accepted"


def decoys(kids: set[str]) -> list[KeySet]:
    """Sets in which a key of ours has the name that a token asks for, once in each algorithm."""
    return [KeySet.from_keys(VerificationKey.from_jwk({**key, "kid": kid}) for kid in sorted(kids)) for key in OUR_KEYS]


OUR_KEYS = [SigningKey.generate(algorithm).public_jwk() for algorithm in sorted(ALGORITHMS)]
DECOY_SETS = decoys({key["kid"] for name in (SIGNATURES, KEYS, MIXED) for keys, _ in cases(name) for key in keys})


def expected(name: str, keys: list[dict[str, Any]], test: dict[str, Any]) -> str:
    """The label, put right by overrides.json, the policy above and the algorithms that there are."""
    label = next((o["expect"] for o in OVERRIDES[name] if o["tcId"] == test["tcId"]), test["result"])
    if label == "skip":
        return POLICY[name, test["tcId"]][0]
    if label == "invalid":
        return "refused"
    algorithms = {key["alg"] for key in keys}
    if algorithms <= ALGORITHMS:
        return "accepted"
    assert algorithms <= UNSUPPORTED.keys()
    return "refused"


@pytest.mark.parametrize("name, size, good_but_unsupported", [(SIGNATURES, 401, 36), (KEYS, 26, 4), (MIXED, 49, 2)])
def test_wycheproof(name: str, size: int, good_but_unsupported: int) -> None:
    wrong, accepted, unsupported, counted = [], set(), 0, 0
    for keys, test in cases(name):
        if "jws" not in test:
            continue  # the JWE of the mixed set: see test_encrypted_tokens_are_refused
        counted += 1
        token = text_of(test["jws"])
        answer = verdict(keys, token)
        if answer != expected(name, keys, test):
            wrong.append((test["tcId"], test["comment"], answer))
        if answer == "accepted":
            accepted.add(test["tcId"])
        elif test["result"] == "valid" and not {key["alg"] for key in keys} <= ALGORITHMS:
            unsupported += 1
        for decoy in DECOY_SETS:
            with pytest.raises(InvalidJws):
                verify(token, decoy, ALGORITHMS, typ=None)
    assert wrong == []
    assert counted == size
    assert accepted == ACCEPTED[name]
    assert unsupported == good_but_unsupported


def test_every_policy_is_asked_for() -> None:
    skipped = {
        (name, o["tcId"]) for name in (SIGNATURES, KEYS, MIXED) for o in OVERRIDES[name] if o["expect"] == "skip"
    }
    assert skipped == POLICY.keys()


def test_encrypted_tokens_are_refused() -> None:
    """139 JWE and the 34 of the mixed set: no key of ours, of whatever name, takes one for a JWS."""
    tokens = [text_of(test["jwe"]) for name in (ENCRYPTION, MIXED) for _, test in cases(name) if "jwe" in test]
    assert len(tokens) == 139 + 34
    for token in tokens:
        for decoy in DECOY_SETS:
            with pytest.raises(InvalidJws):
                verify(token, decoy, ALGORITHMS, typ=None)


def test_cookbook_is_whole() -> None:
    assert len(list(COOKBOOK.glob("jws_*.json"))) == 8
    assert len(list(COOKBOOK.glob("jwk_*.json"))) == 6
    assert len(list(COOKBOOK.glob("*.json"))) == 8 + 6 + 1 + 2


def example(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((COOKBOOK / name).read_text("utf-8"))
    return loaded


def public(jwk: dict[str, Any], algorithm: str) -> dict[str, Any]:
    secret = {"d", "p", "q", "dp", "dq", "qi"}
    return {name: value for name, value in jwk.items() if name not in secret} | {"alg": algorithm}


def test_cookbook_rs256_is_accepted() -> None:
    """RFC 7520 section 4.1."""
    case = example("jws_4_1.rsa_v15_signature.json")
    keys = KeySet.from_jwks({"keys": [public(case["input"]["key"], "RS256")]})
    header, payload = verify(case["output"]["compact"], keys, ALGORITHMS, typ=None)
    assert header.algorithm == "RS256"
    assert payload.decode() == case["input"]["payload"]


def test_cookbook_eddsa_holds_and_lacks_a_kid() -> None:
    """RFC 8037 appendix A.4: the signature is good, and the token names no key, which is required here."""
    case = example("curve25519_jws.json")
    key = VerificationKey.from_jwk({**public(case["input"]["key"], "EdDSA"), "kid": "one"})
    signing_input, _, signature = case["output"]["compact"].rpartition(".")
    decoded = decode_base64url(signature)
    assert decoded is not None
    key.verify(decoded, signing_input.encode())
    with pytest.raises(InvalidJws, match="names no key"):
        verify(case["output"]["compact"], KeySet.from_keys([key]), ALGORITHMS, typ=None)


COMPACT_REFUSED = {
    "jws_4_2.rsa-pss_signature.json": "PS384 is not supported",
    "jws_4_3.ecdsa_signature.json": "ES512 is not supported",
    "jws_4_4.hmac-sha2_integrity_protection.json": "HS256 is not supported",
    "jws_4_5.signature_with_detached_content.json": "HS256 is not supported, and the payload is missing",
    "rfc7797_hmac-sha2_b64_false.json": "b64 and crit, and HS256",
}


@pytest.mark.parametrize("name", COMPACT_REFUSED)
def test_cookbook_compact_tokens_that_are_refused(name: str) -> None:
    case = example(name)
    token = case["output"]["compact"]
    assert verdict([case["input"]["key"] | {"alg": case["input"]["alg"]}], token) == "refused"
    for decoy in DECOY_SETS:
        with pytest.raises(InvalidJws):
            verify(token, decoy, ALGORITHMS, typ=None)


def test_cookbook_json_serializations_are_refused() -> None:
    """The general and the flattened form (RFC 7515 section 7.2) of every example; three have no other."""
    texts = [
        json.dumps(case["output"][form])
        for path in COOKBOOK.glob("*.json")
        if "output" in (case := example(path.name))
        for form in ("json", "json_flat")
        if form in case["output"]
    ]
    assert len(texts) == 21
    for text in texts:
        with pytest.raises(InvalidJws):
            verify(text, DECOY_SETS[0], ALGORITHMS, typ=None)


COOKBOOK_KEYS = {
    "jwk_3_1.ec_public_key.json": "P-521",
    "jwk_3_2.ec_private_key.json": "private",
    "jwk_3_3.rsa_public_key.json": None,
    "jwk_3_4.rsa_private_key.json": "private",
    "jwk_3_5.symmetric_key_mac_computation.json": "symmetric",
    "jwk_3_6.symmetric_key_encryption.json": "symmetric",
}


@pytest.mark.parametrize("name, refused", COOKBOOK_KEYS.items())
def test_cookbook_keys(name: str, refused: str | None) -> None:
    """Each key as it stands (without alg, so never usable), and pinned to each of our algorithms."""
    jwk = example(name)
    with pytest.raises(InvalidKey):
        VerificationKey.from_jwk(jwk)
    usable = []
    for algorithm in sorted(ALGORITHMS):
        try:
            usable.append(VerificationKey.from_jwk({**jwk, "alg": algorithm}).algorithm)
        except InvalidKey:
            continue
    assert usable == ([] if refused else ["RS256"])


def test_thumbprints_of_the_rfcs() -> None:
    """RFC 8037 appendix A.3, with the private key of its appendix A.1."""
    seed = decode_base64url(example("curve25519_jws.json")["input"]["key"]["d"])
    assert seed is not None
    pkcs8 = bytes.fromhex("302e020100300506032b657004220420") + seed
    key = SigningKey.from_pkcs8(pkcs8, "EdDSA")
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    token = sign(b"Example of Ed25519 signing", key, "test")
    assert verify(token, KeySet.from_jwks({"keys": [key.public_jwk()]}), ALGORITHMS, typ="test")[1].startswith(b"Ex")


def test_counts_of_labels() -> None:
    """The labels upstream, so that a changed copy of the data is noticed."""
    labels = {name: Counter(test["result"] for _, test in cases(name)) for name in (SIGNATURES, KEYS, MIXED)}
    assert labels == {
        SIGNATURES: {"valid": 46, "invalid": 355},
        KEYS: {"valid": 5, "invalid": 21},
        MIXED: {"valid": 6, "invalid": 77},
    }
