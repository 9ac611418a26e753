"""What can be done about a stored session without a client, which takes an Api-Key. For the command line."""

from keybearer.client._vault import Vault
from keybearer.client.stores._contract import TokenStore


def forget_session(store: TokenStore, service: str) -> bool:
    """End the session of `service` that the store keeps, as a logout does; at the service it lives on.

    False when there is none. Raises StoreError, and ConfigurationError for a session of another service.
    """
    vault = Vault(store, service)
    record = vault.latest()
    if record.session is None:
        return False
    vault.log_out(record)
    return True
