"""The life of secret keys: made at first start, rotated, retired, removed; and opened for use.

A rotation adds the next key, which is published at once and used `publish_seconds` later, so that every cache of
the key set has it by then. A retired key verifies what it made until that has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keybearer.credentials.refresh_token import KEY_BYTES
from keybearer.jose.key_set import KeySet
from keybearer.jose.keys import SigningKey
from keybearer.server.domain.audit import SERVICE, Actor
from keybearer.server.domain.revocations import EpochBegun
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from keybearer.server.domain.sessions import SessionPolicy
from keybearer.server.flows.keyring import LoadedKeys
from keybearer.server.ports import KeyEncryption, Randomness, Storage

GRACE = 120
"""Seconds that a retired key stays beyond the last token that it made: clocks differ."""


class NoActiveKey(Exception):
    """The storage has no active key of a purpose: the service has never been started on it."""


@dataclass(frozen=True, slots=True)
class SecretKeys:
    """`policy` says how long tokens live, where their application does not say it."""

    storage: Storage
    encryption: KeyEncryption
    randomness: Randomness
    algorithm: str
    publish_seconds: int
    policy: SessionPolicy

    async def ensure(self) -> None:
        """Make the first keys where there are none; of two processes at once, one makes them."""
        present = {key.purpose for key in await self.storage.secret_keys.list_keys()}
        for purpose in KeyPurpose:
            if purpose not in present:
                await self._add(purpose, KeyState.ACTIVE, SERVICE, usable_after=0)

    async def rotate(self, purpose: KeyPurpose, actor: Actor, *, now: bool = False) -> SecretKey | None:
        """Add the next key of a purpose; None when one waits already. `now` skips the time of publication."""
        return await self._add(purpose, KeyState.NEXT, actor, usable_after=0 if now else self.publish_seconds)

    async def renew(self) -> None:
        """Activate the keys whose time has come, and remove those that nothing can have been made with any more."""
        now = await self.storage.now()
        for key in await self.storage.secret_keys.list_keys():
            if key.state is KeyState.NEXT and key.usable_from <= now:
                await self.storage.secret_keys.activate(key.id, SERVICE)
        for purpose, seconds in (await self._longest_lives()).items():
            await self.storage.secret_keys.remove_retired(purpose, now - (seconds + GRACE) * 1000, SERVICE)

    async def load(self) -> LoadedKeys:
        """Open the stored keys. Raises KeyEncryptionError and NoActiveKey.

        Public keys are derived from the opened ones, never taken from the database in clear: who can write there must
        not be able to add a key of his own.
        """
        keys = await self.storage.secret_keys.list_keys()
        signing = {key.id: self._open_signing(key) for key in keys if key.purpose is KeyPurpose.SIGNING}
        return LoadedKeys(
            signing=signing[_active(keys, KeyPurpose.SIGNING).id],
            key_set=KeySet.from_keys(key.verification_key() for key in signing.values()),
            refresh={key.id: self._open(key) for key in keys if key.purpose is KeyPurpose.REFRESH_TOKEN},
            active_refresh_id=_active(keys, KeyPurpose.REFRESH_TOKEN).id,
            states=frozenset((key.id, key.state) for key in keys),
        )

    def _open_signing(self, key: SecretKey) -> SigningKey:
        return SigningKey.from_pkcs8(self._open(key), key.algorithm)

    async def begin_epoch(self, actor: Actor, *, keep_sessions: bool) -> EpochBegun:
        """What is due on a database that has gone back in time: see `ports.Storage.begin_epoch` and `start_over`.

        Raises KeyEncryptionError, and has changed nothing, when sessions are to be kept and the keys cannot be opened.
        """
        if keep_sessions:
            await self.ensure()
            await self.load()
            return await self.storage.begin_epoch(actor)
        now = await self.storage.now()
        keys = [self._make(purpose, KeyState.ACTIVE, now, usable_after=0) for purpose in KeyPurpose]
        return await self.storage.start_over(keys, actor)

    async def _add(self, purpose: KeyPurpose, state: KeyState, actor: Actor, *, usable_after: int) -> SecretKey | None:
        key = self._make(purpose, state, await self.storage.now(), usable_after=usable_after)
        return key if await self.storage.secret_keys.add(key, actor) else None

    def _make(self, purpose: KeyPurpose, state: KeyState, now: int, *, usable_after: int) -> SecretKey:
        id = int.from_bytes(self.randomness.bytes(4))
        if purpose is KeyPurpose.SIGNING:
            signing = SigningKey.generate(self.algorithm)
            kid, algorithm, plaintext = signing.kid, signing.algorithm, signing.to_pkcs8()
        else:
            kid, algorithm, plaintext = f"{id:08x}", "HS256", self.randomness.bytes(KEY_BYTES)
        return SecretKey(
            id=id,
            purpose=purpose,
            algorithm=algorithm,
            kid=kid,
            state=state,
            encrypted=self.encryption.encrypt(plaintext, _context(purpose, id, kid)),
            created_at=now,
            usable_from=now + usable_after * 1000,
            activated_at=now if state is KeyState.ACTIVE else None,
        )

    def _open(self, key: SecretKey) -> bytes:
        return self.encryption.decrypt(key.encrypted, _context(key.purpose, key.id, key.kid))

    async def _longest_lives(self) -> dict[KeyPurpose, int]:
        """The longest life, in seconds, of what a key of each purpose makes, whatever the application."""
        lifetimes = [application.lifetimes for application in await self.storage.applications.list_applications()]
        access = [own.access_token for own in lifetimes if own.access_token is not None]
        absolute = [own.session_absolute for own in lifetimes if own.session_absolute is not None]
        return {
            KeyPurpose.SIGNING: max([self.policy.access_token_lifetime, *access]),
            KeyPurpose.REFRESH_TOKEN: max([self.policy.absolute_lifetime, *absolute]),
        }


def _context(purpose: KeyPurpose, id: int, kid: str) -> bytes:
    return f"{purpose.value} {id} {kid}".encode()


def _active(keys: Sequence[SecretKey], purpose: KeyPurpose) -> SecretKey:
    for key in keys:
        if key.purpose is purpose and key.state is KeyState.ACTIVE:
            return key
    raise NoActiveKey(f"There is no active {purpose.value} key: start the service once.")
