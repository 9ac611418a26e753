"""Ids of everything that has a row: UUIDs of version 7 (RFC 9562 section 5.7)."""

from uuid import UUID

RANDOM_BYTES = 10
"""How many random bytes `uuid7` takes."""


def uuid7(now: int, random: bytes) -> UUID:
    """The id for something made at `now` (milliseconds since the epoch), from `RANDOM_BYTES` random bytes."""
    value = (now & (1 << 48) - 1) << 80 | int.from_bytes(random)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
