"""State and decisions of the core, without a source."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest

from keybearer.credentials.access_token import AccessTokenVerifier
from keybearer.errors import (
    AccessTokenExpired,
    AccessTokenMissing,
    AccessTokenRevoked,
    AccessTokenWrongApplication,
    StorageUnavailable,
)
from keybearer.guard._core import REMEMBERED_TOKENS, CredentialCheck, CredentialState, TokenMemory
from keybearer.guard._revocations import EXPIRE_AT_ONCE, Revocations, id_of, key_of
from keybearer.guard.state import ApplicationState, RevokedSession, RevokedUser
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey
from keybearer.testing import START, FakeIssuer

NOW = START * 1000
SESSION = "00000000-0000-7000-8000-0000000000aa"
ODD_IDS = ["", "x", "user-1", "00000000-0000-7000-8000-00000000000g", "é" * 36, "0" * 32, "_" * 32]


class TestIds:
    @pytest.mark.parametrize("id", [SESSION, str(UUID(int=2**128 - 1)), str(UUID(int=0))])
    def test_a_uuid_is_a_number(self, id: str) -> None:
        assert key_of(id) == UUID(id).int
        assert id_of(key_of(id)) == id

    @pytest.mark.parametrize("id", ODD_IDS)
    def test_any_other_id_works_too(self, id: str) -> None:
        revocations = Revocations()
        revocations.add_session(id, NOW)
        assert revocations.is_revoked(key_of(id), 0, 0)
        assert len(list(revocations.list_sessions())) == 1
        revocations.expire(NOW)
        assert not revocations

    def test_another_spelling_is_revoked_too(self) -> None:
        assert key_of(SESSION) == key_of(SESSION.upper())


class TestRevocations:
    def test_the_last_end_counts(self) -> None:
        revocations = Revocations()
        for seconds in (10, 30, 20, 30):
            revocations.add_session(SESSION, NOW + seconds * 1000)
        revocations.expire(NOW + 29_000)
        assert [entry.expires_at for entry in revocations.list_sessions()] == [NOW + 30_000]
        revocations.expire(NOW + 30_000)
        assert not revocations

    def test_the_highest_version_counts(self) -> None:
        revocations = Revocations()
        revocations.add_user("u", 5, NOW + 10_000)
        revocations.add_user("u", 3, NOW + 90_000)
        assert list(revocations.list_users()) == [RevokedUser("u", 5, NOW + 10_000)]
        revocations.add_user("u", 6, NOW + 5_000)
        assert list(revocations.list_users()) == [RevokedUser("u", 6, NOW + 10_000)]
        revocations.expire(NOW + 10_000)
        assert not revocations

    def test_an_end_between_two_seconds_is_not_early(self) -> None:
        revocations = Revocations()
        revocations.add_session(SESSION, NOW + 1)
        revocations.expire(NOW + 999)
        assert revocations
        revocations.expire(NOW + 1000)
        assert not revocations

    def test_very_many_expire_in_parts(self) -> None:
        revocations = Revocations()
        for number in range(2 * EXPIRE_AT_ONCE + 5):
            revocations.add_session(str(UUID(int=number)), NOW)
        assert not revocations.expire(NOW - 1)
        assert revocations.expire(NOW) and revocations.expire(NOW)
        assert not revocations.expire(NOW)
        assert not revocations

    def test_listing_leaves_out_what_goes_meanwhile(self) -> None:
        revocations = Revocations()
        for number in range(10):
            revocations.add_session(str(UUID(int=number)), NOW + number * 1000)
        listed = revocations.list_sessions()
        assert next(listed) == RevokedSession(str(UUID(int=0)), NOW)
        revocations.expire(NOW + 5000)
        assert [UUID(entry.id).int for entry in listed] == [6, 7, 8, 9]

    def test_dissolving_empties_it(self) -> None:
        revocations = Revocations()
        revocations.add_session(SESSION, NOW)
        revocations.add_user("u", 1, NOW)
        revocations.dissolve()
        assert not revocations


class TestState:
    def test_a_snapshot_that_cannot_be_read_changes_nothing(self) -> None:
        state = CredentialState()
        state.apply(RevokedSession(SESSION, NOW))

        def broken() -> Iterator[RevokedSession]:
            yield RevokedSession("x", NOW)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            state.replace(applications=[], keys=[], sessions=broken(), users=[], key_set_version=1)
        assert list(state.revoked_sessions()) == [RevokedSession(SESSION, NOW)]

    def test_readers_never_see_half_a_snapshot(self) -> None:
        """One revoked session stands in every snapshot; a thread that looks all the time always finds it."""
        issuer = FakeIssuer()
        guard = issuer.guard()
        credentials = issuer.credentials(session_id=SESSION)
        issuer.revoke_session(SESSION)
        state = guard._knowledge.state
        accepted: list[object] = []
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                with suppress(AccessTokenRevoked):
                    accepted.append(guard.verify(credentials))

        looking = threading.Thread(target=look)
        looking.start()
        for _ in range(30):
            issuer.fill(state)
            state.replace(
                applications=list(state.applications.values()),
                keys=list(state.keys.values()),
                sessions=[*(RevokedSession(str(UUID(int=n)), NOW) for n in range(1000)), *state.revoked_sessions()],
                users=[],
                key_set_version=1,
            )
        done.set()
        looking.join()
        assert accepted == []


class TestMemory:
    @pytest.fixture
    def issuer(self) -> FakeIssuer:
        return FakeIssuer()

    def check(self, issuer: FakeIssuer) -> CredentialCheck:
        state = CredentialState()
        issuer.fill(state)
        check = CredentialCheck(state)
        check.use_verifier(AccessTokenVerifier(issuer.issuer, issuer.audience, issuer.key_set()))
        return check

    @pytest.mark.parametrize("value", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}", "Bearer {} "])
    def test_one_token_is_remembered_once_however_it_is_written(self, issuer: FakeIssuer, value: str) -> None:
        check, token = self.check(issuer), issuer.access_token()
        first = check.verify_remembered(f"Bearer {token}", issuer.application, NOW)
        assert check.verify_remembered(value.format(token), issuer.application, NOW) is first
        assert len(check._memory.young) == 1

    @pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer\t{}", " Bearer {}"])
    def test_what_is_no_bearer_token(self, issuer: FakeIssuer, value: str | None) -> None:
        check, token = self.check(issuer), issuer.access_token()
        with pytest.raises(AccessTokenMissing):
            check.verify_bearer(value and value.format(token), issuer.application, NOW)

    def test_a_remembered_token_is_checked_at_each_use(self, issuer: FakeIssuer) -> None:
        check, token = self.check(issuer), issuer.access_token(expires_in=60, session_id=SESSION)
        header = f"Bearer {token}"
        check.verify_bearer(header, issuer.application, NOW)
        with pytest.raises(AccessTokenWrongApplication):
            check.verify_bearer(header, "another", NOW)
        with pytest.raises(AccessTokenExpired, match="5 s ago"):
            check.verify_bearer(header, issuer.application, NOW + 65_000)
        check._state.apply(RevokedSession(SESSION, NOW + 90_000))
        with pytest.raises(AccessTokenRevoked):
            check.verify_bearer(header, issuer.application, NOW)

    def test_another_key_set_forgets_them(self, issuer: FakeIssuer) -> None:
        check, header = self.check(issuer), f"Bearer {issuer.access_token()}"
        check.verify_bearer(header, issuer.application, NOW)
        keys = KeySet.from_keys([SigningKey.generate("ES256").verification_key()])
        check.use_verifier(AccessTokenVerifier(issuer.issuer, issuer.audience, keys))
        with pytest.raises(Exception, match="not one that this service accepts"):
            check.verify_bearer(header, issuer.application, NOW)
        check.use_verifier(None)
        with pytest.raises(StorageUnavailable):
            check.verify_bearer(header, issuer.application, NOW)

    def test_memory_is_bounded(self, issuer: FakeIssuer) -> None:
        memory = TokenMemory(AccessTokenVerifier(issuer.issuer, issuer.audience, issuer.key_set()), capacity=3)
        headers = [f"Bearer {issuer.access_token()}" for _ in range(10)]
        for header in headers:
            memory.find(header, NOW)
            assert len(memory.young) + len(memory._old) <= 6
        kept = memory._old[next(iter(memory._old))]
        assert (
            memory.find(
                f"Bearer {headers[next(n for n, h in enumerate(headers) if memory._old.get(h) is kept)][7:]}", NOW
            )
            is kept
        )
        assert REMEMBERED_TOKENS == 10_000

    def test_a_change_of_an_application_is_seen_for_a_known_key(self, issuer: FakeIssuer) -> None:
        state = CredentialState()
        text = issuer.api_key()
        issuer.fill(state)
        known = state.find_key(text)
        assert known is not None and known[1] is not None and known[1].enabled
        state.apply(ApplicationState(issuer.application, "", False, frozenset()))
        known = state.find_key(text)
        assert known is not None and known[1] is not None and not known[1].enabled
