"""The ports that tests give to servers."""

import errno
import socket

import pytest

from tests.support.ports import free_port


def test_only_a_server_that_names_a_port_gets_it() -> None:
    port = free_port()
    with socket.socket() as neighbour, pytest.raises(OSError, match=f"Errno {errno.EADDRINUSE}"):
        neighbour.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
