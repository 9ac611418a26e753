"""uvicorn's server and its workers, with an end that costs nobody a request (docs/operations.md, "Restarting").

On SIGTERM a process first reports not ready and serves on, for as long as proxies need to notice. Its answers close
their connections meanwhile, so that whoever keeps one alive goes elsewhere with the next. Then it stops listening,
answers what it has been sent, and ends.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import closing
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import FrameType

import structlog
import uvicorn
from uvicorn.server import HANDLED_SIGNALS
from uvicorn.supervisors import multiprocess

from keybearer.server.app import UNREADY
from keybearer.server.cli.listeners import accept_all, duplicate, turn_away
from keybearer.server.http.protocol import CLOSE, DRAIN, BoundedProtocol

LAST_REQUESTS = 0.5
"""Seconds in which a request may still come over a connection that is open when the process stops listening: a caller
who has just been connected, or has not yet read that the connection closes, is about to send one."""

HANDSHAKE = 0.005
"""Seconds for connections that have begun to be made before the process stops listening: some times the way to a proxy
and back. Who begins one meanwhile is refused a second later."""

POLL = 0.05
"""Seconds between two looks at what is not over yet."""

log = structlog.get_logger("keybearer.serve")


class Config(uvicorn.Config):
    shutdown_delay: float = 0
    """Seconds."""

    all_end: Event | None = None
    """Set when all of several processes are to end."""


class Server(uvicorn.Server):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._delay = config.shutdown_delay
        self._all_end = config.all_end
        self._until: float | None = None
        self._is_leaving = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM begins the delay. Whatever comes later ends it, and so does Ctrl-C at once."""
        if sig == signal.SIGTERM and self.started and self._until is None:
            self._begin_delay()
        else:
            super().handle_exit(sig, frame)

    def _begin_delay(self) -> None:
        self._until = time.monotonic() + self._delay

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s; a signal may have come meanwhile, or the word that all are to end."""
        if self._until is None and self._all_end is not None and self._all_end.is_set():
            self._begin_delay()
        if self._until is not None:
            self._leave()
            self.should_exit = self.should_exit or time.monotonic() >= self._until
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leave()
        await self._stop_listening()
        self.lifespan.state[DRAIN]()
        await self._take_last_requests()
        await super().shutdown(sockets)

    def _leave(self) -> None:
        """Tell balancers (not ready) and callers (`Connection: close`) to turn to another process."""
        if self._is_leaving:
            return
        self._is_leaving = True
        log.info("reporting not ready", delay=0 if self._until is None else self._delay)
        self.lifespan.state[UNREADY]()
        self.config.encoded_headers.append(CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]
        for connection in self.server_state.connections:
            if isinstance(connection, BoundedProtocol) and connection.cycle is not None:
                connection.cycle.keep_alive = False  # a request under way has taken its headers already

    async def _stop_listening(self) -> None:
        """Nobody is connected any more from now on; who has been is served.

        Who is not connected yet is refused, and any proxy turns elsewhere (listeners.py).
        """
        listeners = [mine for server in self.servers for mine in duplicate(server.sockets)]
        if self._is_last_to_listen():
            for listener in listeners:
                turn_away(listener)
            await asyncio.sleep(HANDSHAKE)
        for server in self.servers:
            server.close()
        accepted: list[socket.socket] = []
        for listener in listeners:
            with closing(listener):
                accepted.extend(accept_all(listener))
        loop = asyncio.get_running_loop()
        for connection in accepted:
            await loop.connect_accepted_socket(self._make_protocol, connection)

    def _is_last_to_listen(self) -> bool:
        """Not a worker that ends alone: the others go on listening to the same sockets."""
        return self._all_end is None or self._all_end.is_set()

    def _make_protocol(self) -> BoundedProtocol:
        return BoundedProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=None
        )

    async def _take_last_requests(self) -> None:
        until = time.monotonic() + LAST_REQUESTS
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110 - uvicorn looks likewise
            await asyncio.sleep(POLL)


class Worker(multiprocess.Process):
    """One of several processes, with the server from above."""

    config: Config
    _server: Server | None

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server

    def terminate(self) -> None:
        """One of them alone (SIGHUP, SIGTTOU), without a delay, in which a balancer would hear now and then that nobody
        is ready: the others listen on."""
        if self.exitcode is None and self.pid is not None:
            os.kill(self.pid, signal.SIGINT)
            self.parent_conn.close()
            self.child_conn.close()


multiprocess.Process = Worker  # type: ignore[misc] # `Multiprocess` names the class of its workers, and takes no other


class Supervisor(multiprocess.Multiprocess):
    """The parent of the workers."""

    _in_haste = False

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        self.all_end = config.all_end = multiprocessing.get_context("spawn").Event()
        super().__init__(config, sockets)

    def handle_int(self) -> None:
        super().handle_int()
        self._in_haste = True

    def handle_term(self) -> None:
        self._in_haste = self.should_exit.is_set()  # the second, before the first was passed on
        super().handle_term()

    def terminate_all(self) -> None:
        """How long the port is listened to is decided by the workers: whom they have left in the queue would wait for
        the end of this process, in vain. They may have a SIGTERM already, as systemd sends it to all; another one would
        end their delay."""
        for listener in self.sockets:
            listener.close()
        self.all_end.set()

    def join_all(self) -> None:
        """Pass on the signals that come meanwhile. After a second SIGTERM the workers are told until they have heard it
        twice, which ends their delay: some may not have heard of the first yet."""
        while running := self._running():
            numbers, self.signal_queue = self.signal_queue, []
            self._in_haste = self._in_haste or signal.SIGTERM in numbers
            if self._in_haste:
                numbers.append(signal.SIGTERM)
            for number in numbers:
                _send(number, running)
            running[0].join(POLL)

    def _running(self) -> list[BaseProcess]:
        return [worker.process for worker in self.processes if worker.exitcode is None]


def _send(number: int, processes: Iterable[BaseProcess]) -> None:
    if number in HANDLED_SIGNALS:
        for process in processes:
            if process.pid is not None:
                os.kill(process.pid, number)
