"""The client: requests with both credentials, tokens that are refreshed in time, sessions that are never lost.

    client = Client("https://auth.example.com/v1/api", api_key=…, origins=["https://api.example.com"])
    client.login(username, password)
    httpx.Client(auth=client.auth).get("https://api.example.com/notes")      # httpx and httpx2, sync and async
    client.attach(requests.Session()).get("https://api.example.com/notes")   # requests

AsyncClient has the same operations for tasks. Where the session is kept: `keybearer.client.stores`.
"""

from keybearer.client._client import AsyncClient, Client
from keybearer.client._errors import (
    ApiKeyRejected,
    ClientError,
    ConfigurationError,
    NonReplayableBody,
    NotLoggedIn,
    RefreshUnavailable,
    ServiceUnavailable,
    SessionExpired,
    StoreError,
    StoreWarning,
)
from keybearer.client._outcomes import LogoutOutcome
from keybearer.client._record import User
from keybearer.client.stores import AsyncTokenStore, FileStore, KeyringStore, MemoryStore, TokenStore

__all__ = [
    "ApiKeyRejected",
    "AsyncClient",
    "AsyncTokenStore",
    "Client",
    "ClientError",
    "ConfigurationError",
    "FileStore",
    "KeyringStore",
    "LogoutOutcome",
    "MemoryStore",
    "NonReplayableBody",
    "NotLoggedIn",
    "RefreshUnavailable",
    "ServiceUnavailable",
    "SessionExpired",
    "StoreError",
    "StoreWarning",
    "TokenStore",
    "User",
]
