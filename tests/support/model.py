"""contract.md section 3 restated in plain Python: what a storage must answer, without a database or a statement.

A token is the pair (place, moved_at) of its session. All instants are milliseconds, lifetimes of the policy seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from keybearer.server.domain.sessions import SessionPolicy

Token = tuple[int, int]


@dataclass(frozen=True)
class Answer:
    """`kind`: moved, repeated, or the reason of a refusal. The rest is said of a grant only."""

    kind: str
    token: Token | None = None
    ver: int | None = None
    issued_at: int | None = None
    expires_at: int | None = None


@dataclass
class UserModel:
    enabled: bool = True
    ver: int = 1


@dataclass
class ApplicationModel:
    enabled: bool = True


@dataclass
class SessionModel:
    """One chain. `tokens` are all that were ever answered, the current one last."""

    user: UserModel
    application: ApplicationModel
    policy: SessionPolicy
    tokens: list[Token]
    absolute_until: int
    idle_until: int = 0
    access_until: int = 0
    last_key: str | None = None
    ended: bool = False

    @classmethod
    def log_in(
        cls, user: UserModel, application: ApplicationModel, policy: SessionPolicy, now: int
    ) -> "tuple[SessionModel, Answer]":
        session = cls(user, application, policy, [(0, now)], now // 1000 * 1000 + policy.absolute_lifetime * 1000)
        return session, session._grant("created", now)

    @property
    def current(self) -> Token:
        return self.tokens[-1]

    def is_alive(self, now: int) -> bool:
        return not self.ended and now < self.idle_until and now < self.absolute_until

    def present(self, token: Token, key: str | None, now: int) -> Answer:
        """The table, row by row, after what ends a session altogether."""
        if self.ended:
            return Answer("revoked")
        if not self.is_alive(now):
            return Answer("expired")
        place, moved_at = self.current
        window = self.policy.refresh_retry_window * 1000
        young = now - moved_at < window
        if token == self.current:
            never_refreshed = place == 0
            return self._grant("repeated", now) if young and not never_refreshed else self._move(place + 1, key, now)
        if token[0] > place:
            return self._move(token[0] + 1, key, now)
        direct_predecessor = token[0] in (place - 1, place)
        moved_the_chain = key is not None and key == self.last_key
        if direct_predecessor and (young or moved_the_chain):
            return self._grant("repeated", now)
        self.ended = True
        return Answer("reused")

    def end(self) -> None:
        self.ended = True

    def _move(self, place: int, key: str | None, now: int) -> Answer:
        self.tokens.append((place, max(now, self.current[1])))
        self.last_key = key
        return self._grant("moved", now)

    def _grant(self, kind: str, now: int) -> Answer:
        self.idle_until = min(now + self.policy.idle_lifetime * 1000, self.absolute_until)
        issued_at = now // 1000 * 1000
        expires_at = min(issued_at + self.policy.access_token_lifetime * 1000, self.absolute_until)
        self.access_until = max(self.access_until, expires_at)
        return Answer(kind, self.current, self.user.ver, issued_at, expires_at)


@dataclass
class WorldModel:
    """Users and applications with the sessions of both, for what concerns several sessions at once."""

    policy: SessionPolicy
    sessions: list[SessionModel] = field(default_factory=list)

    def log_in(self, user: UserModel, application: ApplicationModel, now: int) -> tuple[SessionModel | None, Answer]:
        if not user.enabled:
            return None, Answer("user_disabled")
        if not application.enabled:
            return None, Answer("application_disabled")
        session, answer = SessionModel.log_in(user, application, self.policy, now)
        self.sessions.append(session)
        return session, answer

    def disable_user(self, user: UserModel) -> None:
        if user.enabled:
            user.enabled = False
            user.ver += 1
            self._end(lambda session: session.user is user)

    def disable_application(self, application: ApplicationModel) -> None:
        if application.enabled:
            application.enabled = False
            self._end(lambda session: session.application is application)

    def log_out_everywhere(self, user: UserModel) -> None:
        user.ver += 1
        self._end(lambda session: session.user is user)

    def change_roles(self, user: UserModel) -> None:
        user.ver += 1

    def _end(self, concerns: Callable[[SessionModel], bool]) -> None:
        for session in self.sessions:
            if concerns(session):
                session.end()
