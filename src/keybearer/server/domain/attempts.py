"""The limiter's rules: which buckets a login is charged to, and how much each holds.

A bucket is one instant, `full_at` (GCRA, the leaky bucket as a meter): a charge moves it on by `period / limit`, and is
refused when that would leave it more than `period` ahead of now. So a bucket admits `limit` attempts at once and then
one every `period / limit` seconds, needs one row, and is worth nothing once `full_at` has passed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from keybearer.server.domain.users import LoginRecord


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one login is charged to: first the application, which never refuses; then, in this order, until one refuses,
    `charges`, or `charges_at_alarm` when the application is beyond its allowance."""

    application: Charge
    charges: tuple[Charge, ...]
    charges_at_alarm: tuple[Charge, ...]


Assess = Callable[[LoginRecord | None], Attempt]
"""The attempt to log in as a user, or under a name that nobody has. Pure: it may be called more than once."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whose name it is, and whether the attempt was admitted."""

    record: LoginRecord | None
    outcome: ChargeOutcome


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """How many logins are admitted, by what they are charged to.

    `name_known`: one user at one known place; `name_unknown`: one name from everywhere else; `address`: one IPv4
    address or IPv6 /64; `network`: one IPv6 /48; `application`: one application, which is never refused for it, but
    whose unknown addresses then pay `alarmed_cost` for each attempt.
    """

    name_known: Allowance = Allowance(10)
    name_unknown: Allowance = Allowance(30)
    address: Allowance = Allowance(100)
    network: Allowance = Allowance(1000)
    application: Allowance = Allowance(1000)
    alarmed_cost: int = 5
