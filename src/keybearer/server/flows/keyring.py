"""The secret keys in use by this process: one set at a time, replaced as a whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey
from keybearer.server.domain.secret_keys import KeyState


@dataclass(frozen=True, slots=True)
class LoadedKeys:
    """Opened keys. `key_set` holds the public keys of all signing keys, those to come and the retired ones included.

    `refresh` are the refresh-token keys by id; `active_refresh_id` is the one with which chains move. `states` are
    the ids of all keys with their states: what tells one set of loaded keys from another.
    """

    signing: SigningKey = field(compare=False)
    key_set: KeySet = field(compare=False)
    refresh: Mapping[int, bytes] = field(compare=False, repr=False)
    active_refresh_id: int
    states: frozenset[tuple[int, KeyState]]


class Keyring:
    """Holds the loaded keys and tells who wants to know when they change."""

    def __init__(self, loaded: LoadedKeys) -> None:
        self.current = loaded
        self._listeners: list[Callable[[LoadedKeys], None]] = []

    def subscribe(self, listener: Callable[[LoadedKeys], None]) -> None:
        """Call `listener` now and after every change."""
        self._listeners.append(listener)
        listener(self.current)

    def replace(self, loaded: LoadedKeys) -> None:
        """Use other keys from now on; nothing happens when they are the same."""
        if loaded == self.current:
            return
        self.current = loaded
        for listener in self._listeners:
            listener(loaded)
