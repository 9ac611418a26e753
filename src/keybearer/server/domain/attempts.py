"""The limiter's rules: which buckets a login is charged to, and how much each holds.

A bucket is one instant, `full_at` (GCRA, the leaky bucket as a meter): a charge moves it on by `period / limit`, and is
refused when that would leave it more than `period` ahead of now. So a bucket admits `limit` attempts at once and then
one every `period / limit` seconds, needs one row, and is worth nothing once `full_at` has passed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """`limit` attempts in `period` seconds."""

    limit: int
    period: int = 900


@dataclass(frozen=True, slots=True)
class Charge:
    """`cost` attempts on the bucket `key` (32 bytes: an HMAC, or a hash of an id; never a name itself)."""

    key: bytes
    allowance: Allowance
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Admitted:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was charged. `retry_after`: whole seconds until the same charge is admitted, at least 1."""

    retry_after: int


ChargeOutcome = Admitted | Refused
