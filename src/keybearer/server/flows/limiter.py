"""What an attempt to log in is charged to, before any password is looked at."""

import hmac
from dataclasses import dataclass
from uuid import UUID

from keybearer.server.domain.attempts import Allowance, Attempt, Charge, LimitPolicy
from keybearer.server.domain.places import Origin
from keybearer.server.domain.users import LoginRecord


@dataclass(frozen=True, slots=True)
class Limiter:
    """`secret` keys the HMACs under which names and addresses are counted: people type passwords into the name
    field."""

    policy: LimitPolicy
    secret: bytes

    def place_hash(self, origin: Origin) -> bytes:
        """The known place that an origin would be."""
        return self._key("place", origin.place)

    def name_bucket(self, identifier: str, record: LoginRecord | None, origin: Origin) -> bytes:
        """The bucket of a name: of the user at this place when the place is known, else of the user (or, when there is
        no such user, of the name) from everywhere."""
        if record is None:
            return self._key("name", identifier)
        if record.known_place:
            return self._key("known", f"{record.user_id} {origin.place}")
        return self._key("name", str(record.user_id))

    def assess(self, name_bucket: bytes, application_id: UUID, origin: Origin, *, known_place: bool) -> Attempt:
        """One attempt, charged to everything that it counts against.

        The application never refuses: its key is public, and a stranger could shut its users out. Beyond its allowance
        attempts from unknown places cost their address more.
        """
        policy = self.policy
        name = Charge(name_bucket, policy.name_known if known_place else policy.name_unknown)
        origins = () if known_place else self._origins(origin)
        return Attempt(
            application=Charge(self._key("application", str(application_id)), policy.application),
            charges=(*(_charge(key, allowance, 1) for key, allowance in origins), name),
            charges_at_alarm=(*(_charge(key, allowance, policy.alarmed_cost) for key, allowance in origins), name),
        )

    def _origins(self, origin: Origin) -> tuple[tuple[bytes, Allowance], ...]:
        address = self._key("address", origin.address), self.policy.address
        if origin.network is None:
            return (address,)
        return address, (self._key("network", origin.network), self.policy.network)

    def _key(self, kind: str, name: str) -> bytes:
        return hmac.digest(self.secret, f"{kind} {name}".encode("utf-8", "surrogatepass"), "sha256")


def _charge(key: bytes, allowance: Allowance, cost: int) -> Charge:
    """A limit below the cost admits one at a time, instead of nobody for ever."""
    return Charge(key, allowance, min(cost, allowance.limit))
