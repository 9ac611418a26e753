"""Who is about to be connected when the service stops listening is refused, never connected and then reset."""

import errno
import select
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from keybearer.server.app import UNREADY
from keybearer.server.cli import serving
from keybearer.server.cli.listeners import accept_all, turn_away
from keybearer.server.cli.serving import Config, Server
from keybearer.server.http.protocol import DRAIN, BoundedProtocol
from tests.cli.commands import WITHIN
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can let no connection begin")


def begin_to_connect(port: int) -> socket.socket:
    caller = socket.socket()
    caller.setblocking(False)
    assert caller.connect_ex(("127.0.0.1", port)) == errno.EINPROGRESS
    return caller


def outcome(caller: socket.socket) -> int:
    """The number of the error with which connecting ends; 0 when it goes well."""
    with caller:
        assert select.select([], [caller], [], WITHIN)[1]
        return caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def test_who_came_before_is_accepted_and_nobody_is_connected_after() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        early = begin_to_connect(port)
        turn_away(listener)
        late = begin_to_connect(port)
        accepted = list(accept_all(listener))
        assert not select.select([], [late], [], 0)[1]
    assert [connection.getpeername() for connection in accepted] == [early.getsockname()]
    for connection in accepted:
        connection.close()
    assert outcome(early) == 0
    assert outcome(late) == errno.ECONNREFUSED


async def lifespan_alone(scope: Any, receive: Any, send: Any) -> None:
    scope["state"].update({UNREADY: lambda: None, DRAIN: lambda: None})
    for answered in ("lifespan.startup", "lifespan.shutdown"):
        assert (await receive())["type"] == answered
        await send({"type": f"{answered}.complete"})


async def test_who_comes_between_the_last_to_be_accepted_and_the_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callers: list[socket.socket] = []

    def accept_all_and_then_another(listener: socket.socket) -> Iterator[socket.socket]:
        yield from accept_all(listener)
        callers.append(begin_to_connect(config.port))

    monkeypatch.setattr(serving, "accept_all", accept_all_and_then_another)
    config = Config(lifespan_alone, port=free_port(), http=BoundedProtocol, ws="none", lifespan="on", log_config=None)
    server = Server(config)
    server.should_exit = True
    await server.serve()
    assert [outcome(caller) for caller in callers] == [errno.ECONNREFUSED]
