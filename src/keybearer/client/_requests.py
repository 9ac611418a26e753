"""The adapters that add the credentials to the requests of a `requests.Session`, and refresh them.

An adapter answers for one origin and is asked at every hop, so that what goes elsewhere never holds a credential: they
stand in a copy of the request, and only here. A redirect to another origin gets none either, though it were a listed
one: where credentials go is for the program to say. `_Departures` tells the adapters of such a redirect.
"""

from traceback import clear_frames
from typing import Any, TypeVar, assert_never

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter
from requests.auth import HTTPBasicAuth
from requests.exceptions import InvalidSchema
from requests.structures import CaseInsensitiveDict
from requests.utils import get_netrc_auth

from keybearer.client._bodies import IN_MEMORY, ONE_SHOT, Body, body_of_files
from keybearer.client._calls import Credentials
from keybearer.client._core import Core
from keybearer.client._origins import DEFAULT_PORTS, Place
from keybearer.client._protocol import Examine, Examined, Load, Refresh, Send, Step, exchange

RequestsSession = TypeVar("RequestsSession", bound=Session)


def attach(core: Core, session: Session) -> None:
    """Put an adapter before those that the session has, for each origin. Once, however often it is asked for."""
    detach(core, session)
    for place in core.origins.places:
        beginnings = _beginnings(place)
        within = [prefix for prefix in session.adapters if prefix.lower().startswith(beginnings)]
        for prefix in {*beginnings, *within}:
            session.mount(prefix, KeybearerAdapter(core, session, place, prefix))
    _watch(session)


def detach(core: Core, session: Session) -> None:
    """Leave the session as it was."""
    for prefix, adapter in list(session.adapters.items()):
        left = _without(core, adapter)
        if left is not adapter:
            del session.adapters[prefix]
            if left is not None:
                session.mount(prefix, left)
    if not any(isinstance(adapter, KeybearerAdapter) for adapter in session.adapters.values()):
        _unwatch(session)


def _without(core: Core, adapter: BaseAdapter | None) -> BaseAdapter | None:
    """What is left of an adapter, and of those in whose place it stands, without this client's."""
    if not isinstance(adapter, KeybearerAdapter):
        return adapter
    adapter.replaced = _without(core, adapter.replaced)
    return adapter.replaced if adapter.core is core else adapter


def _beginnings(place: Place) -> tuple[str, ...]:
    """How a URL of this origin can begin. The slash ends the host, so that no other host begins so."""
    scheme, host, port = place
    name = f"{scheme}://[{host}]" if ":" in host else f"{scheme}://{host}"
    return (f"{name}:{port}/", f"{name}/") if port == DEFAULT_PORTS[scheme] else (f"{name}:{port}/",)


class KeybearerAdapter(BaseAdapter):
    """Leaves the sending to the adapter that the session has for the same URL. `replaced` stood in its place."""

    def __init__(self, core: Core, session: Session, place: Place, prefix: str) -> None:
        super().__init__()
        self.core = core
        self.replaced = session.adapters.get(prefix)
        self._session = session
        self._is_own = place == core.origins.own_place
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"<KeybearerAdapter for {self._prefix}>"

    def close(self) -> None:
        """The session closes the other adapters itself."""
        if self.replaced is not None:
            self.replaced.close()

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """As the adapter behind it, with the credentials, a refresh where they are refused, and one retry."""
        core, inner = self.core, self._inner(request)
        if type(request.headers) is _BareHeaders:
            return inner.send(request, *args, **kwargs)
        bare, authorized = _without_netrc(request, trust_env=self._session.trust_env)
        own = self._is_own and request.path_url.partition("?")[0] in core.origins.own_paths
        course = _Course(core, request, takes_token=not own and not authorized)
        try:
            answer = self._follow(course, inner, bare, args, kwargs)
        except Exception as error:
            course.release()
            _forget_variables(error, set())
            raise
        if 300 <= answer.status_code < 400:
            _watch(self._session)  # one that was unpickled has our adapters, and nothing else of ours
        return answer

    def _follow(
        self,
        course: "_Course",
        inner: BaseAdapter,
        bare: PreparedRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Response:
        core = self.core
        step = course.next(None)
        while step is not None:
            result: object
            match step:
                case Send():
                    if step.again:
                        course.begin_again()
                    result = course.note(inner.send(_with(bare, step.credentials), *args, **kwargs))
                case Refresh(record, proactive):
                    result = core.refreshing(record, proactive=proactive).wait()
                case Load():
                    result = core.vault.load()
                case Examine():
                    result = course.examined()
                case _:
                    assert_never(step)
            step = course.next(result)
        return course.answer()

    def _inner(self, request: PreparedRequest) -> BaseAdapter:
        if self.replaced is not None:
            return self.replaced
        url = (request.url or "").lower()
        for prefix, adapter in self._session.adapters.items():
            if type(adapter) is not KeybearerAdapter and url.startswith(prefix.lower()):
                return adapter
        raise InvalidSchema("The session has no adapter for this URL.")


class _BareHeaders(CaseInsensitiveDict[str | bytes]):
    """Those of a request that takes no credentials, wherever it goes."""


class _Departures:
    """In the place of the `rebuild_auth` of a session, which is asked at every redirect that it follows: marks the
    requests that come after one to another origin, be it back to the first."""

    __slots__ = ("_rebuild_auth", "_session", "own")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._rebuild_auth = session.rebuild_auth
        self.own = vars(session).get("rebuild_auth")

    def __call__(self, prepared_request: PreparedRequest, response: Response) -> None:
        before = response.request
        if type(before.headers) is _BareHeaders or self._change_origin(before, prepared_request):
            prepared_request.headers = _BareHeaders(prepared_request.headers)
        self._rebuild_auth(prepared_request, response)

    def _change_origin(self, before: PreparedRequest, after: PreparedRequest) -> bool:
        """As requests itself judges of `Authorization`, whatever a subclass of the program's makes of that; httpx does
        so too: from http to https is no change."""
        return Session.should_strip_auth(self._session, before.url or "", after.url or "")


def _watch(session: Session) -> None:
    if type(vars(session).get("rebuild_auth")) is not _Departures:
        session.rebuild_auth = _Departures(session)  # type: ignore[method-assign] # requests tells of redirects no other way


def _unwatch(session: Session) -> None:
    watching = vars(session).get("rebuild_auth")
    if type(watching) is _Departures:
        del session.rebuild_auth
        if watching.own is not None:
            session.rebuild_auth = watching.own  # type: ignore[method-assign] # the program's own, as it was


class _Course:
    """One request on its way: the steps of the protocol as requests takes them."""

    __slots__ = ("_answers", "_body", "_core", "_request", "_steps")

    def __init__(self, core: Core, request: PreparedRequest, *, takes_token: bool) -> None:
        self._answers: list[Response] = []
        self._core = core
        self._request = request
        self._body = _body_of(request)
        self._steps = exchange(core, self._body, takes_token=takes_token)

    def next(self, result: object) -> Step | None:
        """The step that follows; None when the last answer stands."""
        try:
            return self._steps.send(result)
        except StopIteration:
            return None

    def begin_again(self) -> None:
        self._request._retry = True  # type: ignore[attr-defined]  # the flag of contract.md R8
        self.release()

    def note(self, response: Response) -> int:
        """The answer belongs to the request that the program knows, without credentials."""
        response.request = self._request
        self._answers.append(response)
        return response.status_code

    def examined(self) -> Examined:
        response = self._answers[-1]
        headers = response.headers
        code = headers.get("X-Keybearer-Error")
        if code is None and self._core.may_be_document(
            headers.get("Content-Type", ""), headers.get("Content-Length", "0")
        ):
            code = self._core.code_of(response.content)
        return Examined(not getattr(self._request, "_retry", False), code, self._body)

    def answer(self) -> Response:
        *before, last = self._answers
        if before:
            last.history = [*before, *last.history]
        return last

    def release(self) -> None:
        """An answer that nobody will read gives its connection back."""
        for response in self._answers:
            response.close()


def _forget_variables(error: BaseException | None, seen: set[int]) -> None:
    """The standard library has the headers among its variables."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        clear_frames(error.__traceback__)
        _forget_variables(error.__cause__, seen)
        _forget_variables(error.__context__, seen)


def _with(request: PreparedRequest, credentials: Credentials) -> PreparedRequest:
    """A copy with our headers."""
    sent = _copy(request)
    store = sent.headers._store
    store["api-key"] = "Api-Key", credentials.api_key
    if credentials.authorization is not None:
        store["authorization"] = "Authorization", credentials.authorization
    return sent


def _copy(request: PreparedRequest) -> PreparedRequest:
    """What `PreparedRequest.copy` copies, with headers of its own and all else in common; in a fifth of the time."""
    made = PreparedRequest()
    made.method = request.method
    made.url = request.url
    made._cookies = request._cookies
    made.body = request.body
    made.hooks = request.hooks
    made._body_position = request._body_position
    made.headers = object.__new__(CaseInsensitiveDict)
    made.headers._store = request.headers._store.copy()
    return made


def _without_netrc(request: PreparedRequest, *, trust_env: bool) -> tuple[PreparedRequest, bool]:
    """The request, and whether it has an Authorization of the caller's. What a netrc file has put into it is none, nor
    at a redirect: then it is a copy without."""
    if "authorization" not in request.headers._store:
        return request, False
    login = get_netrc_auth(request.url or "") if trust_env else None
    if login is None or request.headers["Authorization"] != _basic(request, login):
        return request, True
    bare = _copy(request)
    del bare.headers["Authorization"]
    return bare, False


def _basic(request: PreparedRequest, login: tuple[str, str]) -> str | bytes:
    probe = _copy(request)
    probe.headers = CaseInsensitiveDict()
    HTTPBasicAuth(*login)(probe)
    return probe.headers["Authorization"]


def _body_of(request: PreparedRequest) -> Body:
    body: object = request.body
    if body is None or isinstance(body, str | bytes):
        return IN_MEMORY
    return body_of_files(body) if hasattr(body, "read") else ONE_SHOT
