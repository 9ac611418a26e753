"""Requests to the service with the standard library: a timeout on everything, no redirect, an end from outside."""

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache

from keybearer.outgoing.address import Address

CHUNK = 65_536


class Unreachable(Exception):
    """The service did not answer, or not to the end. The message holds nothing that was sent."""


class Closed(Exception):
    """The request was ended from outside."""


class Answer:
    """Status and headers, and the body piece by piece."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        return self._response.getheader(name) or ""

    def chunks(self, steady: Callable[[], int], seconds: float | None = None) -> Iterator[bytes]:
        """The body as it arrives. Unreachable when it has not ended after `seconds`."""
        end = None if seconds is None else steady() + int(seconds * 1e9)
        while chunk := self._response.read1(CHUNK):
            yield chunk
            if end is not None and steady() > end:
                raise Unreachable("the answer did not arrive in time")

    def read(self, steady: Callable[[], int], *, max_bytes: int, seconds: float) -> bytes:
        """The whole body. Unreachable when it is too long or too late."""
        body = b""
        for chunk in self.chunks(steady, seconds):
            body += chunk
            if len(body) > max_bytes:
                raise Unreachable("the answer is too long")
        return body


class Line:
    """One request after another to one service, each on a connection of its own; for one thread.

    `headers` go with every request.
    """

    def __init__(self, address: Address, headers: Mapping[str, str], *, connect_timeout: float) -> None:
        self.address = address
        self._headers = {"Accept-Encoding": "identity", "Connection": "close", **headers}
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False

    def get(self, path: str, headers: Mapping[str, str], *, silence: float) -> AbstractContextManager[Answer]:
        """As `ask`, for a GET."""
        return self.ask("GET", path, headers, silence=silence)

    @contextmanager
    def ask(
        self, method: str, path: str, headers: Mapping[str, str], *, body: bytes | None = None, silence: float
    ) -> Iterator[Answer]:
        """The answer to a request, for the block. `silence`: seconds between two pieces of it.

        Raises Unreachable, in the block too, and Closed after `close`.
        """
        connection = self._connection()
        try:
            connection.connect()
            connection.sock.settimeout(silence)
            self._hold(connection.sock)
            connection.request(method, path, body, {**self._headers, **headers})
            with connection.getresponse() as response:
                yield Answer(response)
        except Exception as error:
            if self._closed:
                raise Closed from None
            if isinstance(error, OSError | http.client.HTTPException | ValueError):
                raise Unreachable(_describe(error)) from None
            raise
        finally:
            self._hold(None)
            connection.close()

    def close(self) -> None:
        """End what is under way, from any thread; nothing is asked any more."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                with suppress(OSError):
                    # Not SSLSocket's own, which forgets that the connection is encrypted while a thread may still send.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def abandon(self) -> None:
        """In the child of a fork: give up the parent's connection without ending it. A response that reads from the
        socket would keep the descriptor open."""
        if self._socket is not None and self._socket.fileno() >= 0:
            os.close(self._socket.detach())

    def _connection(self) -> http.client.HTTPConnection:
        address = self.address
        if address.secure:
            return http.client.HTTPSConnection(
                address.host, address.port, timeout=self._connect_timeout, context=_tls_context()
            )
        return http.client.HTTPConnection(address.host, address.port, timeout=self._connect_timeout)

    def _hold(self, connected: socket.socket | None) -> None:
        with self._lock:
            self._socket = connected
            if self._closed and connected is not None:
                raise Closed


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """Certificates and host names are checked; the authorities are the system's (SSL_CERT_FILE adds to them)."""
    return ssl.create_default_context()


def _describe(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message.rstrip('.')}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"not an answer in HTTP ({type(error).__name__})"
