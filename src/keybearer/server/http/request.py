"""One request as the server hands it over (ASGI 3.0), read no further than a handler asks."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal
from urllib.parse import parse_qs

from keybearer.errors import BodyTooLarge, KeybearerError, MalformedRequest
from keybearer.guard._headers import require_once
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.places import origin_of
from keybearer.wire.request_ids import is_request_id

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

Watch = Callable[[Callable[[], None] | None], None]
"""Takes what is to be called, once, when the client goes before it is answered; None: nothing any more."""

WATCH = "keybearer.watch"
"""Where the server puts a `Watch` in the state of a request."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
CREDENTIALS = (b"api-key", b"authorization", b"origin")
_MAX_AGENT = 200

_MAX_ADDRESS = 64
"""Characters of an address, a zone among them; whatever is longer is none."""

_MAX_PROXIES = 16
"""That stand one behind the other. What is named beyond them is not read: a header holds thousands of addresses."""

_ADDRESSES = 4096
"""Of which it is remembered what they are."""


Standing = Literal["well known", "known", "open", "recognised", "strange"]
"""Why a request need not wait for a turn, or that it has to: its sender was answered well so often that he cannot be
better known, or lately; its operation is open to all; its token was verified before; or none of these."""


class ClientGone(Exception):
    """There is nobody to be answered."""


@dataclass(frozen=True)
class RequestLimits:
    """`max_body` in bytes; `body_timeout` in seconds for the whole body."""

    max_body: int = 16_384
    body_timeout: float = 10.0
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    @cached_property
    def is_trusted(self) -> Callable[[str], bool]:
        """Whether it is the address of a trusted proxy; remembers what it was asked."""
        return lru_cache(_ADDRESSES)(partial(_is_among, self.trusted_proxies))


class RequestIds:
    """Ids for requests that bring none: a random part for the process, and a count."""

    def __init__(self, random: bytes) -> None:
        self._process = random.hex()
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._process}-{next(self._count):x}"


class Request:
    """Method, path and headers of one request, and its body on demand."""

    __slots__ = (
        "_limits",
        "_receive",
        "_scope",
        "credentials",
        "headers",
        "is_proven",
        "method",
        "path",
        "request_id",
        "standing",
    )

    credentials: tuple[str | None, str | None, str | None]
    """Api-Key, Authorization and Origin, once `check_headers` has gone well."""

    standing: Standing

    is_proven: bool
    """Whether the credentials that its operation needs were right."""

    def __init__(self, scope: Scope, receive: Receive, limits: RequestLimits, fresh_id: Callable[[], str]) -> None:
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self.is_proven = False
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        sent = self.header(b"x-request-id")
        self.request_id = sent if is_request_id(sent) else fresh_id()

    def header(self, name: bytes) -> str | None:
        """The value of a header, by its lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def check_headers(self) -> None:
        """Raise MalformedRequest when a header that must stand once stands twice (contract.md section 2)."""
        if not self.shows_each_once():
            self._join_repeated(self._scope["headers"])
        api_key, authorization, origin = map(self.header, CREDENTIALS)
        require_once(api_key, authorization, origin)
        self.credentials = api_key, authorization, origin

    def _join_repeated(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        if sum(name == b"content-length" for name, _ in raw) > 1:
            raise MalformedRequest("The header Content-Length stands in the request more than once.")
        for name in CREDENTIALS:
            if name in self.headers:
                self.headers[name] = b",".join(value for sent, value in raw if sent == name)

    def shows_each_once(self) -> bool:
        """Whether no header stands twice: what `credentials` would be is plain then."""
        return len(self._scope["headers"]) == len(self.headers)

    def check_declared_length(self) -> None:
        """Raise BodyTooLarge, or MalformedRequest for a length that is no number, before any of the body is read."""
        declared = self.headers.get(b"content-length")
        if declared is None:
            return
        if not declared.isdigit():
            raise MalformedRequest("The Content-Length header is not a number.")
        if len(declared) > 12 or int(declared) > self._limits.max_body:
            raise BodyTooLarge

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge, MalformedRequest when it does not arrive, and ClientGone."""
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                return await self._read_body()
        except TimeoutError:
            raise MalformedRequest("The body did not arrive in time.") from None

    async def _read_body(self) -> bytes:
        body = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            body += chunk
            if len(body) > self._limits.max_body:
                raise BodyTooLarge
            if not message.get("more_body", False):
                return body

    async def wait_for_disconnect(self) -> None:
        """Until the client has gone; what it still sends of a body is left aside."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @contextmanager
    def watched(self) -> Iterator[asyncio.Future[None]]:
        """For the block: what is done when the client has gone. An error of the block is then ClientGone."""
        gone = asyncio.get_running_loop().create_future()
        self._watch(lambda: gone.set_result(None))
        try:
            yield gone
        except KeybearerError:
            if gone.done():
                raise ClientGone from None
            raise
        finally:
            self._watch(None)

    @contextmanager
    def abandoned_when_gone(self) -> Iterator[None]:
        """The block is cancelled when the client has gone, and raises ClientGone."""
        task, gone = asyncio.current_task(), False

        def abandon() -> None:
            nonlocal gone
            if task is not None:
                gone = task.cancel()

        self._watch(abandon)
        try:
            yield
        except asyncio.CancelledError:
            if not gone or task is None or task.uncancel():
                raise
            raise ClientGone from None
        finally:
            self._watch(None)

    def _watch(self, callback: Callable[[], None] | None) -> None:
        watch: Watch | None = self._scope.get("state", {}).get(WATCH)
        if watch is not None:  # another server than ours tells nothing
            watch(callback)

    def query_value(self, name: str) -> str | None:
        """A value of the query, or None when it is not there. Raises MalformedRequest when it stands there twice."""
        query: bytes = self._scope["query_string"]
        try:
            values = parse_qs(query.decode("latin-1"), max_num_fields=20).get(name)
        except ValueError:
            raise MalformedRequest("The query has too many parameters.") from None
        if values is None:
            return None
        if len(values) > 1:
            raise MalformedRequest(f"The query parameter {name} stands in the request more than once.")
        return values[0]

    def query_flag(self, name: str) -> bool | None:
        """A boolean of the query (`true`, `false`), or None when it is not there. Raises MalformedRequest."""
        value = self.query_value(name)
        if value not in (None, "true", "false"):
            raise MalformedRequest(f"The query parameter {name} takes true or false.")
        return None if value is None else value == "true"

    def actor(self) -> Actor:
        """Who asks, for the audit trail."""
        agent = _UNPRINTABLE.sub("?", (self.header(b"user-agent") or "")[:_MAX_AGENT])
        return Actor("client", address=self._address(), agent=agent, request_id=self.request_id)

    def sender(self) -> str:
        """The client's address, or the network of it that one customer has, by which strangers are told from others."""
        return _customer_of(self._address())

    def _address(self) -> str:
        """The client's address: the peer's, or, as long as the peer is a trusted proxy, the one that it names."""
        client: tuple[str, int] | None = self._scope.get("client")
        address = client[0] if client else ""
        if not self._limits.trusted_proxies:
            return address
        named = self._forwarded_for()
        for _ in range(_MAX_PROXIES):
            if not named or not self._limits.is_trusted(address):
                break
            named, _, last = named.rpartition(",")
            address = last.strip()[:_MAX_ADDRESS] or address
        return address

    def _forwarded_for(self) -> str:
        return ",".join(value.decode("latin-1") for name, value in self._scope["headers"] if name == b"x-forwarded-for")


def _is_among(networks: tuple[IPv4Network | IPv6Network, ...], address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


@lru_cache(_ADDRESSES)
def _customer_of(address: str) -> str:
    return origin_of(address).address
