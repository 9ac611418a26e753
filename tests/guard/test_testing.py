"""The fake issuer, and the example of docs/guard.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from keybearer import errors
from keybearer.guard import Credentials, Requirements
from keybearer.testing import FakeIssuer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guard.md"
ORIGIN = "https://app.example"


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer()


def test_the_example_of_the_page(tmp_path: Path) -> None:
    example = re.search(r"^```python\n# test_notes\.py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert example is not None
    (tmp_path / "test_notes.py").write_text(example[1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "test_notes.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("4 passed")) == (0, 1), done.stdout


def test_applications_and_their_keys(issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    other = issuer.add_application(origins=[ORIGIN])
    with pytest.raises(errors.AccessTokenWrongApplication):
        guard.verify(issuer.credentials(issuer.api_key(other)))
    caller = guard.verify(issuer.credentials(application=other))
    assert caller is not None and caller.application_id == other
    good = issuer.credentials(application=other)
    guard.verify(Credentials(good.api_key, good.authorization, ORIGIN))
    with pytest.raises(errors.OriginNotAllowed):
        guard.verify(Credentials(good.api_key, good.authorization, "https://evil.example"))
    issuer.disable_application(other)
    with pytest.raises(errors.ApplicationDisabled):
        guard.verify(good)
    issuer.enable_application(other)
    guard.verify(good)


def test_keys_end(issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    key = issuer.api_key(expires_in=60)
    guard.verify(issuer.credentials(key))
    issuer.advance(60)
    with pytest.raises(errors.ApiKeyExpired):
        guard.verify(issuer.credentials(key))
    key = issuer.api_key()
    issuer.revoke_api_key(key)
    with pytest.raises(errors.ApiKeyRevoked):
        guard.verify(issuer.credentials(key))
    with pytest.raises(errors.ApiKeyInvalid, match="works at Keybearer only"):
        guard.verify(issuer.credentials(issuer.api_key(secret=True, permissions=["admin"])))


def test_users_end(issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    old = issuer.credentials(user_id="jane")
    guard.verify(old)
    issuer.revoke_user("jane")
    with pytest.raises(errors.AccessTokenRevoked):
        guard.verify(old)
    guard.verify(issuer.credentials(user_id="jane"))


def test_signing_keys_rotate(issuer: FakeIssuer) -> None:
    guard = issuer.guard()
    old = issuer.credentials()
    issuer.rotate_signing_key()
    guard.verify(old)
    guard.verify(issuer.credentials())


def test_another_issuers_tokens_are_refused(issuer: FakeIssuer) -> None:
    stranger = FakeIssuer()
    credentials = Credentials(issuer.api_key(), stranger.credentials().authorization)
    with pytest.raises(errors.AccessTokenInvalid):
        issuer.guard().verify(credentials)
    with pytest.raises(errors.AccessTokenInvalid, match="aud"):
        issuer.guard().verify(issuer.credentials(audience="https://other.example"))


def test_the_feed_is_cut_and_the_service_answers(issuer: FakeIssuer) -> None:
    rejecting, asking, accepting = (issuer.guard(on_stale=policy) for policy in ("reject", "introspect", "accept"))
    credentials = issuer.credentials(session_id="s")
    issuer.cut_feed()
    issuer.revoke_session("s")
    rejecting.verify(credentials)
    issuer.advance(61)
    assert rejecting.staleness == 61
    with pytest.raises(errors.StorageUnavailable):
        rejecting.verify(credentials)
    with pytest.raises(errors.AccessTokenRevoked):
        asking.verify(credentials)
    accepting.verify(credentials)
    rejecting.verify(credentials, Requirements(on_stale="accept"))
    issuer.restore_feed()
    for guard in (rejecting, asking, accepting):
        assert guard.staleness == 0
        with pytest.raises(errors.AccessTokenRevoked):
            guard.verify(credentials)


async def test_start_and_close_are_allowed(issuer: FakeIssuer) -> None:
    with issuer.guard() as guard:
        assert await guard.verify_async(issuer.credentials()) is not None


def test_headers(issuer: FakeIssuer) -> None:
    headers = issuer.headers(roles=["editor"])
    assert headers.keys() == {"Api-Key", "Authorization"}
    caller = issuer.guard().verify(Credentials(headers["Api-Key"], headers["Authorization"]))
    assert caller is not None and caller.roles == ("editor",)
