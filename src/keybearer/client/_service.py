"""The service, asked directly: with the standard library, on a connection of its own for each request.

No interceptor, hook, proxy, netrc or redirect of the program that uses the client has a part in it.
"""

import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Final, TypeVar

import msgspec

from keybearer import __version__, strict_json
from keybearer.client._calls import Call, Credentials, Reply
from keybearer.client._errors import ApiKeyRejected, ConfigurationError, ServiceUnavailable
from keybearer.client._outcomes import Granted, Outcome, Refused, Rejected, Untried
from keybearer.client._record import MAX_TOKEN, Record, Session, User
from keybearer.credentials.alphabet import is_in_alphabet
from keybearer.errors import CATALOGUE, KeybearerError, MethodNotAllowed, TooManyAttempts, ValidationFailed
from keybearer.outgoing.address import Address
from keybearer.outgoing.line import Closed, Line, Unreachable
from keybearer.strict_json import StrictJsonError
from keybearer.wire.documents import Document, SessionAttributes
from keybearer.wire.problems import ErrorDocument, Problem

TIMEOUT: Final = 10.0
"""Seconds for one request and its whole answer."""

MAX_ANSWER: Final = 1_048_576
MAX_SESSION: Final = 32_768
"""Bytes of a session document; a longer one could not be stored."""

MAX_LIFETIME: Final = 2**31
MAX_RETRY_AFTER: Final = 3_600.0
"""Seconds; what asks for more is asked again sooner."""

_LATER: Final = frozenset({408, 425, 429})
"""Statuses that say nothing about the request, as all from 500 on."""

Kind = TypeVar("Kind")


class Service:
    __slots__ = ("_address", "_key_only", "_now")

    def __init__(self, address: Address, key_only: Credentials, now: Callable[[], float]) -> None:
        self._address = address
        self._key_only = key_only
        self._now = now

    def log_in(self, call: Call) -> Session:
        """Raises LoginError and the other refusals of the catalogue, ServiceUnavailable, ApiKeyRejected,
        ConfigurationError."""
        reply = self.ask(call)
        session = _session_of(reply, self._now()) if reply.status == 200 else None
        if session is None:
            raise refusal_of(reply)
        return session

    def refresh(self, record: Record) -> Outcome:
        """Ask for new tokens, once."""
        if record.session is None or record.idempotency_key is None:
            raise ValueError("a refresh needs a session and its idempotency key")
        headers = {"Content-Type": "application/json", "Idempotency-Key": record.idempotency_key}
        body = strict_json.dumps({"refresh_token": record.session.refresh_token})
        call = Call("POST", "/oauth/token/refresh", body, headers)
        del body  # no traceback shows it
        try:
            reply = self.ask(call)
        except ServiceUnavailable as error:
            return Untried(error.detail)
        return self._outcome(reply)

    def ask(self, call: Call, credentials: Credentials | None = None) -> Reply:
        """The answer, whatever it says; with the Api-Key alone by default. Raises ServiceUnavailable."""
        credentials = credentials or self._key_only
        headers = {"Accept": "application/json", "User-Agent": f"keybearer/{__version__}", **credentials.headers()}
        line = Line(self._address, headers, connect_timeout=TIMEOUT)
        end = threading.Timer(TIMEOUT, line.close)
        end.daemon = True
        end.start()
        try:
            return self._exchange(line, call)
        except Closed:
            raise ServiceUnavailable(f"{self._address} has not answered in {TIMEOUT:.0f} s.") from None
        except Unreachable as error:
            raise ServiceUnavailable(f"{self._address} cannot be asked: {error}.") from None
        finally:
            end.cancel()

    def _exchange(self, line: Line, call: Call) -> Reply:
        path = self._address.base + call.path
        with line.ask(call.method, path, call.headers, body=call.body, silence=TIMEOUT) as answer:
            body = answer.read(_never, max_bytes=MAX_ANSWER, seconds=TIMEOUT)
            return Reply(answer.status, parse_retry_after(answer.header("Retry-After"), self._now()), body)

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.status == 200:
            session = _session_of(reply, self._now())
            return Granted(session) if session is not None else Untried("The answer to the refresh cannot be read.")
        if reply.status == 401:
            return Refused(code_of(reply.body))
        error = refusal_of(reply)
        if isinstance(error, ServiceUnavailable | TooManyAttempts):
            return Untried(error.detail, reply.retry_after)
        if isinstance(error, ApiKeyRejected | ConfigurationError):
            return Rejected(error)
        return Rejected(ConfigurationError(f"The service refuses to refresh ({error.code}): {error.detail}"))


def _never() -> int:
    """The end of an answer's time is kept from outside (`Service.ask`)."""
    return 0


def _session_of(reply: Reply, now: float) -> Session | None:
    """The session of an answer; None for anything that must not be stored."""
    document = read_document(Document[SessionAttributes], reply)
    if document is None:
        return None
    read = document.data.attributes
    if len(reply.body) > MAX_SESSION or not 0 < read.expires_in < MAX_LIFETIME:
        return None
    if not all(len(token) <= MAX_TOKEN and is_in_alphabet(token) for token in (read.access_token, read.refresh_token)):
        return None
    user = User(document.data.id, read.email, read.first_name, read.last_name)
    return Session(read.access_token, read.refresh_token, now + read.expires_in, read.expires_in, read.session_id, user)


def read_document(kind: type[Kind], reply: Reply) -> Kind | None:
    """The document of an answer; None when it is no such document."""
    return _read(kind, reply.body)


def code_of(body: bytes) -> str | None:
    """The code of an error document of the contract; None for any other body."""
    problem = _problem_of(body)
    return problem.code if problem is not None and problem.code in CATALOGUE else None


def refusal_of(reply: Reply) -> KeybearerError:
    """What an answer without the expected document says."""
    problem = _problem_of(reply.body)
    detail = problem.detail if problem is not None else None
    kind = CATALOGUE.get(problem.code) if problem is not None else None
    if reply.status >= 500 or reply.status in _LATER or reply.status < 400:
        if kind is TooManyAttempts:
            return TooManyAttempts(detail, retry_after=ceil(_pause(reply)))
        return ServiceUnavailable(detail or f"The answer is not the service's (status {reply.status}).", _pause(reply))
    if kind is None:
        return ConfigurationError(
            f"There is no Keybearer at this address (status {reply.status}): check the base URL of the client."
        )
    return _refusal(kind, detail, reply)


def _refusal(kind: type[KeybearerError], detail: str | None, reply: Reply) -> KeybearerError:
    if kind.code.startswith("api_key_"):
        return ApiKeyRejected(detail, kind.code)
    if issubclass(kind, ValidationFailed):
        return kind(_problems(reply.body))
    if issubclass(kind, MethodNotAllowed):
        return ConfigurationError(f"The service does not know this request: {kind.default_detail}")
    return kind(detail)


def _problems(body: bytes) -> list[tuple[str, str]]:
    """What is wrong with which member."""
    document = msgspec.json.decode(body, type=ErrorDocument)
    return [((problem.source or {}).get("pointer", ""), problem.detail) for problem in document.errors]


def _problem_of(body: bytes) -> Problem | None:
    """The first problem of an error document of the contract."""
    document = _read(ErrorDocument, body)
    return document.errors[0] if document is not None and document.errors else None


def _read(kind: type[Kind], body: bytes) -> Kind | None:
    try:
        return msgspec.convert(strict_json.loads(body), kind)
    except (StrictJsonError, msgspec.ValidationError):
        return None


def _pause(reply: Reply) -> float:
    return reply.retry_after if reply.retry_after is not None else 1.0


def parse_retry_after(text: str, now: float) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3); None when there is none that can be read."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(float(text), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
