"""Sockets that stop listening without a connection that is made and then reset.

A socket that is closed resets whom nobody has accepted; and however fast it is closed after the last of them was, one
more may have come in between. So the kernel is first told to let no new connection begin (Linux). Whoever tries
meanwhile is not answered, tries anew after a second, as TCP does by itself, and is refused then.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER of socket(7), which Python does not name."""

_INSTRUCTIONS = (
    (0x30, 0, 0, 13),  # load a byte of the TCP header: the flags
    (0x45, 0, 1, 0x02),  # unless SYN is among them, skip the next
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF_FFFF),  # take all of it
)
_NO_SYN = b"".join(struct.pack("=HBBI", *instruction) for instruction in _INSTRUCTIONS)
"""Classic BPF: lets pass what belongs to a connection that has begun."""


def duplicate(listeners: Iterable[socket.socket]) -> Iterator[socket.socket]:
    """The same sockets by descriptors of our own, as long as there are any to be had."""
    with suppress(OSError):  # no room for another file: whom nobody has accepted is lost, and nobody else
        for listener in listeners:
            yield socket.socket(fileno=os.dup(listener.fileno()))


def turn_away(listener: socket.socket) -> None:
    """Let no new connection begin, in any process that shares the socket. Where the kernel cannot, nothing happens."""
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_NO_SYN, len(_NO_SYN))
        described = struct.pack("HP", len(_INSTRUCTIONS), ctypes.addressof(program))
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, described)


def accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """Whoever waits to be accepted; non-blocking."""
    listener.setblocking(False)
    with suppress(OSError):  # nobody is left; or there is no room for another file
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection
