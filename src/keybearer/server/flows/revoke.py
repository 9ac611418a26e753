"""Revoke at logout (RFC 7009): end the session of an access token or of a refresh token, or all of the user's."""

from dataclasses import dataclass
from uuid import UUID

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import AccessTokenRevoked, RefreshTokenInvalid
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.sessions import Ended, EndReason
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.flows.keyring import Keyring
from keybearer.server.flows.present import ERRORS, present
from keybearer.server.ports import SessionStore


@dataclass(frozen=True, slots=True)
class Revoke:
    sessions: SessionStore
    keyring: Keyring
    follower: FeedFollower

    async def with_access_token(
        self, token: AccessToken, refresh_token: str | None, actor: Actor, *, all_devices: bool
    ) -> Ended:
        """End the session of a verified access token.

        A refresh token sent along must belong to the same session: raises RefreshTokenInvalid otherwise, and nothing
        has changed. Raises AccessTokenRevoked when somebody else ended the session meanwhile.
        """
        session_id = UUID(token.session_id)
        if refresh_token is not None:
            presentation = present(refresh_token, self.keyring.current, UUID(token.application_id))
            if presentation.token.session_id != session_id:
                raise RefreshTokenInvalid
        if all_devices:
            count, at = await self.sessions.end_all(UUID(token.user_id), EndReason.LOGOUT_ALL, actor)
            outcome = Ended(session_id, at, count)
        else:
            ended = await self.sessions.end(session_id, EndReason.LOGOUT, actor)
            if not isinstance(ended, Ended):
                raise AccessTokenRevoked
            outcome = ended
        await self.follower.catch_up()
        return outcome

    async def with_refresh_token(
        self, refresh_token: str, application_id: UUID, actor: Actor, *, all_devices: bool
    ) -> Ended:
        """End the session of a refresh token, whatever its place in the chain. Raises subclasses of
        RefreshTokenError."""
        presentation = present(refresh_token, self.keyring.current, application_id)
        outcome = await self.sessions.end_presented(presentation, actor, all_devices=all_devices)
        if not isinstance(outcome, Ended):
            raise ERRORS[outcome]
        await self.follower.catch_up()
        return outcome
