"""One Auth object for httpx and httpx2, sync and async."""

import sys
from collections.abc import AsyncGenerator, Generator
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, assert_never

from keybearer.client._bodies import IN_MEMORY, ONE_SHOT, Body, body_of_files
from keybearer.client._core import Core
from keybearer.client._errors import ConfigurationError
from keybearer.client._httpx_headers import (
    bind,
    carries_key,
    carries_token,
    require_known_headers,
    unbind,
)
from keybearer.client._protocol import Examine, Examined, Load, Refresh, Send, Step, exchange

if TYPE_CHECKING:
    import httpx
    import httpx2

    class KeybearerAuth(httpx.Auth, httpx2.Auth):  # type: ignore[misc]  # each has a Request of its own
        """What `Client.auth` is, to a type checker."""


_MODULES: Final = ("httpx", "httpx2")
_BODY_MODULES: Final = frozenset(name + part for name in _MODULES for part in ("", "._content", "._multipart"))


def make_auth(core: Core) -> "KeybearerAuth":
    """An instance of the Auth of every one of the two libraries that the program has imported.

    ConfigurationError when it has imported neither.
    """
    modules = tuple(sys.modules[name] for name in _MODULES if name in sys.modules)
    if not modules:
        raise ConfigurationError("Import httpx or httpx2 before you take the client's `auth`.")
    auth: KeybearerAuth = _auth_class(modules)(core)
    return auth


@lru_cache
def _auth_class(modules: tuple[ModuleType, ...]) -> type[Any]:
    for module in modules:
        require_known_headers(module)
    bases = dict.fromkeys(module.Auth for module in modules)  # one, where httpx2 answers for httpx
    return type("KeybearerAuth", (_Flows, *bases), {"__slots__": (), "__doc__": _Flows.__doc__})


class _Flows:
    """Adds the credentials of a client to requests to its origins, and refreshes them."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def __repr__(self) -> str:
        return f"<KeybearerAuth for {self._core.origins.address}>"

    def __reduce__(self) -> tuple[object, ...]:
        return make_auth, (self._core,)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        course = _Course.of(self._core, request)
        if course is None:
            yield request
            return
        step = course.next(None)
        while step is not None:
            result: object
            match step:
                case Send():
                    result = course.note((yield course.bind(step)))
                case Refresh(record, proactive):
                    result = self._core.refreshing(record, proactive=proactive).wait()
                case Load():
                    result = self._core.vault.load()
                case Examine():
                    if course.may_be_document():
                        course.response.read()
                    result = course.examined()
                case _:
                    assert_never(step)
            step = course.next(result)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        course = _Course.of(self._core, request)
        if course is None:
            yield request
            return
        step = course.next(None)
        while step is not None:
            result: object
            match step:
                case Send():
                    result = course.note((yield course.bind(step)))
                case Refresh(record, proactive):
                    result = await self._core.refreshing(record, proactive=proactive).join()
                case Load():
                    result = await self._core.loading().join()
                case Examine():
                    if course.may_be_document():
                        await course.response.aread()
                    result = course.examined()
                case _:
                    assert_never(step)
            step = course.next(result)


class _Course:
    """One request on its way: the steps of the protocol as httpx takes them. `response` is the last answer."""

    __slots__ = ("_body", "_core", "_request", "_steps", "_stream", "response")

    def __init__(self, core: Core, request: Any, *, takes_token: bool) -> None:
        self.response: Any = None
        self._core = core
        self._request = request
        self._stream = request.stream
        self._body = _body_of(self._stream)
        self._steps = exchange(core, self._body, takes_token=takes_token)

    @classmethod
    def of(cls, core: Core, request: Any) -> "_Course | None":
        """None for a request that leaves without credentials."""
        authorized = unbind(request)
        url = request.url
        place = core.origins.by_wire.get((url.scheme, url.raw_host, url.port))
        if place is None:
            return None
        own = place == core.origins.own_place and url.path in core.origins.own_paths
        return cls(core, request, takes_token=not own and not authorized)

    def next(self, result: object) -> Step | None:
        """The step that follows; None when the last answer stands."""
        try:
            return self._steps.send(result)
        except StopIteration:
            return None

    def bind(self, step: Send) -> Any:
        """The request to send. A second time that is the one that was refused: the last, after redirects."""
        if step.again:
            self._request = self.response.request
            self._request.extensions["_retry"] = True
        bind(self._request, step.credentials)
        return self._request

    def note(self, response: Any) -> int:
        self.response = response
        status: int = response.status_code
        return status

    def may_be_document(self) -> bool:
        headers = self.response.headers
        return self._core.may_be_document(headers.get("content-type", ""), headers.get("content-length", "0"))

    def examined(self) -> Examined:
        response = self.response
        request = response.request
        eligible = carries_token(request) and "_retry" not in request.extensions
        code = None
        if carries_key(request):
            code = response.headers.get("x-keybearer-error")
            if code is None and self.may_be_document():
                code = self._core.code_of(response.content)
        return Examined(eligible, code, self._body if request.stream is self._stream else _body_of(request.stream))


def _body_of(stream: Any) -> Body:
    """By the classes in which both libraries keep a body; those of others are sent once."""
    kind = type(stream)
    if kind.__module__ not in _BODY_MODULES:
        return ONE_SHOT
    match kind.__name__:
        case "ByteStream":
            return IN_MEMORY
        case "MultipartStream":
            return body_of_files(*(field.file for field in stream.fields if hasattr(field, "file")))
        case "IteratorByteStream":
            source = stream._stream
            return IN_MEMORY if isinstance(source, list | tuple) else body_of_files(source)
        case _:
            return ONE_SHOT
