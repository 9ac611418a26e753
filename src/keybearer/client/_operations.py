"""What a client does at the service itself: once for both clients, in the thread that it is called in."""

from typing import Final, TypeVar, assert_never
from urllib.parse import quote, urlsplit

from keybearer import strict_json
from keybearer.client._bodies import IN_MEMORY
from keybearer.client._calls import Call, Reply
from keybearer.client._core import Core
from keybearer.client._errors import ConfigurationError, NotLoggedIn, ServiceUnavailable, SessionExpired, StoreError
from keybearer.client._origins import place_of
from keybearer.client._outcomes import LogoutOutcome
from keybearer.client._protocol import Examine, Examined, Load, Refresh, Send, exchange
from keybearer.client._record import Record, Session, User
from keybearer.client._secret import SecretText
from keybearer.client._service import code_of, read_document, refusal_of
from keybearer.errors import TooManyAttempts, ValidationFailed
from keybearer.wire.documents import (
    Document,
    ListDocument,
    OwnSessionAttributes,
    Resource,
    TokenAttributes,
    UserAttributes,
)

_JSON: Final = {"Content-Type": "application/json"}

Kind = TypeVar("Kind")


def _make_login(username: str, password: SecretText) -> Call:
    """The request for a session. ValidationFailed for what no text in UTF-8 can say."""
    try:
        body = strict_json.dumps({"username": username, "password": str(password)})
    except UnicodeEncodeError:
        raise ValidationFailed([("", "A lone surrogate is no character.")]) from None
    return Call("POST", "/oauth/token", body, _JSON)


class Operations:
    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def log_in(self, username: str, password: SecretText) -> User:
        session = self._core.service.log_in(_make_login(username, password))
        self._core.refresher.forget_failures()
        self._core.vault.begin(session)
        return session.user

    def log_out(self, *, all_devices: bool) -> LogoutOutcome:
        """Here first, so that a refresh under way brings nothing back."""
        record = self._core.vault.latest()
        if record.session is None:
            return LogoutOutcome.ALREADY_ENDED
        problem: StoreError | None = None
        try:
            self._core.vault.log_out(record)
        except StoreError as error:
            problem = error
        outcome = self._revoke(record.session, all_devices=all_devices)
        if problem is not None:
            raise problem
        return outcome

    def refresh(self) -> None:
        record = self._core.vault.load()
        _session_of(record)
        _session_of(self._core.refreshing(record, proactive=False).wait())

    def access_token(self) -> str:
        """One that is not near its end, where that can be had."""
        record = self._core.vault.load()
        session = _session_of(record)
        if self._core.is_near_end(session):
            session = _session_of(self._core.refreshing(record, proactive=True).wait())
        return session.access_token

    def headers_for(self, url: str) -> dict[str, str]:
        try:
            parts = urlsplit(url)
            place = place_of(f"{parts.scheme}://{parts.netloc}")
        except (ConfigurationError, ValueError):
            return {}
        if place not in self._core.origins.places:
            return {}
        return {"Api-Key": str(self._core.api_key), "Authorization": f"Bearer {self.access_token()}"}

    def user(self) -> User | None:
        session = self._core.vault.load().session
        return session.user if session is not None else None

    def inspect(self) -> Resource[TokenAttributes]:
        return self._read(Document[TokenAttributes], "/oauth/token/info").data

    def profile(self) -> Resource[UserAttributes]:
        return self._read(Document[UserAttributes], "/users/me").data

    def sessions(self) -> list[Resource[OwnSessionAttributes]]:
        return self._read(ListDocument[OwnSessionAttributes], "/sessions").data

    def end_session(self, session_id: str) -> None:
        self._ask(Call("DELETE", f"/sessions/{quote(session_id, safe='')}"), 204)

    def end_other_sessions(self) -> None:
        self._ask(Call("DELETE", "/sessions"), 204)

    def _read(self, kind: type[Kind], path: str) -> Kind:
        document = read_document(kind, self._ask(Call("GET", path), 200))
        if document is None:
            raise ServiceUnavailable("The answer is not the service's.")
        return document

    def _ask(self, call: Call, expected: int) -> Reply:
        """The answer to a request of the user's own; raises whatever other answer there is."""
        _session_of(self._core.vault.load())
        reply = self._exchange(call)
        if reply.status != expected:
            raise refusal_of(reply)
        return reply

    def _exchange(self, call: Call) -> Reply:
        core = self._core
        steps = exchange(core, IN_MEMORY, takes_token=True)
        replies: list[Reply] = []
        step = next(steps)
        while True:
            result: object
            match step:
                case Send(credentials):
                    replies.append(core.service.ask(call, credentials))
                    result = replies[-1].status
                case Refresh(record, proactive):
                    result = core.refreshing(record, proactive=proactive).wait()
                case Load():
                    result = core.vault.load()
                case Examine():
                    result = Examined(True, code_of(replies[-1].body), IN_MEMORY)
                case _:
                    assert_never(step)
            try:
                step = steps.send(result)
            except StopIteration:
                return replies[-1]

    def _revoke(self, session: Session, *, all_devices: bool) -> LogoutOutcome:
        path = "/oauth/token/revoke?allDevices=true" if all_devices else "/oauth/token/revoke"
        call = Call("POST", path, strict_json.dumps({"refresh_token": session.refresh_token}), _JSON)
        try:
            reply = self._core.service.ask(call, self._core.credentials_of(session))
        except ServiceUnavailable:
            return LogoutOutcome.UNREACHABLE
        if reply.status == 200:
            return LogoutOutcome.REVOKED
        if reply.status == 401:
            return LogoutOutcome.ALREADY_ENDED
        error = refusal_of(reply)
        if isinstance(error, ServiceUnavailable | TooManyAttempts):
            return LogoutOutcome.UNREACHABLE
        raise error


def _session_of(record: Record) -> Session:
    if record.session is not None:
        return record.session
    raise SessionExpired if record.ended == "expired" else NotLoggedIn
