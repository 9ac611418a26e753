"""The four requests of a plain client, and what it holds between them."""

from dataclasses import dataclass

from tests.faults.history import Token, identity
from tests.faults.wire import Reply, Request
from tests.support.secret_scan import Ledger

_BASE = "/v1/api/oauth/token"


@dataclass(slots=True)
class Held:
    """A session. `access_token` may have expired; `key` is the Idempotency-Key of the refresh that is under way."""

    id: str
    refresh_token: str
    access_token: str
    key: str | None = None

    @classmethod
    def of(cls, reply: Reply) -> "Held":
        """What a login or a refresh has granted."""
        attributes = reply.document["data"]["attributes"]
        return cls(attributes["sessionId"], attributes["refreshToken"], attributes["accessToken"])

    @property
    def token(self) -> Token:
        return identity(self.refresh_token)


def note_credentials(ledger: Ledger, reply: Reply) -> None:
    """Those that it grants, if it does."""
    attributes = reply.document.get("data", {}).get("attributes", {})
    if "refreshToken" in attributes:
        ledger.note("refresh token", attributes["refreshToken"])
        ledger.note("access token", attributes["accessToken"])


def log_in(api_key: str, username: str, password: str) -> Request:
    return Request("POST", _BASE, {"Api-Key": api_key}, {"username": username, "password": password})


def refresh(api_key: str, held: Held, key: str | None) -> Request:
    headers = {"Api-Key": api_key} | ({"Idempotency-Key": key} if key is not None else {})
    return Request("POST", f"{_BASE}/refresh", headers, {"refresh_token": held.refresh_token})


def inspect(api_key: str, held: Held) -> Request:
    return Request("GET", f"{_BASE}/info", _both(api_key, held))


def revoke(api_key: str, held: Held) -> Request:
    return Request("POST", f"{_BASE}/revoke", _both(api_key, held), {"refresh_token": held.refresh_token})


def _both(api_key: str, held: Held) -> dict[str, str]:
    return {"Api-Key": api_key, "Authorization": f"Bearer {held.access_token}"}
