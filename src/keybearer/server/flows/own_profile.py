"""A user's own profile."""

from dataclasses import dataclass
from uuid import UUID

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import AccessTokenRevoked
from keybearer.server.domain.users import User
from keybearer.server.ports import UserStore


@dataclass(frozen=True, slots=True)
class OwnProfile:
    users: UserStore

    async def __call__(self, token: AccessToken) -> User:
        """The token's user. Raises AccessTokenRevoked when there is no such user any more."""
        user = await self.users.find(UUID(token.user_id))
        if user is None:
            raise AccessTokenRevoked
        return user
