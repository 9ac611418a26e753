"""A service that answers what a test tells it to: snapshot, feed, keys and token info over real sockets, with faults.

Everything about tokens is real (`keybearer.testing` makes them); what is scripted is how it is sent.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from keybearer.base64url import encode_base64url
from keybearer.credentials.access_token import issue_access_token
from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, hash_api_key, make_api_key
from keybearer.guard import Credentials, Guard, Limits
from keybearer.jose.keys import SigningKey

HANG = 20.0
"""Seconds after which a test that waits has failed."""

ISSUER = "https://auth.example.com"
APPLICATION = "00000000-0000-7000-8000-000000000001"
OTHER_APPLICATION = "00000000-0000-7000-8000-000000000002"
USER = "00000000-0000-7000-8000-00000000000a"

LIMITS = Limits(
    connect_timeout=2,
    answer_timeout=2,
    stream_silence=2,
    snapshot_bytes=8 * 2**20,
    snapshot_seconds=10,
    keys_seconds=3,
    first_pause=0.005,
    longest_pause=0.05,
    refused_pause=0.05,
    introspection_seconds=1,
)
"""Those of a guard that has no time."""

GUARD_KEY = make_api_key(ApiKeyKind.SECRET, b"g" * RANDOM_BYTES)
KEY = make_api_key(ApiKeyKind.PUBLISHABLE, b"k" * RANDOM_BYTES)
OTHER_KEY = make_api_key(ApiKeyKind.PUBLISHABLE, b"o" * RANDOM_BYTES)

Body = bytes | Iterator[bytes]


def session_id(number: int) -> str:
    return f"00000000-0000-7000-9000-{number:012x}"


class FeedServer:
    """What it answers are attributes that tests set. Every stream that is open gets what `send` sends."""

    def __init__(self) -> None:
        self.signing_keys = [SigningKey.generate("ES256")]
        self.epoch = "e1"
        self.position = 10
        self.issuer = ISSUER
        self.skew = 0.0
        """Seconds by which the service's clock is ahead of this machine's."""
        self.lag = 0.0
        """Seconds since the service has read its database."""
        self.applications = [
            {"kind": "application", "id": id, "state": "enabled", "origins": ["https://app.example"]}
            for id in (APPLICATION, OTHER_APPLICATION)
        ]
        self.keys = [key_entry(KEY, APPLICATION), key_entry(OTHER_KEY, OTHER_APPLICATION)]
        self.sessions: list[dict[str, Any]] = []
        self.users: list[dict[str, Any]] = []
        self.key_set_version = 1
        self.snapshot: Callable[[], Body] = lambda: json.dumps(self.snapshot_document()).encode()
        self.jwks: Callable[[], Body] = lambda: json.dumps(self.jwks_document()).encode()
        self.token_info: Callable[[], Body] = lambda: b"{}"
        self.status: dict[str, int] = {}
        """By path, where it is not 200."""
        self.headers: dict[str, str] = {}
        self.log: list[tuple[int, bytes]] = []
        """What was published, with its position: a stream begins with all after its Last-Event-ID."""
        self.first_events: Callable[[str], bytes] = self.resume
        """What a new stream begins with."""
        self.jwks_max_age = 300
        self.heartbeats = True
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Paths, and headers in lower case."""
        self.streams: list[_Stream] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True),
            threading.Thread(target=self._beat, daemon=True),
        ]
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.cut()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(HANG)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def now(self) -> int:
        return int((time.time() + self.skew) * 1000)

    def as_of(self) -> int:
        return self.now() - int(self.lag * 1000)

    def guard(self, **options: Any) -> Guard:
        return Guard(self.url, GUARD_KEY, **{"limits": LIMITS} | options)

    def count(self, path: str) -> int:
        return sum(asked == path for asked, _ in self.asked)

    # --- documents ---

    def snapshot_document(self, **changes: Any) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "position": self.position,
            "asOf": self.as_of(),
            "now": self.now(),
            "issuer": self.issuer,
            "audience": self.issuer,
            "keySetVersion": self.key_set_version,
            "applications": self.applications,
            "keys": self.keys,
            "sessions": self.sessions,
            "users": self.users,
        } | changes

    def jwks_document(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk() for key in self.signing_keys]}

    # --- tokens ---

    def token(self, session: int = 1, *, key: SigningKey | None = None, **changes: Any) -> str:
        issued_at = self.now() // 1000
        arguments: dict[str, Any] = {
            "issuer": self.issuer,
            "audience": self.issuer,
            "user_id": USER,
            "application_id": APPLICATION,
            "session_id": session_id(session),
            "token_id": "t",
            "ver": 3,
            "issued_at": issued_at,
            "expires_at": issued_at + 900,
        }
        return issue_access_token(key or self.signing_keys[-1], **arguments | changes)

    def credentials(self, session: int = 1, **changes: Any) -> Credentials:
        return Credentials(KEY, f"Bearer {self.token(session, **changes)}")

    # --- events ---

    def entry(self, document: dict[str, Any], position: int | None = None, epoch: str | None = None) -> bytes:
        id = f"{epoch or self.epoch}:{self.position if position is None else position}"
        return f"id: {id}\nevent: entry\ndata: {json.dumps(document)}\n\n".encode()

    def heartbeat(self, **changes: Any) -> bytes:
        beat = {"asOf": self.as_of(), "now": self.now(), "position": self.position} | changes
        return f"id: {self.epoch}:{beat['position']}\nevent: heartbeat\ndata: {json.dumps(beat)}\n\n".encode()

    def resume(self, last_event_id: str) -> bytes:
        """What a stream that has seen this event has missed, and a heartbeat."""
        epoch, _, position = last_event_id.rpartition(":")
        if epoch != self.epoch or int(position) > self.position:
            return b"event: reset\ndata: {}\n\n"
        return b"".join(event for at, event in self.log if at > int(position)) + self.heartbeat()

    def publish(self, document: dict[str, Any]) -> None:
        """A change of the log, at the next position."""
        with self.lock:
            self.position += 1
            event = self.entry(document)
            self.log.append((self.position, event))
            self.send(event)

    def revoke(self, session: int) -> None:
        """End a session."""
        entry = session_entry(session, self.now() + 1_000_000)
        with self.lock:
            self.sessions.append(entry)
        self.publish(entry)

    def send(self, data: bytes) -> None:
        """To every open stream."""
        for stream in list(self.streams):
            stream.send(data)

    def cut(self) -> None:
        """End every stream."""
        for stream in list(self.streams):
            stream.cut()

    def _beat(self) -> None:
        while not self._ended.wait(0.1):
            with self.lock:
                if self.heartbeats:
                    self.send(self.heartbeat())


def session_entry(session: int, expires_at: int) -> dict[str, Any]:
    return {"kind": "session", "id": session_id(session), "expiresAt": expires_at}


def key_entry(text: str, application: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "key",
        "hash": encode_base64url(hash_api_key(text)),
        "keyKind": "secret" if text.startswith("kbs_") else "publishable",
        "applicationId": application,
        "state": "active",
        "expiresAt": None,
        "hasPermissions": False,
    } | changes


class _Stream:
    """One open feed. `send` and `cut` are called from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.ended = threading.Event()

    def send(self, data: bytes) -> None:
        try:
            with self._lock:
                self._connection.sendall(data)
        except OSError:
            self.ended.set()

    def cut(self) -> None:
        self.ended.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Guards that go away are no news."""


def _handler(server: FeedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with server.lock:
                server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status = server.status.get(self.path, 200)
            if self.path == "/v1/api/feed" and status == 200:
                self._stream()
                return
            bodies = {
                "/v1/api/feed/snapshot": server.snapshot,
                "/.well-known/jwks.json": server.jwks,
                "/v1/api/oauth/token/info": server.token_info,
            }
            body = bodies[self.path]() if self.path in bodies else b""
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if self.path.endswith("jwks.json"):
                self.send_header("Cache-Control", f"public, max-age={server.jwks_max_age}")
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for part in [body] if isinstance(body, bytes) else body:
                self.wfile.write(part)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            stream = _Stream(self.connection)
            with server.lock:
                stream.send(server.first_events(self.headers.get("Last-Event-ID", "")))
                server.streams.append(stream)
            stream.ended.wait()
            server.streams.remove(stream)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler


@contextmanager
def started(guard: Guard) -> Iterator[Guard]:
    """The guard, until the block ends; then none of its threads is left."""
    guard.start(HANG)
    try:
        yield guard
    finally:
        guard.close()
        assert not guard_threads()


def guard_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("keybearer-guard-")]


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
