"""Instants as the wire writes them."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def rfc3339(second: int) -> str:
    """Seconds since the epoch as RFC 3339 in UTC. Remembered: token info asks for the same ones again and again."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
