"""Instants as commands show them."""

from keybearer.server.http.times import rfc3339


def instant(milliseconds: int | None) -> str | None:
    """An instant as the HTTP API writes it."""
    return None if milliseconds is None else rfc3339(milliseconds // 1000)
