"""One request as the server hands it over (ASGI 3.0), read no further than a handler asks."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Literal
from urllib.parse import parse_qs

from keybearer.errors import BodyTooLarge, KeybearerError, MalformedRequest
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.places import origin_of
from keybearer.server.http.head import Head

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

Watch = Callable[[Callable[[], None] | None], None]
"""Takes what is to be called, once, when the client goes before it is answered; None: nothing any more."""

WATCH = "keybearer.watch"
"""Where the server puts a `Watch` in the state of a request."""

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
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


async def _read_nothing() -> dict[str, Any]:
    raise TypeError("what is answered at once reads no body")


class Request:
    """One request: its head, who sent it, and its body on demand."""

    __slots__ = (
        "_client",
        "_limits",
        "_receive",
        "_watch_client",
        "head",
        "is_proven",
        "method",
        "path",
        "request_id",
        "standing",
    )

    standing: Standing

    is_proven: bool
    """Whether the credentials that its operation needs were right."""

    def __init__(
        self,
        head: Head,
        client: tuple[str, int] | None,
        limits: RequestLimits,
        fresh_id: Callable[[], str],
        *,
        receive: Receive = _read_nothing,
        watch: Watch | None = None,
    ) -> None:
        self.head = head
        self.method = head.method
        self.path = head.path
        self.request_id = head.request_id or fresh_id()
        self.is_proven = False
        self._client = client
        self._limits = limits
        self._receive = receive
        self._watch_client = watch

    def header(self, name: bytes) -> str | None:
        """The value of a header, by its lower-case name."""
        return self.head.field(name)

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
        if self._watch_client is not None:  # another server than ours tells nothing
            self._watch_client(callback)

    def query_value(self, name: str) -> str | None:
        """A value of the query, or None when it is not there. Raises MalformedRequest when it stands there twice."""
        try:
            values = parse_qs(self.head.query.decode("latin-1"), max_num_fields=20).get(name)
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
        address = self._client[0] if self._client else ""
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
        return ",".join(value.decode("latin-1") for name, value in self.head.listed if name == b"x-forwarded-for")


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
