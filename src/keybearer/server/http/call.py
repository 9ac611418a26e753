"""A request that has passed the checks which its route asks for, and what answers it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from keybearer.credentials.access_token import AccessToken
from keybearer.errors import AccessTokenError
from keybearer.guard._core import RememberedToken
from keybearer.guard.state import ApiKeyState
from keybearer.server.http.answer import Answer, StreamedAnswer
from keybearer.server.http.request import Request


@dataclass(slots=True)
class Call:
    """`key`, `remembered` (the token) and `body` are set as the route's `Needs` and `body` say.

    `token_error` is why there is no token, on a route that can do with a refresh token instead. `parameter` is the
    variable part of the path, or what follows the path of a forwarded route. `now` is the instant (milliseconds) at
    which the credentials were checked.
    """

    request: Request
    parameter: str = ""
    now: int = 0
    key: ApiKeyState | None = None
    remembered: RememberedToken | None = None
    token_error: AccessTokenError | None = None
    body: Any = None

    @property
    def application_id(self) -> UUID:
        """The application of a call whose route needs a key."""
        if self.key is None:
            raise TypeError("this route does not ask for an Api-Key")
        return UUID(self.key.application_id)

    @property
    def remembered_token(self) -> RememberedToken:
        """The verified token of a call whose route needs one, as it is kept."""
        if self.remembered is None:
            raise TypeError("this route does not ask for an access token")
        return self.remembered

    @property
    def access_token(self) -> AccessToken:
        """The verified token of a call whose route needs one."""
        return self.remembered_token.token

    @property
    def token(self) -> AccessToken | None:
        """The verified token, if there is one."""
        return None if self.remembered is None else self.remembered.token


Handler = Callable[[Call], Awaitable[Answer | StreamedAnswer]]


@dataclass(frozen=True, slots=True)
class AtOnce:
    """A handler that waits for nothing, so that no task is needed for its request (protocol.py). It reads no body."""

    answer: Callable[[Call], Answer]
