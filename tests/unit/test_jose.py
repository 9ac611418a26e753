import hmac
import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybearer.base64url import decode_base64url, encode_base64url
from keybearer.jose import compact
from keybearer.jose.compact import MAX_LENGTH, sign, verify
from keybearer.jose.errors import InvalidJws, InvalidKey, JoseError
from keybearer.jose.header import normalize_typ, parse_header
from keybearer.jose.key_set import MAX_KEYS, KeySet
from keybearer.jose.keys import ALGORITHMS, SigningKey, VerificationKey, _thumbprint

# Machines are shared, and the first draw of a text reads the table of Unicode.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in sorted(ALGORITHMS)}
KEY_SET = KeySet.from_jwks({"keys": [key.public_jwk() for key in KEYS.values()]})
ES256 = KEYS["ES256"]


def fresh_set() -> KeySet:
    """The same keys, with no header remembered."""
    return KeySet.from_jwks(KEY_SET.to_jwks())


def forge(header: object, payload: bytes = b"{}", key: SigningKey = ES256) -> str:
    """A token with any header, and a signature over it that holds."""
    text = header if isinstance(header, str) else json.dumps(header)
    signing_input = f"{encode_base64url(text.encode())}.{encode_base64url(payload)}"
    return f"{signing_input}.{encode_base64url(key.sign(signing_input.encode()))}"


def header_of(key: SigningKey = ES256, /, **more: object) -> dict[str, object]:
    return {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt", **more}


def refused(token: str, match: str, algorithms: frozenset[str] = ALGORITHMS, typ: str | None = "at+jwt") -> None:
    for key_set in (fresh_set(), KEY_SET):
        with pytest.raises(InvalidJws, match=match):
            verify(token, key_set, algorithms, typ=typ)


class TestBase64url:
    @unhurried
    @given(st.binary(max_size=100))
    def test_round_trip(self, data: bytes) -> None:
        assert decode_base64url(encode_base64url(data)) == data

    @unhurried
    @given(st.text(st.sampled_from("AQgwxyz019-_EIM=+/ \n"), max_size=9))
    def test_one_text_only(self, text: str) -> None:
        data = decode_base64url(text)
        assert data is None or encode_base64url(data) == text

    @pytest.mark.parametrize(
        "text", ["A", "AB", "AAB", "AA==", "AAA=", "AA\n", " AA", "A A", "A+A", "A/A", "AÄA", "＿A"]
    )
    def test_refuses(self, text: str) -> None:
        assert decode_base64url(text) is None


class TestRoundTrip:
    @pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
    def test_each_algorithm(self, algorithm: str) -> None:
        key_set = fresh_set()
        for payload in (b"", b"\x00", b"payload"):
            for _ in range(2):
                header, read = verify(sign(payload, KEYS[algorithm], "at+jwt"), key_set, ALGORITHMS, typ="at+jwt")
                assert (header.algorithm, header.kid, read) == (algorithm, KEYS[algorithm].kid, payload)

    @unhurried
    @given(st.binary(max_size=300))
    def test_any_payload(self, payload: bytes) -> None:
        for key in (ES256, KEYS["EdDSA"]):
            assert verify(sign(payload, key, "x"), KEY_SET, frozenset({key.algorithm}), typ="x")[1] == payload

    def test_es256_signature_is_r_and_s(self) -> None:
        for _ in range(50):
            assert len(ES256.sign(b"x")) == 64

    def test_too_long_a_token_is_not_signed(self) -> None:
        with pytest.raises(InvalidJws, match="at most 8192"):
            sign(bytes(MAX_LENGTH), ES256, "at+jwt")


class TestHostileTokens:
    def test_none(self) -> None:
        for name in ("none", "None", "NONE", "nOnE", ""):
            unsigned = f"{encode_base64url(json.dumps(header_of(alg=name)).encode())}.e30."
            refused(unsigned, "algorithm is not allowed")
            refused(forge(header_of(alg=name)), "algorithm is not allowed")

    def test_hs256_with_the_public_key(self) -> None:
        secrets = [
            json.dumps(ES256.public_jwk()).encode(),
            ES256.kid.encode(),
            KEYS["RS256"].public_jwk()["n"].encode(),
        ]
        for secret in secrets:
            signing_input = f"{encode_base64url(json.dumps(header_of(alg='HS256')).encode())}.e30"
            tag = hmac.digest(secret, signing_input.encode(), "sha256")
            refused(f"{signing_input}.{encode_base64url(tag)}", "algorithm is not allowed")

    @pytest.mark.parametrize("claimed", sorted(ALGORITHMS))
    @pytest.mark.parametrize("actual", sorted(ALGORITHMS))
    def test_a_key_serves_its_own_algorithm_only(self, claimed: str, actual: str) -> None:
        if claimed != actual:
            refused(forge(header_of(KEYS[actual], alg=claimed), key=KEYS[actual]), "another algorithm")

    def test_algorithms_that_are_not_allowed(self) -> None:
        token = sign(b"{}", ES256, "at+jwt")
        verify(token, KEY_SET, ALGORITHMS, typ="at+jwt")
        refused(token, "algorithm is not allowed", frozenset())
        refused(token, "algorithm is not allowed", frozenset({"EdDSA", "RS256"}))
        refused(token, "algorithm is not allowed", frozenset({"es256", "HS256"}))

    @pytest.mark.parametrize("name", ["crit", "b64", "jku", "jwk", "x5u", "x5c"])
    @pytest.mark.parametrize("value", [None, [], ["exp"], True, "https://attacker.example", ES256.public_jwk()])
    def test_parameters_that_are_refused(self, name: str, value: object) -> None:
        refused(forge(header_of(**{name: value})), f"parameter {name} is refused")

    def test_parameters_that_are_not_understood_are_ignored(self) -> None:
        token = forge(header_of(cty="x", x5t="y", nested={"a": [1]}))
        assert verify(token, fresh_set(), ALGORITHMS, typ="at+jwt")

    @pytest.mark.parametrize(
        "typ", ["JWT", "jwt", "at", "at+jwt ", "application/", "text/at+jwt", "application/x/at+jwt", "", "rt+jwt"]
    )
    def test_typ_is_compared(self, typ: str) -> None:
        refused(forge(header_of(typ=typ)), "another type")

    @pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
    def test_typ_in_other_spellings(self, typ: str) -> None:
        token = forge(header_of(typ=typ))
        assert verify(token, fresh_set(), ALGORITHMS, typ="at+jwt")
        assert verify(token, fresh_set(), ALGORITHMS, typ="application/at+jwt")

    @pytest.mark.parametrize("typ", [None, 1, [], {}, "at+j\u017ft", "\u212a"])
    def test_typ_of_another_kind(self, typ: object) -> None:
        refused(forge(header_of(typ=typ)), "not a media type")

    def test_typ_missing(self) -> None:
        refused(forge({"alg": "ES256", "kid": ES256.kid}), "another type")

    @pytest.mark.parametrize("kid", [None, "", 1, ["x"], "x" * 257])
    def test_kid_of_another_kind(self, kid: object) -> None:
        refused(forge(header_of(kid=kid)), "names no key")

    def test_kid_missing_and_unknown(self) -> None:
        refused(forge({"alg": "ES256", "typ": "at+jwt"}), "names no key")
        refused(forge(header_of(kid="../../dev/null")), "no key of the set")
        refused(forge(header_of(SigningKey.generate("ES256"))), "no key of the set")

    @pytest.mark.parametrize("alg", [None, 1, ["ES256"], {}, True])
    def test_alg_of_another_kind(self, alg: object) -> None:
        refused(forge(header_of(alg=alg)), "names no algorithm")

    @pytest.mark.parametrize(
        "header",
        [
            f'{{"alg":"ES256","alg":"ES256","kid":"{ES256.kid}","typ":"at+jwt"}}',
            f'{{"alg":"ES256","kid":"{ES256.kid}","typ":"at+jwt","x":NaN}}',
            f'{{"alg":"ES256","kid":"{ES256.kid}","typ":"at+jwt","x":1e999}}',
            f'{{"alg":"ES256","kid":"{ES256.kid}","typ":"at+jwt","x":{"[" * 40}{"]" * 40}}}',
            f'{{"alg":"ES256","kid":"{ES256.kid}","typ":"at+jwt"}} x',
            "[]",
            "null",
            '"ES256"',
            "",
            "{}",
        ],
        ids=range(10),  # the kid is a new one in each process
    )
    def test_headers_that_are_no_strict_json_object(self, header: str) -> None:
        refused(forge(header), ".")

    def test_one_text_only(self) -> None:
        token = sign(b"payload", ES256, "at+jwt")
        header, payload, signature = token.split(".")
        assert verify(token, KEY_SET, ALGORITHMS, typ="at+jwt")
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(signature[-1])
        stray = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + 1]
        for variant in (
            f"{header}.{payload}.{signature}=",
            f"{header}.{payload}.{signature}==",
            f"{header}=.{payload}.{signature}",
            f"{header}.{payload}=.{signature}",
            f"{header}.{payload}.{signature[:-1]}{stray}",
            f"{header}.{payload}.{signature}\n",
            f" {token}",
            f"{header}.{payload} .{signature}",
            f"{header}.{payload}.{signature[:-1]}",
            f"{header}.{payload}.{signature}A",
            f"{header}.{payload}.{signature}AAAA",
            f"{token}.",
            f".{token}",
            f"{header}.{payload}",
            f"{header}.{payload}.",
            f"{header}..{signature}",
            f".{payload}.{signature}",
            f"{header}.{payload}.{signature}.{signature}",
            "..",
            "",
        ):
            refused(variant, ".")

    def test_size(self) -> None:
        refused("A" * (MAX_LENGTH + 1), "too long")
        refused(f"{'A' * MAX_LENGTH}..", "too long")


class TestKnownHeaders:
    def test_only_verified_headers_are_remembered(self) -> None:
        key_set = fresh_set()
        good = sign(b"{}", ES256, "at+jwt")
        header, payload, signature = good.split(".")
        for bad in (
            f"{header}.{payload}AA.{signature}",
            f"{header}.{payload}.{signature[:-4]}AAAA",
            forge(header_of(kid="no")),
        ):
            with pytest.raises(InvalidJws):
                verify(bad, key_set, ALGORITHMS, typ="at+jwt")
        assert key_set.find_header(header) is None
        verify(good, key_set, ALGORITHMS, typ="at+jwt")
        assert key_set.find_header(header) is not None

    def test_a_known_header_is_not_parsed_again_and_everything_else_is_checked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key_set = fresh_set()
        good = sign(b"{}", ES256, "at+jwt")
        header, payload, signature = good.split(".")
        verify(good, key_set, ALGORITHMS, typ="at+jwt")
        monkeypatch.delattr(compact, "parse_header")
        verify(good, key_set, ALGORITHMS, typ="at+jwt")
        for bad, algorithms, typ in (
            (f"{header}.{payload[:-2]}AA.{signature}", ALGORITHMS, "at+jwt"),
            (good, frozenset[str](), "at+jwt"),
            (good, ALGORITHMS, "jwt"),
        ):
            with pytest.raises(InvalidJws):
                verify(bad, key_set, algorithms, typ=typ)

    def test_the_table_is_bounded(self) -> None:
        key_set = fresh_set()
        for number in range(300):
            verify(forge(header_of(number=number)), key_set, ALGORITHMS, typ="at+jwt")
        assert len(key_set._known_headers) == 256


@unhurried
@given(st.binary())
def test_header_parsing_never_fails_otherwise(data: bytes) -> None:
    with pytest.raises(InvalidJws):
        parse_header(encode_base64url(data))


@pytest.mark.parametrize(
    "typ, short",
    [("at+jwt", "at+jwt"), ("APPLICATION/JWT", "jwt"), ("text/x", "text/x"), ("application/a/b", "application/a/b")],
)
def test_normalize_typ(typ: str, short: str) -> None:
    assert normalize_typ(typ) == short


class TestSigningKey:
    @pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
    def test_pkcs8_round_trip(self, algorithm: str) -> None:
        key = KEYS[algorithm]
        again = SigningKey.from_pkcs8(key.to_pkcs8(), algorithm)
        assert (again.kid, again.public_jwk()) == (key.kid, key.public_jwk())
        again.verification_key().verify(key.sign(b"x"), b"x")

    @pytest.mark.parametrize("claimed", sorted(ALGORITHMS))
    @pytest.mark.parametrize("actual", sorted(ALGORITHMS))
    def test_pkcs8_of_another_algorithm(self, claimed: str, actual: str) -> None:
        if claimed != actual:
            with pytest.raises(InvalidKey):
                SigningKey.from_pkcs8(KEYS[actual].to_pkcs8(), claimed)

    def test_pkcs8_that_is_unfit(self) -> None:
        der, plain = Encoding.DER, PrivateFormat.PKCS8
        p384 = ec.generate_private_key(ec.SECP384R1()).private_bytes(der, plain, NoEncryption())
        small = rsa.generate_private_key(65537, 1024).private_bytes(der, plain, NoEncryption())  # noqa: S505 - to be refused
        locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(der, plain, BestAvailableEncryption(b"x"))
        for data, algorithm in (
            (p384, "ES256"),
            (small, "RS256"),
            (locked, "ES256"),
            (b"", "ES256"),
            (b"\x30\x00", "EdDSA"),
        ):
            with pytest.raises(InvalidKey):
                SigningKey.from_pkcs8(data, algorithm)

    @unhurried
    @given(st.binary(max_size=200))
    def test_pkcs8_of_noise(self, data: bytes) -> None:
        with pytest.raises(InvalidKey):
            SigningKey.from_pkcs8(data, "ES256")

    @pytest.mark.parametrize("algorithm", ["HS256", "none", "", "es256", "ES384"])
    def test_algorithms_that_there_are_not(self, algorithm: str) -> None:
        with pytest.raises(InvalidKey):
            SigningKey.generate(algorithm)
        with pytest.raises(InvalidKey):
            SigningKey.from_pkcs8(ES256.to_pkcs8(), algorithm)

    def test_generated_rsa_keys_have_3072_bits(self) -> None:
        modulus = decode_base64url(KEYS["RS256"].public_jwk()["n"])
        assert modulus is not None
        assert len(modulus) * 8 == 3072

    @pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
    def test_public_jwk(self, algorithm: str) -> None:
        key = KEYS[algorithm]
        jwk = key.public_jwk()
        assert (jwk["kid"], jwk["alg"], jwk["use"]) == (key.kid, algorithm, "sig")
        assert not {"d", "p", "q", "k"} & jwk.keys()
        assert VerificationKey.from_jwk(jwk).to_jwk() == jwk

    @pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
    def test_repr_shows_no_secret(self, algorithm: str) -> None:
        key = KEYS[algorithm]
        assert repr(key) == f"SigningKey(kid={key.kid!r}, algorithm={algorithm!r})"

    def test_keys_do_not_change(self) -> None:
        for key in (ES256, ES256.verification_key()):
            with pytest.raises(FrozenInstanceError):
                key.algorithm = "RS256"  # type: ignore[misc] # that it is refused is the point

    def test_thumbprint_of_rfc_7638(self) -> None:
        """Section 3.1."""
        modulus = (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
            "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
            "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
            "kEgU8awapJzKnqDKgw"
        )
        key = VerificationKey.from_jwk({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"})
        assert _thumbprint(key._public.members()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def uint(number: int) -> str:
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8))


EC_JWK, OKP_JWK, RSA_JWK = (KEYS[algorithm].public_jwk() for algorithm in ("ES256", "EdDSA", "RS256"))
MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("private EC", {**EC_JWK, "d": "AAAA"}),
    ("private OKP", {**OKP_JWK, "d": "AAAA"}),
    ("private RSA", {**RSA_JWK, "p": "AAAA"}),
    ("symmetric", {**EC_JWK, "k": "AAAA"}),
    ("no kid", {name: value for name, value in EC_JWK.items() if name != "kid"}),
    ("empty kid", {**EC_JWK, "kid": ""}),
    ("kid is a number", {**EC_JWK, "kid": 1}),
    ("long kid", {**EC_JWK, "kid": "x" * 257}),
    ("EC as RSA", {**EC_JWK, "kty": "RSA"}),
    ("EC with EdDSA", {**EC_JWK, "alg": "EdDSA"}),
    ("OKP with ES256", {**OKP_JWK, "alg": "ES256"}),
    ("other curve", {**EC_JWK, "crv": "P-384"}),
    ("no curve", {name: value for name, value in EC_JWK.items() if name != "crv"}),
    ("Ed448", {**OKP_JWK, "crv": "Ed448"}),
    ("X25519", {**OKP_JWK, "crv": "X25519"}),
    ("key_ops sign", {**EC_JWK, "key_ops": ["sign", "verify"]}),
    ("key_ops twice", {**EC_JWK, "key_ops": ["verify", "verify"]}),
    ("key_ops text", {**EC_JWK, "key_ops": "verify"}),
    ("key_ops empty", {**EC_JWK, "key_ops": []}),
    ("point off the curve", {**EC_JWK, "x": EC_JWK["y"], "y": EC_JWK["x"]}),
    ("point zero", {**EC_JWK, "x": "A" * 43, "y": "A" * 43}),
    ("coordinate beyond the field", {**EC_JWK, "x": encode_base64url(b"\xff" * 32)}),
    ("short coordinate", {**EC_JWK, "x": encode_base64url(b"\x01" * 31)}),
    ("long coordinate", {**EC_JWK, "x": encode_base64url(b"\x00" + b"\x01" * 32)}),
    ("padded coordinate", {**EC_JWK, "x": EC_JWK["x"] + "="}),
    ("coordinate missing", {name: value for name, value in EC_JWK.items() if name != "y"}),
    ("coordinate a number", {**EC_JWK, "x": 5}),
    ("short Ed25519", {**OKP_JWK, "x": encode_base64url(b"\x01" * 31)}),
    ("RSA 2047 bits", {**RSA_JWK, "n": uint(2**2047 - 1)}),
    ("RSA 8200 bits", {**RSA_JWK, "n": uint(2**8200 - 1)}),
    ("RSA huge", {**RSA_JWK, "n": "_" * 400_000}),
    ("RSA even", {**RSA_JWK, "n": uint(2**2048 - 2)}),
    ("RSA leading zero", {**RSA_JWK, "n": encode_base64url(b"\x00" + b"\xff" * 256)}),
    ("RSA empty", {**RSA_JWK, "n": ""}),
    ("e is 1", {**RSA_JWK, "e": "AQ"}),
    ("e is 3", {**RSA_JWK, "e": "Aw"}),
    ("e is even", {**RSA_JWK, "e": uint(65538)}),
    ("e is huge", {**RSA_JWK, "e": uint(2**32 + 1)}),
    ("e has a leading zero", {**RSA_JWK, "e": "AAEAAQ"}),
    ("e is zero", {**RSA_JWK, "e": "AA"}),
]


class TestVerificationKey:
    @pytest.mark.parametrize("jwk", [jwk for _, jwk in MALFORMED], ids=[name for name, _ in MALFORMED])
    def test_malformed_keys_are_refused_alone_and_in_a_set(self, jwk: dict[str, Any]) -> None:
        with pytest.raises(InvalidKey):
            VerificationKey.from_jwk(jwk)
        with pytest.raises(InvalidKey):
            KeySet.from_jwks({"keys": [KEYS["EdDSA"].public_jwk(), jwk]})

    @pytest.mark.parametrize("alg", [None, "HS256", "none", "RS512", "ES521", 1, ["ES256"]])
    def test_other_algorithms(self, alg: object) -> None:
        with pytest.raises(InvalidKey):
            VerificationKey.from_jwk({**EC_JWK, "alg": alg})

    @pytest.mark.parametrize("use", ["enc", "", None, 1])
    def test_other_uses(self, use: object) -> None:
        with pytest.raises(InvalidKey):
            VerificationKey.from_jwk({**EC_JWK, "use": use})

    def test_what_is_optional(self) -> None:
        jwk = {name: value for name, value in EC_JWK.items() if name != "use"}
        key = VerificationKey.from_jwk({**jwk, "key_ops": ["verify"], "x5u": "https://attacker.example", "ext": 1})
        assert key.to_jwk() == EC_JWK

    @unhurried
    @given(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "alg", "kid", "x", "y", "n", "e", "use"]), st.text() | st.integers()
        )
    )
    def test_nothing_but_jose_errors(self, members: dict[str, Any]) -> None:
        for jwk in (EC_JWK, OKP_JWK, RSA_JWK):
            for candidate in (members, {**jwk, **members}):
                try:
                    VerificationKey.from_jwk(candidate)
                except JoseError:
                    continue


class TestKeySet:
    def test_round_trip(self) -> None:
        assert KeySet.from_jwks(KEY_SET.to_jwks()).to_jwks() == KEY_SET.to_jwks()
        assert [key["kid"] for key in KEY_SET.to_jwks()["keys"]] == [key.kid for key in KEYS.values()]

    @pytest.mark.parametrize(
        "jwk",
        [
            {"kty": "EC", "crv": "P-384", "alg": "ES384"},
            {"kty": "AKP", "alg": "ML-DSA-44"},
            {**EC_JWK, "alg": "ECDH-ES"},
            {**EC_JWK, "use": "enc"},
            {name: value for name, value in EC_JWK.items() if name != "alg"},
        ],
    )
    def test_other_kinds_of_keys_are_ignored(self, jwk: dict[str, Any]) -> None:
        key_set = KeySet.from_jwks({"keys": [jwk, OKP_JWK]})
        assert [key["kid"] for key in key_set.to_jwks()["keys"]] == [OKP_JWK["kid"]]

    @pytest.mark.parametrize(
        "entry",
        [
            {"kty": "oct", "k": "AAAA", "alg": "HS256", "kid": "x"},
            {"kty": "oct", "kid": "x"},
            {"kty": "EC", "crv": "P-384", "alg": "ES384", "d": "AAAA"},
            {"kty": ["EC"]},
            {"alg": "ES256"},
            {"kty": "EC", "alg": None},
            {"kty": "EC", "use": 1},
            {},
            None,
            "key",
            [],
        ],
    )
    def test_sets_that_are_refused(self, entry: object) -> None:
        with pytest.raises(InvalidKey):
            KeySet.from_jwks({"keys": [OKP_JWK, entry]})

    @pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": [{}] * (MAX_KEYS + 1)}])
    def test_what_is_no_set(self, jwks: dict[str, Any]) -> None:
        with pytest.raises(InvalidKey):
            KeySet.from_jwks(jwks)

    def test_names_are_unique(self) -> None:
        with pytest.raises(InvalidKey, match="same kid"):
            KeySet.from_jwks({"keys": [EC_JWK, EC_JWK]})
        with pytest.raises(InvalidKey, match="same kid"):
            KeySet.from_jwks({"keys": [EC_JWK, {**OKP_JWK, "kid": EC_JWK["kid"]}]})

    def test_number_of_keys(self) -> None:
        keys = [{**EC_JWK, "kid": str(number)} for number in range(MAX_KEYS + 1)]
        assert KeySet.from_jwks({"keys": keys[:-1]}).find_key("63")
        with pytest.raises(InvalidKey, match="at most 64"):
            KeySet.from_keys(VerificationKey.from_jwk(key) for key in keys)

    def test_an_empty_set_verifies_nothing(self) -> None:
        with pytest.raises(InvalidJws, match="no key"):
            verify(sign(b"", ES256, "at+jwt"), KeySet.from_jwks({"keys": []}), ALGORITHMS, typ="at+jwt")

    def test_sets_do_not_change(self) -> None:
        with pytest.raises(FrozenInstanceError):
            KEY_SET._keys = {}  # type: ignore[misc] # that it is refused is the point
        with pytest.raises(TypeError):
            KEY_SET._keys["x"] = ES256.verification_key()  # type: ignore[index] # as above
