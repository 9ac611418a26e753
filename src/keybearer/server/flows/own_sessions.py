"""A user's own sessions: list them, end one, end all others."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import NotFound
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.sessions import EndReason, EndRefused, SessionView
from keybearer.server.flows.follow_feed import FeedFollower
from keybearer.server.ports import SessionStore


@dataclass(frozen=True, slots=True)
class OwnSessions:
    sessions: SessionStore
    follower: FeedFollower

    async def list_sessions(self, token: AccessToken) -> Sequence[SessionView]:
        """The user's sessions that are alive, newest first, in whatever application."""
        return await self.sessions.list_alive(UUID(token.user_id))

    async def end(self, token: AccessToken, session_id: str, actor: Actor) -> None:
        """End one of the user's sessions; one that has ended already is as good. Raises NotFound for any other id."""
        try:
            id = UUID(session_id)
        except ValueError:
            raise NotFound from None
        outcome = await self.sessions.end_owned(UUID(token.user_id), id, actor)
        if outcome is EndRefused.UNKNOWN:
            raise NotFound
        await self.follower.catch_up()

    async def end_others(self, token: AccessToken, actor: Actor) -> None:
        """End all of the user's sessions but the token's own."""
        await self.sessions.end_all(UUID(token.user_id), EndReason.LOGOUT_ALL, actor, keep=UUID(token.session_id))
        await self.follower.catch_up()
