"""Issue the two tokens of a session, from the row as the storage has just fixed it."""

from dataclasses import dataclass

from keybearer.credentials.access_token import issue_access_token
from keybearer.credentials.refresh_token import make_refresh_token
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.sessions import Grant
from keybearer.server.flows.keyring import Keyring
from keybearer.server.ports import Randomness


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Both tokens with the grant that they stand for. Lifetimes are seconds."""

    grant: Grant
    access_token: str
    refresh_token: str
    expires_in: int
    refresh_expires_in: int


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    keyring: Keyring
    randomness: Randomness
    issuer: str
    audience: str

    def issue(self, grant: Grant) -> IssuedTokens:
        """The refresh token of the row's place, and a new access token with the grant's `iat` and `exp`."""
        keys = self.keyring.current
        session = grant.session
        access_token = issue_access_token(
            keys.signing,
            issuer=self.issuer,
            audience=self.audience,
            user_id=str(session.user_id),
            application_id=str(session.application_id),
            session_id=str(session.id),
            token_id=str(uuid7(grant.issued_at, self.randomness.bytes(RANDOM_BYTES))),
            ver=grant.ver,
            issued_at=grant.issued_at // 1000,
            expires_at=grant.expires_at // 1000,
            roles=grant.roles,
        )
        refresh_token = make_refresh_token(
            keys.refresh[session.token_key_id],
            key_id=session.token_key_id,
            session_id=session.id,
            place=session.place,
            moved_at=session.moved_at,
            nonce=session.nonce,
        )
        return IssuedTokens(
            grant,
            access_token,
            refresh_token,
            expires_in=(grant.expires_at - grant.issued_at) // 1000,
            refresh_expires_in=(session.idle_until - grant.issued_at) // 1000,
        )
