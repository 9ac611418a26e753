"""Every signature vector of Wycheproof gets a verdict from the keys of `keybearer.jose`."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keybearer.base64url import encode_base64url
from keybearer.jose.errors import InvalidJws, InvalidKey
from keybearer.jose.keys import SigningKey, VerificationKey

DATA = Path(__file__).parent / "data/wycheproof"

OUR_KEYS = [SigningKey.generate(algorithm).verification_key() for algorithm in ("ES256", "EdDSA", "RS256")]

SIZES = {
    "ecdsa_secp256r1_sha256_p1363_test.json": 262,
    "ecdsa_secp256r1_sha256_test.json": 484,
    "ecdsa_secp384r1_sha384_p1363_test.json": 280,
    "ecdsa_secp521r1_sha512_p1363_test.json": 318,
    "ed25519_test.json": 151,
    "hmac_sha256_test.json": 174,
    "hmac_sha384_test.json": 174,
    "hmac_sha512_test.json": 174,
    "rsa_pss_2048_sha256_mgf1_32_test.json": 108,
    "rsa_signature_2048_sha256_test.json": 259,
    "rsa_signature_2048_sha384_test.json": 258,
    "rsa_signature_2048_sha512_test.json": 259,
}

# Valid upstream and refused here, with the reason.
REFUSED_THOUGH_VALID = {
    ("rsa_signature_2048_sha256_test.json", 258): "the exponent is 3; 2^16 < e is required (FIPS 186-5 A.1.1)",
    ("rsa_signature_2048_sha256_test.json", 259): "the exponent is 3; 2^16 < e is required (FIPS 186-5 A.1.1)",
}

# Labelled invalid because they are RS256 under another name: for a key pinned to RS256 they are good.
RS256_IN_DISGUISE = {
    ("rsa_pss_2048_sha256_mgf1_32_test.json", 108),
    ("rsa_signature_2048_sha384_test.json", 221),
    ("rsa_signature_2048_sha512_test.json", 221),
}


def cases(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    groups = json.loads((DATA / name).read_text("utf-8"))["testGroups"]
    assert sum(len(group["tests"]) for group in groups) == SIZES[name]
    for group in groups:
        for test in group["tests"]:
            yield group, test


def as_jwk(group: dict[str, Any], algorithm: str) -> dict[str, Any]:
    """The group's public key as a JWK pinned to `algorithm`."""
    key = group["publicKey"]
    if key.get("type") == "EcPublicKey":
        size = len(key["uncompressed"]) // 4 * 2
        x, y = (bytes.fromhex(key["uncompressed"][start : start + size]) for start in (2, 2 + size))
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key["curve"]]
        members = {"kty": "EC", "crv": curve, "x": encode_base64url(x), "y": encode_base64url(y)}
    else:
        members = group.get("publicKeyJwk") or group["keyJwk"]
    return {**members, "kid": "none", "alg": algorithm}


def verdict(jwk: dict[str, Any], test: dict[str, Any]) -> str:
    try:
        key = VerificationKey.from_jwk(jwk)
    except InvalidKey:
        return "invalid"
    return verdict_of_key(key, test)


def verdict_of_key(key: VerificationKey, test: dict[str, Any]) -> str:
    try:
        key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
    except InvalidJws:
        return "invalid"
    return "valid"


@pytest.mark.parametrize(
    "name, algorithm, accepted",
    [
        ("ecdsa_secp256r1_sha256_p1363_test.json", "ES256", 173),
        ("ed25519_test.json", "EdDSA", 88),
        ("rsa_signature_2048_sha256_test.json", "RS256", 7),
    ],
)
def test_supported_algorithms(name: str, algorithm: str, accepted: int) -> None:
    wrong = []
    verdicts: Counter[str] = Counter()
    for group, test in cases(name):
        # 'acceptable' is a legacy encoding (a missing NULL): a strict verifier refuses it.
        expected = "valid" if test["result"] == "valid" else "invalid"
        if (name, test["tcId"]) in REFUSED_THOUGH_VALID:
            assert expected == "valid"
            expected = "invalid"
        answer = verdict(as_jwk(group, algorithm), test)
        verdicts[answer] += 1
        if answer != expected:
            wrong.append((test["tcId"], test["comment"], answer))
    assert wrong == []
    assert verdicts == {"valid": accepted, "invalid": SIZES[name] - accepted}


def test_ecdsa_signatures_in_der_are_refused() -> None:
    """JWS has r, then s. None of the DER signatures that happen to be 64 bytes long is good in that form either."""
    answers = Counter(
        verdict(as_jwk(group, "ES256"), test) for group, test in cases("ecdsa_secp256r1_sha256_test.json")
    )
    assert answers == {"invalid": 484}


@pytest.mark.parametrize(
    "name, algorithm",
    [
        ("ecdsa_secp384r1_sha384_p1363_test.json", "ES384"),
        ("ecdsa_secp521r1_sha512_p1363_test.json", "ES512"),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", "PS256"),
        ("rsa_signature_2048_sha384_test.json", "RS384"),
        ("rsa_signature_2048_sha512_test.json", "RS512"),
    ],
)
def test_unsupported_algorithms(name: str, algorithm: str) -> None:
    """The key is refused under its own algorithm; pinned to one of ours, it verifies none of these signatures."""
    ours = {"EC": "ES256", "RSA": "RS256"}
    counted = 0
    for group, test in cases(name):
        with pytest.raises(InvalidKey, match="the algorithm is not"):
            VerificationKey.from_jwk(as_jwk(group, algorithm))
        jwk = as_jwk(group, ours["EC" if algorithm.startswith("ES") else "RSA"])
        expected = "valid" if (name, test["tcId"]) in RS256_IN_DISGUISE else "invalid"
        assert verdict(jwk, test) == expected, (test["tcId"], test["comment"])
        assert {verdict_of_key(key, test) for key in OUR_KEYS} == {"invalid"}
        counted += 1
    assert counted == SIZES[name]


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_symmetric_keys_and_tags(bits: int) -> None:
    """A shared key is refused as a verification key, and a tag is nobody's signature."""
    name = f"hmac_sha{bits}_test.json"
    counted = 0
    for _, test in cases(name):
        key = encode_base64url(bytes.fromhex(test["key"]))
        with pytest.raises(InvalidKey):
            VerificationKey.from_jwk({"kty": "oct", "k": key, "kid": "none", "alg": f"HS{bits}"})
        with pytest.raises(InvalidKey):
            VerificationKey.from_jwk({"kty": "oct", "kid": "none", "alg": f"HS{bits}"})
        as_signature = {"sig": test["tag"], "msg": test["msg"]}
        assert {verdict_of_key(key, as_signature) for key in OUR_KEYS} == {"invalid"}
        counted += 1
    assert counted == SIZES[name]
