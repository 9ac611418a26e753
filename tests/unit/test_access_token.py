import json
import time
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keybearer.base64url import encode_base64url
from keybearer.credentials.access_token import AccessToken, AccessTokenVerifier, issue_access_token
from keybearer.errors import (
    AccessTokenCorrupted,
    AccessTokenError,
    AccessTokenExpired,
    AccessTokenInvalid,
    AccessTokenWrongApplication,
)
from keybearer.jose.compact import sign
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey

# Machines are shared, and the first draw of a text reads the table of Unicode.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ISSUER, AUDIENCE = "https://auth.example", "https://api.example"
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in ("ES256", "EdDSA", "RS256")}
KEY = KEYS["ES256"]
KEY_SET = KeySet.from_jwks({"keys": [key.public_jwk() for key in KEYS.values()]})
VERIFIER = AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET)

ISSUED_AT, EXPIRES_AT = 1_800_000_000, 1_800_000_900
NOW = ISSUED_AT + 1
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "user",
    "aud": AUDIENCE,
    "client_id": "application",
    "sid": "session",
    "jti": "token",
    "iat": ISSUED_AT,
    "exp": EXPIRES_AT,
    "ver": 3,
}
ABSENT = object()


def issue(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "user_id": "user",
        "application_id": "application",
        "session_id": "session",
        "token_id": "token",
        "ver": 3,
        "issued_at": ISSUED_AT,
        "expires_at": EXPIRES_AT,
    }
    return issue_access_token(changes.pop("key", KEY), **arguments | changes)


def forge(**changes: object) -> str:
    """A token whose signature holds over `GOOD` with these claims changed; ABSENT takes one out."""
    claims = {name: value for name, value in (GOOD | changes).items() if value is not ABSENT}
    return sign(json.dumps(claims).encode(), KEY, "at+jwt")


def sign_text(payload: str) -> str:
    return sign(payload.encode(), KEY, "at+jwt")


def verify(token: str, **arguments: Any) -> AccessToken:
    return VERIFIER.verify(token, **{"now": NOW} | arguments)


class TestGood:
    def test_every_field(self) -> None:
        token = verify(issue(roles=("admin", "editor"), scope="read write"), application_id="application")
        assert token == AccessToken(
            user_id="user",
            application_id="application",
            session_id="session",
            token_id="token",
            issuer=ISSUER,
            audience=(AUDIENCE,),
            issued_at=ISSUED_AT,
            expires_at=EXPIRES_AT,
            ver=3,
            scope=frozenset({"read", "write"}),
            roles=("admin", "editor"),
            claims=GOOD | {"scope": "read write", "roles": ["admin", "editor"]},
        )

    def test_names_of_claims(self) -> None:
        assert list(verify(issue()).claims) == ["iss", "sub", "aud", "client_id", "sid", "jti", "iat", "exp", "ver"]
        assert list(verify(issue(roles=["a"], scope="b")).claims)[9:] == ["scope", "roles"]

    def test_it_does_not_change(self) -> None:
        token = verify(issue())
        with pytest.raises(FrozenInstanceError):
            token.user_id = "another"  # type: ignore[misc] # that it is refused is the point
        with pytest.raises(TypeError):
            token.claims["sub"] = "another"  # type: ignore[index] # as above
        assert hash(token) == hash(verify(issue()))

    @pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
    def test_algorithms(self, algorithm: str) -> None:
        token = issue(key=KEYS[algorithm])
        verifier = AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET, algorithms=[algorithm])
        assert verifier.verify(token, now=NOW).user_id == "user"
        if algorithm != "ES256":
            with pytest.raises(AccessTokenInvalid):
                verify(token)

    def test_an_audience_among_others(self) -> None:
        assert verify(forge(aud=["https://other.example", AUDIENCE])).audience == ("https://other.example", AUDIENCE)

    def test_instants_with_fractions_are_cut(self) -> None:
        token = verify(forge(exp=EXPIRES_AT + 0.9, iat=ISSUED_AT + 0.9))
        assert (token.issued_at, token.expires_at) == (ISSUED_AT, EXPIRES_AT)

    def test_the_clock_is_the_default(self) -> None:
        now = int(time.time())
        assert VERIFIER.verify(issue(issued_at=now, expires_at=now + 60)).expires_at == now + 60
        with pytest.raises(AccessTokenExpired):
            VERIFIER.verify(issue(issued_at=now - 60, expires_at=now - 30))

    @unhurried
    @given(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=5),
        st.lists(st.text("abc:/._-", min_size=1), max_size=5),
        st.integers(0, 2**63 - 1),
    )
    def test_round_trip(self, text: str, roles: list[str], words: list[str], ver: int) -> None:
        token = verify(issue(user_id=text, token_id=text, roles=roles, scope=" ".join(words), ver=ver))
        assert (token.user_id, token.token_id, token.roles, token.ver) == (text, text, tuple(roles), ver)
        assert token.scope == frozenset(words)


class TestOrder:
    """Nothing later runs when something earlier fails (contract.md section 2)."""

    @pytest.mark.parametrize("token", ["", " ", "a b", "a\n", "A" * 8193, "tok=en", None, b"token", 1, ["x"]])
    def test_corrupted(self, token: Any) -> None:
        with pytest.raises(AccessTokenCorrupted):
            verify(token)

    @pytest.mark.parametrize("token", ["x", "...", "..", "a.b.c", "e30.e30.e30", "A" * 8192])
    def test_in_the_alphabet_and_no_token(self, token: str) -> None:
        with pytest.raises(AccessTokenInvalid):
            verify(token)

    def test_before_the_signature_holds_nothing_is_told_about_claims(self) -> None:
        default = AccessTokenInvalid().detail
        head, _, signature = issue().split(".")
        lies: list[object] = [GOOD | {"exp": 1}, GOOD | {"iss": "x"}, {}, []]
        for claims in lies:
            token = f"{head}.{encode_base64url(json.dumps(claims).encode())}.{signature}"
            with pytest.raises(AccessTokenInvalid) as caught:
                verify(token)
            assert caught.value.detail == default

    def test_claims_before_expiry_before_application(self) -> None:
        with pytest.raises(AccessTokenInvalid):
            verify(forge(exp=NOW - 1, iss="x", client_id="y"), application_id="application")
        with pytest.raises(AccessTokenInvalid):
            verify(forge(exp=NOW - 1, ver=None))
        with pytest.raises(AccessTokenExpired):
            verify(forge(exp=NOW - 1, client_id="y"), application_id="application")
        with pytest.raises(AccessTokenWrongApplication):
            verify(forge(client_id="y"), application_id="application")
        assert verify(forge(client_id="y")).application_id == "y"

    def test_the_application_is_compared_exactly(self) -> None:
        for other in ("", "Application", "application ", "applicatio"):
            with pytest.raises(AccessTokenWrongApplication):
                verify(issue(), application_id=other)

    def test_no_value_is_echoed(self) -> None:
        for changes in (
            {"iss": "hunter2"},
            {"aud": "hunter2"},
            {"exp": "hunter2"},
            {"scope": "hunter2  "},
            {"hunter2": 1, "ver": -1},
        ):
            with pytest.raises(AccessTokenInvalid) as caught:
                verify(forge(**changes))
            assert "hunter2" not in str(caught.value)
            assert caught.value.detail != AccessTokenInvalid().detail


class TestTime:
    def test_exp_equal_to_now_is_expired(self) -> None:
        """RFC 7519 section 4.1.4: "on or after"."""
        assert verify(issue(), now=EXPIRES_AT - 0.001).expires_at == EXPIRES_AT
        with pytest.raises(AccessTokenExpired):
            verify(issue(), now=EXPIRES_AT)

    @pytest.mark.parametrize("seconds", [0, 12, 12.9])
    def test_detail(self, seconds: float) -> None:
        with pytest.raises(AccessTokenExpired) as caught:
            verify(issue(), now=EXPIRES_AT + seconds)
        assert caught.value.detail == f"The access token expired {int(seconds)} s ago."

    def test_leeway(self) -> None:
        verifier = AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET, leeway=5)
        assert verifier.verify(issue(), now=EXPIRES_AT + 4.9).expires_at == EXPIRES_AT
        with pytest.raises(AccessTokenExpired):
            verifier.verify(issue(), now=EXPIRES_AT + 5)
        assert verifier.verify(forge(nbf=NOW + 5), now=NOW).claims["nbf"] == NOW + 5
        with pytest.raises(AccessTokenInvalid):
            verifier.verify(forge(nbf=NOW + 5.5), now=NOW)

    def test_nbf(self) -> None:
        assert verify(forge(nbf=NOW)).claims["nbf"] == NOW
        with pytest.raises(AccessTokenInvalid, match="not valid yet"):
            verify(forge(nbf=NOW + 1))
        values: list[object] = ["1", True, [], -1, 10**12]
        for value in values:
            with pytest.raises(AccessTokenInvalid, match="nbf"):
                verify(forge(nbf=value))

    def test_a_moment_that_is_no_number_accepts_nothing(self) -> None:
        with pytest.raises(ValueError, match="NaN"):
            verify(issue(), now=float("nan"))


class TestClaims:
    @pytest.mark.parametrize("name", list(GOOD))
    def test_required(self, name: str) -> None:
        with pytest.raises(AccessTokenInvalid, match=f"claim {name} "):
            verify(forge(**{name: ABSENT}))
        with pytest.raises(AccessTokenInvalid, match=f"claim {name} "):
            verify(forge(**{name: None}))

    @pytest.mark.parametrize("name", ["iss", "sub", "client_id", "sid", "jti"])
    @pytest.mark.parametrize("value", ["", 1, True, ["user"], {}, "x" * 1025])
    def test_texts(self, name: str, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match=f"claim {name} "):
            verify(forge(**{name: value}))

    @pytest.mark.parametrize("name", ["exp", "iat"])
    @pytest.mark.parametrize(
        "value", [str(EXPIRES_AT), "", True, False, [EXPIRES_AT], {}, -1, -0.5, 253_402_300_800, 10**300, 1e300]
    )
    def test_numbers(self, name: str, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match=f"claim {name} "):
            verify(forge(**{name: value}))

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "0x10", "01"])
    def test_what_is_no_number_in_json(self, number: str) -> None:
        text = json.dumps(GOOD).replace(str(EXPIRES_AT), number)
        with pytest.raises(AccessTokenInvalid, match="strict JSON"):
            verify(sign_text(text))

    @pytest.mark.parametrize("value", ["3", True, False, -1, 1.0, 2**63, [3]])
    def test_ver(self, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match="claim ver "):
            verify(forge(ver=value))

    @pytest.mark.parametrize(
        "value", [[], "", [AUDIENCE, 1], [""], {}, 1, [[AUDIENCE]], f"{AUDIENCE}/", f"{AUDIENCE} x"]
    )
    def test_aud(self, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match="claim aud "):
            verify(forge(aud=value))

    @pytest.mark.parametrize("value", ["https://auth.example/", "HTTPS://auth.example", "https://auth.example\n"])
    def test_iss(self, value: str) -> None:
        with pytest.raises(AccessTokenInvalid, match="claim iss "):
            verify(forge(iss=value))

    @pytest.mark.parametrize("value", [None, "admin", ["admin", 1], [""], [None], {}, [["admin"]], True])
    def test_roles(self, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match="claim roles "):
            verify(forge(roles=value))

    def test_roles_may_be_empty(self) -> None:
        assert verify(forge(roles=[])).roles == ()

    @pytest.mark.parametrize("value", [None, "", " ", "a  b", " a", "a ", "a\tb", 'a"', "a\\", "ä", ["a"], 1, "a\n"])
    def test_scope(self, value: object) -> None:
        with pytest.raises(AccessTokenInvalid, match="claim scope "):
            verify(forge(scope=value))

    @pytest.mark.parametrize(
        "payload",
        [
            json.dumps(GOOD)[:-1] + ', "sub": "admin"}',
            json.dumps(GOOD)[:-1] + ', "s\\u0075b": "admin"}',
            json.dumps(GOOD)[:-1] + ', "x": {"a": 1, "a": 2}}',
            json.dumps(GOOD)[:-1] + ', "x": "\\ud800"}',
            json.dumps(GOOD)[:-1] + ', "x": ' + "[" * 40 + "]" * 40 + "}",
            json.dumps(GOOD) + "x",
            "\ufeff" + json.dumps(GOOD),
            "",
        ],
    )
    def test_what_is_no_strict_json(self, payload: str) -> None:
        with pytest.raises(AccessTokenInvalid, match="strict JSON"):
            verify(sign_text(payload))

    @pytest.mark.parametrize("payload", ["[]", "null", "1", '"text"', json.dumps([GOOD])])
    def test_what_is_no_object(self, payload: str) -> None:
        with pytest.raises(AccessTokenInvalid, match="not a JSON object"):
            verify(sign_text(payload))

    @pytest.mark.parametrize("typ", ["JWT", "jwt", "rt+jwt", "at", ""])
    def test_another_type(self, typ: str) -> None:
        with pytest.raises(AccessTokenInvalid):
            verify(sign(json.dumps(GOOD).encode(), KEY, typ))


class TestHostileTexts:
    def test_every_other_character(self) -> None:
        """A character outside the alphabet corrupts a token, wherever it stands (rule R4)."""
        token = issue()
        allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
        sample = [*range(0x300), *range(0x300, 0x110000, 97), 0x2028, 0xFEFF, 0xFF21, 0x1D400, 0x212A, 0xD800, 0xDFFF]
        corrupted = 0
        for character in map(chr, sample):
            if character in allowed:
                continue
            for text in (f"{token}{character}", f"{character}{token}", f"{token[:20]}{character}{token[20:]}"):
                with pytest.raises(AccessTokenCorrupted):
                    verify(text)
                corrupted += 1
        assert corrupted > 30_000

    @unhurried
    @given(st.text() | st.text("ey.J-_A", max_size=40))
    def test_arbitrary_texts(self, text: str) -> None:
        with pytest.raises((AccessTokenCorrupted, AccessTokenInvalid)):
            verify(text)

    @unhurried
    @given(st.data())
    def test_mutated_tokens(self, data: st.DataObject) -> None:
        """Any edit of a good token is refused, and nothing but an AccessTokenError leaves."""
        token = GOOD_TOKEN
        start = data.draw(st.integers(0, len(token)))
        end = data.draw(st.integers(start, min(len(token), start + 5)))
        insert = data.draw(st.text("AQgwez09-_.=+ \n", max_size=5) | st.text(max_size=3))
        mutated = token[:start] + insert + token[end:]
        if mutated == token:
            assert verify(mutated).user_id == "user"
            return
        with pytest.raises(AccessTokenError):
            verify(mutated)

    @unhurried
    @given(
        st.dictionaries(
            st.sampled_from([*GOOD, "nbf", "scope", "roles", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab :/", max_size=9),
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
                ),
                max_leaves=5,
            ),
            max_size=5,
        )
    )
    def test_signed_claims_of_any_kind(self, changes: dict[str, Any]) -> None:
        try:
            verify(forge(**changes))
        except AccessTokenError:
            return


GOOD_TOKEN = issue()


class TestVerifier:
    @pytest.mark.parametrize("algorithms", ["ES256", ["HS256"], ["none"], ["ES256", "PS256"], [""]])
    def test_algorithms_that_there_are_not(self, algorithms: Any) -> None:
        with pytest.raises(ValueError, match="algorithms"):
            AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET, algorithms=algorithms)

    def test_no_algorithms_allow_nothing(self) -> None:
        verifier = AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET, algorithms=())
        with pytest.raises(AccessTokenInvalid):
            verifier.verify(issue(), now=NOW)

    def test_later_changes_of_the_list_have_no_effect(self) -> None:
        algorithms = ["EdDSA"]
        verifier = AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET, algorithms=algorithms)
        algorithms.append("ES256")
        with pytest.raises(AccessTokenInvalid):
            verifier.verify(issue(), now=NOW)

    @pytest.mark.parametrize("changes", [{"issuer": ""}, {"audience": ""}, {"leeway": -1}, {"leeway": float("nan")}])
    def test_settings_that_are_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(changes))):
            AccessTokenVerifier(**dict[str, Any](issuer=ISSUER, audience=AUDIENCE, keys=KEY_SET) | changes)

    def test_another_set_of_keys(self) -> None:
        for keys in (
            KeySet.from_jwks({"keys": []}),
            KeySet.from_jwks({"keys": [SigningKey.generate("ES256").public_jwk()]}),
        ):
            with pytest.raises(AccessTokenInvalid):
                AccessTokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=keys).verify(issue(), now=NOW)


class TestIssue:
    @pytest.mark.parametrize(
        "changes",
        [
            {"user_id": ""},
            {"application_id": "x" * 1025},
            {"issuer": ""},
            {"audience": ""},
            {"ver": -1},
            {"ver": True},
            {"issued_at": -1},
            {"expires_at": 10**12},
            {"scope": "a  b"},
            {"roles": [""]},
            {"user_id": "\ud800"},
            {"roles": ["x" * 1000] * 8},
        ],
    )
    def test_nothing_is_issued_that_would_be_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            issue(**changes)
