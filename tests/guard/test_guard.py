"""The face of the guard: options, requirements, what it tells."""

import pytest

from keybearer import errors
from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, make_api_key
from keybearer.guard import (
    Caller,
    Credentials,
    Guard,
    GuardKeyRefused,
    Requirements,
)
from keybearer.guard import __all__ as public
from keybearer.testing import FakeIssuer

SECRET = make_api_key(ApiKeyKind.SECRET, b"s" * RANDOM_BYTES)
PUBLISHABLE = make_api_key(ApiKeyKind.PUBLISHABLE, b"p" * RANDOM_BYTES)


def test_the_public_list() -> None:
    assert public == [
        "Caller",
        "Credentials",
        "Guard",
        "GuardError",
        "GuardKeyRefused",
        "GuardMetrics",
        "Limits",
        "OnStale",
        "Requirements",
        "ServiceUnreachable",
        "WrongService",
    ]


class TestOptions:
    @pytest.mark.parametrize(
        "url",
        [
            "https://auth.example.com",
            "https://auth.example.com:8443/v1/api/",
            "http://127.0.0.1:8080",
            "http://127.8.9.1",
            "http://[::1]:8080",
            "http://localhost",
            "HTTPS://AUTH.example.com",
        ],
    )
    def test_addresses(self, url: str) -> None:
        Guard(url, SECRET)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "auth.example.com",
            "ftp://auth.example.com",
            "http://auth.example.com",
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "https://user:pass@auth.example.com",
            "https://auth.example.com/?a=b",
            "https://auth.example.com/#a",
            "https://auth.example.com/a b",
            "https://auth.example.com/\r\nX: y",
            "https://äuth.example.com",
            "https://",
            "https://auth.example.com:99999",
        ],
    )
    def test_addresses_that_are_refused(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"base_url|[Pp]ort"):
            Guard(url, SECRET)

    def test_plain_http_by_name_only(self) -> None:
        Guard("http://auth.internal", SECRET, allow_http=True)

    @pytest.mark.parametrize("key", ["", "nonsense", PUBLISHABLE, SECRET[:-1], SECRET + " ", SECRET.upper()])
    def test_what_is_no_secret_key(self, key: str) -> None:
        with pytest.raises(GuardKeyRefused, match="keybearer keys create") as raised:
            Guard("https://auth.example.com", key)
        assert not key or key not in str(raised.value)

    @pytest.mark.parametrize(
        "options",
        [
            {"on_stale": "guess"},
            {"algorithms": []},
            {"algorithms": "ES256"},
            {"algorithms": ["none"]},
            {"max_staleness": -1},
        ],
    )
    def test_options_that_cannot_be_meant(self, options: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"on_stale|algorithms|max_staleness"):
            Guard("https://auth.example.com", SECRET, **options)  # type: ignore[arg-type]  # that is the point

    def test_nothing_shows_a_credential(self) -> None:
        guard = Guard("https://auth.example.com", SECRET)
        credentials = Credentials(SECRET, "Bearer x.y.z", None)
        for value in (guard, guard._source, credentials, guard.metrics):
            assert SECRET not in repr(value) and "x.y.z" not in repr(value)


class TestRequirements:
    @pytest.fixture
    def issuer(self) -> FakeIssuer:
        return FakeIssuer()

    def test_all_roles_and_scopes(self, issuer: FakeIssuer) -> None:
        guard = issuer.guard()
        credentials = issuer.credentials(roles=["editor", "reader"], scope="notes:read notes:write")
        for roles, scopes in [((), ()), (("editor",), ()), (("editor", "reader"), ("notes:read",))]:
            caller = guard.verify(credentials, Requirements(roles=frozenset(roles), scopes=frozenset(scopes)))
            assert isinstance(caller, Caller)
        for roles, scopes in [(("admin",), ()), (("editor", "admin"), ()), ((), ("notes:delete",)), ((), ("notes",))]:
            with pytest.raises(errors.PermissionDenied):
                guard.verify(credentials, Requirements(roles=frozenset(roles), scopes=frozenset(scopes)))

    def test_optional_needs_the_key_still(self, issuer: FakeIssuer) -> None:
        guard, optional = issuer.guard(), Requirements(optional=True, roles=frozenset({"editor"}))
        assert guard.verify(Credentials(issuer.api_key(), None), optional) is None
        with pytest.raises(errors.ApiKeyMissing):
            guard.verify(Credentials(None, None), optional)
        with pytest.raises(errors.AccessTokenMissing):
            guard.verify(Credentials(issuer.api_key(), ""), optional)
        with pytest.raises(errors.AccessTokenMissing):
            guard.verify(Credentials(issuer.api_key(), "Basic x"), optional)
        with pytest.raises(errors.PermissionDenied):
            guard.verify(issuer.credentials(), optional)

    def test_one_text_is_no_set(self) -> None:
        with pytest.raises(TypeError):
            Requirements(roles="admin")  # type: ignore[arg-type]  # that is the point
        with pytest.raises(ValueError, match="on_stale"):
            Requirements(on_stale="guess")  # type: ignore[arg-type]  # that is the point
        assert Requirements(roles=["a"]).roles == {"a"}  # type: ignore[arg-type]  # forgiven


class TestCallers:
    def test_they_do_not_change(self) -> None:
        issuer = FakeIssuer()
        caller = issuer.guard().verify(issuer.credentials(user_id="jane"))
        assert caller is not None
        with pytest.raises(AttributeError):
            caller.user_id = "another"  # type: ignore[misc]  # that is the point
        with pytest.raises(TypeError):
            caller.claims["sub"] = "another"  # type: ignore[index]  # that is the point
        assert "jane" in repr(caller) and len({caller, caller}) == 1

    def test_what_is_counted(self) -> None:
        issuer = FakeIssuer()
        guard = issuer.guard()
        good = issuer.credentials()
        for _ in range(3):
            guard.verify(good)
        for _ in range(2):
            with pytest.raises(errors.ApiKeyMissing):
                guard.verify(Credentials(None, None))
        assert (guard.metrics.verified, guard.metrics.refused) == (3, 2)
        assert (guard.metrics.verified, guard.metrics.refused) == (3, 2)


class TestHeaders:
    def test_from_asgi(self) -> None:
        headers = [(b"host", b"x"), (b"api-key", b"k"), (b"authorization", b"Bearer \xff"), (b"origin", b"o")]
        assert Credentials.from_headers(headers) == Credentials("k", "Bearer \xff", "o")
        assert Credentials.from_headers([]) == Credentials(None, None, None)

    def test_from_wsgi(self) -> None:
        assert Credentials.from_environ({"HTTP_API_KEY": "k", "HTTP_ORIGIN": "o"}) == Credentials("k", None, "o")

    @pytest.mark.parametrize("name", [b"api-key", b"authorization", b"origin"])
    def test_repeated(self, name: bytes) -> None:
        with pytest.raises(errors.MalformedRequest, match="more than once"):
            Credentials.from_headers([(name, b"Bearer a"), (name, b"Bearer b")])
