"""Admit attempts to log in, or refuse them, before any password is looked at."""

import hmac
from dataclasses import dataclass
from uuid import UUID

from keybearer.errors import TooManyAttempts
from keybearer.server.domain.attempts import Allowance, Charge, LimitPolicy, Refused
from keybearer.server.domain.places import Origin
from keybearer.server.ports import AttemptStore


@dataclass(frozen=True, slots=True)
class Limiter:
    """`secret` keys the HMACs under which names and addresses are counted: people type passwords into the name
    field."""

    attempts: AttemptStore
    policy: LimitPolicy
    secret: bytes

    def place_hash(self, origin: Origin) -> bytes:
        """The known place that an origin would be."""
        return self._key("place", origin.place)

    def name_bucket(self, identifier: str, user_id: UUID | None, origin: Origin, *, known_place: bool) -> bytes:
        """The bucket of a name: of the user at this place when the place is known, else of the user (or, when there is
        no such user, of the name) from everywhere."""
        if known_place:
            return self._key("known", f"{user_id} {origin.place}")
        return self._key("name", identifier if user_id is None else str(user_id))

    async def admit(self, name_bucket: bytes, application_id: UUID, origin: Origin, *, known_place: bool) -> None:
        """Charge one attempt to everything that it counts against. Raises TooManyAttempts.

        The application never refuses: its key is public, and a stranger could shut its users out. Beyond its allowance
        attempts from unknown places cost their address more.
        """
        policy = self.policy
        alarm = await self._charge(self._key("application", str(application_id)), policy.application) is not None
        cost = policy.alarmed_cost if alarm and not known_place else 1
        if not known_place:
            await self._require(self._key("address", origin.address), policy.address, cost)
            if origin.network is not None:
                await self._require(self._key("network", origin.network), policy.network, cost)
        await self._require(name_bucket, policy.name_known if known_place else policy.name_unknown)

    async def _require(self, key: bytes, allowance: Allowance, cost: int = 1) -> None:
        refused = await self._charge(key, allowance, cost)
        if refused is not None:
            raise TooManyAttempts(retry_after=refused.retry_after)

    async def _charge(self, key: bytes, allowance: Allowance, cost: int = 1) -> Refused | None:
        outcome = await self.attempts.charge(Charge(key, allowance, min(cost, allowance.limit)))
        return outcome if isinstance(outcome, Refused) else None

    def _key(self, kind: str, name: str) -> bytes:
        return hmac.digest(self.secret, f"{kind} {name}".encode("utf-8", "surrogatepass"), "sha256")
