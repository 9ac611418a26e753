"""Ports for servers that are told where to listen."""

import socket


def free_port() -> int:
    """A port of the loopback that the system chooses, and gives to nobody else for the minute after.

    Between its choice and a server's start other sockets are opened, a neighbour's servers among them, and a client
    would take one of those for its own. A connection that its server has ended leaves the port in TIME-WAIT (RFC 9293
    section 3.3.2): from there only a socket with SO_REUSEADDR that names the port can have it, as servers do.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            accepted.close()
    return port
