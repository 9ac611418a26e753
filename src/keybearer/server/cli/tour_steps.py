"""The steps of the tour: what is asked, and what must come back. No I/O: a generator yields steps, is sent answers."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

WRONG_PASSWORD = "this is not the password"


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `key` and `token` are the two credentials; None leaves the header out."""

    method: str
    path: str
    key: str | None
    token: str | None = None
    body: Mapping[str, str] | None = None
    idempotency_key: str | None = None

    def headers(self) -> dict[str, str]:
        sent = {"Api-Key": self.key, "Idempotency-Key": self.idempotency_key}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        return {name: value for name, value in sent.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came. `document` is the JSON, or the text when there is no JSON."""

    status: int
    document: Any

    def summary(self) -> str:
        """The status and, of an error document, the code."""
        return f"{self.status} {self._code()}".strip()

    def _code(self) -> str:
        try:
            return str(self.document["errors"][0]["code"])
        except (KeyError, IndexError, TypeError):
            return ""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that must hold for an answer's document; `says` is read after "expected:"."""

    says: str
    holds: Callable[[Any], bool]

    def about(self, document: Any) -> bool:
        """False, too, for a document without the members that the fact is about."""
        try:
            return self.holds(document)
        except (KeyError, IndexError, TypeError, AttributeError):
            return False


@dataclass(frozen=True, slots=True)
class Step:
    """One request and what is expected: `status`, the code of an error, and facts about the document."""

    title: str
    rules: str
    request: Request
    status: int = 200
    code: str = ""
    facts: tuple[Fact, ...] = ()

    def expected(self) -> str:
        outcome = f"{self.status} {self.code}".strip()
        return "; ".join([outcome, *(fact.says for fact in self.facts)])

    def problem(self, answer: Answer) -> str | None:
        """What came instead of what was expected; None when all is as expected."""
        if answer.summary() != f"{self.status} {self.code}".strip():
            return answer.summary() + (" and no JSON" if isinstance(answer.document, str) else "")
        missing = [fact.says for fact in self.facts if not fact.about(answer.document)]
        return f"{answer.summary()}, but not: {'; '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who walks: the application's key, the user's name and password, and a fresh Idempotency-Key."""

    api_key: str = field(repr=False)
    username: str
    password: str = field(repr=False)
    idempotency_key: str = field(repr=False)


Steps = Generator[Step, Answer, None]


def walk(visitor: Visitor) -> Steps:
    """The flow of the reference document (contract.md, R1-R13), in 13 steps; an answer is sent in only if it fits."""
    key = visitor.api_key
    log_in = yield Step("Log in", "R1, R2", _log_in(key, visitor.username, visitor.password), facts=_SESSION)
    session = _attributes(log_in.document)
    yield from _use(key, session)
    refreshed = yield from _refresh(visitor, session)
    yield from _be_refused(visitor, refreshed)
    yield from _log_out(key, refreshed)


def _use(key: str, session: Mapping[str, Any]) -> Steps:
    token = session["accessToken"]
    profile = _member_is("the user who logged in", "email", session["email"])
    yield Step(
        "Own profile, with both credentials", "R1, R3", Request("GET", "/users/me", key, token), facts=(profile,)
    )
    yield Step("Token info", "R13", _info(key, token), facts=_of_session(session))


def _refresh(visitor: Visitor, session: Mapping[str, Any]) -> Generator[Step, Answer, Mapping[str, Any]]:
    """The attributes of the session after its refresh."""
    key, before = visitor.api_key, session["refreshToken"]
    request = Request(
        "POST",
        "/oauth/token/refresh",
        key,
        body={"refresh_token": before},
        idempotency_key=visitor.idempotency_key,
    )
    another = Fact(
        "another refresh token than before", lambda document: _attributes(document)["refreshToken"] != before
    )
    answer = yield Step("Refresh", "R5, R6", request, facts=(*_SESSION, *_of_session(session), another))
    refreshed = _attributes(answer.document)
    again = _member_is(
        "the same refresh token as in the answer that was lost", "refreshToken", refreshed["refreshToken"]
    )
    yield Step("The same refresh again, as if its answer had been lost", "R6", request, facts=(*_SESSION, again))
    yield Step(
        "Token info, with the new access token",
        "R13",
        _info(key, refreshed["accessToken"]),
        facts=_of_session(session),
    )
    return refreshed


def _be_refused(visitor: Visitor, session: Mapping[str, Any]) -> Steps:
    key, token = visitor.api_key, session["accessToken"]
    current = Fact(
        "this session, marked as the current one", lambda document: _current(document) == session["sessionId"]
    )
    yield Step("Own sessions", "R3", Request("GET", "/sessions", key, token), facts=(current,))
    yield Step("A request without the Api-Key", "R1", _info(None, token), 403, "api_key_missing")
    wrong = _log_in(key, visitor.username, WRONG_PASSWORD)
    yield Step("Log in with a wrong password", "R2", wrong, 401, "invalid_credentials")
    corrupted = f"{token[:4]}!{token[5:]}"
    yield Step("A token with a forbidden character", "R4", _info(key, corrupted), 401, "access_token_corrupted")


def _log_out(key: str, session: Mapping[str, Any]) -> Steps:
    token = session["accessToken"]
    ended = Fact("this session, ended", lambda document: document["data"]["id"] == session["sessionId"])
    revoke = Request("POST", "/oauth/token/revoke", key, token)
    yield Step("Revoke: log out", "R11", revoke, facts=(ended,))
    yield Step("Token info, with the revoked token", "R13", _info(key, token), 401, "access_token_revoked")
    refresh = Request("POST", "/oauth/token/refresh", key, body={"refresh_token": session["refreshToken"]})
    yield Step("Refresh after the logout", "R6, R9", refresh, 401, "session_revoked")


def _log_in(key: str, username: str, password: str) -> Request:
    return Request("POST", "/oauth/token", key, body={"username": username, "password": password})


def _info(key: str | None, token: str) -> Request:
    return Request("GET", "/oauth/token/info", key, token)


def _attributes(document: Any) -> Mapping[str, Any]:
    attributes: Mapping[str, Any] = document["data"]["attributes"]
    return attributes


def _current(document: Any) -> object:
    """The id of the session that a list of sessions marks as current; None when there is none."""
    return next((session["id"] for session in document["data"] if session["attributes"]["current"] is True), None)


def _member_is(says: str, name: str, value: object) -> Fact:
    return Fact(says, lambda document: _attributes(document)[name] == value)


def _member_is_text(says: str, name: str) -> Fact:
    def holds(document: Any) -> bool:
        value = _attributes(document)[name]
        return isinstance(value, str) and len(value) > 8

    return Fact(says, holds)


def _of_session(session: Mapping[str, Any]) -> tuple[Fact, ...]:
    return (_member_is("of this session", "sessionId", session["sessionId"]),)


_SESSION = (
    _member_is_text("an access token", "accessToken"),
    _member_is_text("a refresh token", "refreshToken"),
    Fact(
        "a session and its user",
        lambda document: bool(_attributes(document)["sessionId"] and "email" in _attributes(document)),
    ),
)
