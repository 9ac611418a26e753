"""The five transports behind one face, so that one suite says what all of them do."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import httpx
import httpx2
import requests

from keybearer.client import Client

HANG = 60.0
"""Seconds after which a request has failed."""


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. `hops` are the statuses of what came before it, `retried` whether its request is marked, `shown` what
    a program can print of the last request."""

    status: int
    text: str
    hops: tuple[int, ...]
    retried: bool
    shown: str


class Transport(Protocol):
    """`body` is what the transport calls `content` or `data`; `follow` redirects."""

    name: str

    def send(self, method: str, url: str, *, body: Any = None, follow: bool = False, **options: Any) -> Got: ...


Open = Callable[[Client], Any]


class Httpx:
    """httpx or httpx2, sync."""

    def __init__(self, client: Client, module: ModuleType, **options: Any) -> None:
        self.name = module.__name__
        self._http = module.Client(auth=client.auth, timeout=HANG, trust_env=False, **options)

    def send(self, method: str, url: str, *, body: Any = None, follow: bool = False, **options: Any) -> Got:
        return _got(self._http.request(method, url, content=body, follow_redirects=follow, **options))

    def close(self) -> None:
        self._http.close()


class AsyncHttpx:
    """httpx or httpx2, async, on a loop of its own."""

    def __init__(self, client: Client, module: ModuleType, **options: Any) -> None:
        self.name = f"{module.__name__}-async"
        self._runner = asyncio.Runner()
        self._http = module.AsyncClient(auth=client.auth, timeout=HANG, trust_env=False, **options)

    def send(self, method: str, url: str, *, body: Any = None, follow: bool = False, **options: Any) -> Got:
        request = self._http.request(method, url, content=body, follow_redirects=follow, **options)
        return _got(self._runner.run(request))

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()


class Requests:
    name = "requests"

    def __init__(self, client: Client, **options: Any) -> None:
        self._session = client.attach(requests.Session())
        self._session.trust_env = False
        for name, value in options.items():
            setattr(self._session, name, value)

    def send(self, method: str, url: str, *, body: Any = None, follow: bool = False, **options: Any) -> Got:
        answer = self._session.request(method, url, data=body, allow_redirects=follow, timeout=HANG, **options)
        retried = getattr(answer.request, "_retry", False)
        hops = tuple(hop.status_code for hop in answer.history)
        return Got(answer.status_code, answer.text, hops, retried, repr(answer.request.headers))

    def close(self) -> None:
        self._session.close()


def _got(answer: Any) -> Got:
    hops = tuple(hop.status_code for hop in answer.history)
    retried = answer.request.extensions.get("_retry", False)
    return Got(answer.status_code, answer.text, hops, retried, repr(answer.request.headers))


OPEN: Mapping[str, Open] = {
    "httpx": lambda client: Httpx(client, httpx),
    "httpx-async": lambda client: AsyncHttpx(client, httpx),
    "httpx2": lambda client: Httpx(client, httpx2),
    "httpx2-async": lambda client: AsyncHttpx(client, httpx2),
    "requests": Requests,
}

SYNC = ("httpx", "httpx2", "requests")


@contextmanager
def opened(name: str, client: Client) -> Iterator[Transport]:
    transport = OPEN[name](client)
    try:
        yield transport
    finally:
        transport.close()
