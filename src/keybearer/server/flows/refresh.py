"""Refresh: a refresh token for an access token and the session's current refresh token."""

from dataclasses import dataclass
from hashlib import sha256
from typing import assert_never
from uuid import UUID

from keybearer.server.domain.audit import Actor
from keybearer.server.domain.sessions import Moved, RefreshRefused, Repeated
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.flows.issue import IssuedTokens, TokenIssuer
from keybearer.server.flows.present import ERRORS, present
from keybearer.server.ports import SessionStore

HASH_BYTES = 16
"""Of the SHA-256 of an Idempotency-Key: nobody finds another key with the same ones, and every session holds them."""


@dataclass(frozen=True, slots=True)
class Refresh:
    sessions: SessionStore
    issuer: TokenIssuer
    follower: FeedFollower

    async def __call__(
        self, refresh_token: str, idempotency_key: str | None, application_id: UUID, actor: Actor
    ) -> IssuedTokens:
        """Both tokens, by the table of contract.md section 3 ("Refresh token").

        `idempotency_key` is the client's own name for this refresh; only its hash goes further. Raises the subclasses
        of RefreshTokenError; after RefreshTokenReused the session is over, for this process at once.
        """
        idempotency_hash = _hash(idempotency_key) if idempotency_key else None
        presentation = present(refresh_token, self.issuer.keyring.current, application_id, idempotency_hash)
        outcome = await self.sessions.refresh(presentation, actor)
        match outcome:
            case Moved(grant) | Repeated(grant):
                return self.issuer.issue(grant)
            case RefreshRefused():
                if outcome is RefreshRefused.REUSED:
                    await self.follower.catch_up()
                raise ERRORS[outcome]
            case _:
                assert_never(outcome)


def _hash(idempotency_key: str) -> bytes:
    return sha256(idempotency_key.encode("ascii")).digest()[:HASH_BYTES]
