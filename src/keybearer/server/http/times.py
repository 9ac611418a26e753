"""Instants as the wire writes them."""

from datetime import UTC, datetime


def rfc3339(second: int) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
