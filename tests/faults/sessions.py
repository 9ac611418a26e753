"""Sessions as a login makes them, without the cost of a password: for tests that need thousands."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from keybearer.credentials.refresh_token import NONCE_BYTES
from keybearer.server.adapters.randomness import SystemRandomness
from keybearer.server.app import build_key_encryption, build_secret_keys
from keybearer.server.domain.audit import Actor
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.sessions import Grant, NewSession
from keybearer.server.flows.issue import TokenIssuer
from keybearer.server.flows.keyring import Keyring
from keybearer.server.settings import load_settings
from tests.faults.calls import Held
from tests.faults.scene import Scene

_PLACE = bytes(32)
_AT_ONCE = 50


async def make_sessions(scene: Scene, users: Sequence[str]) -> list[Held]:
    """One for each of these ids; a user, who has never changed the password, has a hundred sessions at most."""
    storage, settings = scene.operator.storage, load_settings(scene.ground.environment)
    (application,) = await storage.applications.list_applications()
    keys = build_secret_keys(settings, storage, build_key_encryption(settings))
    issuer = TokenIssuer(Keyring(await keys.load()), SystemRandomness(), settings.issuer, settings.audience)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def make(user: str) -> Held:
        async with turns:
            new = NewSession(
                id=uuid7(await storage.now(), issuer.randomness.bytes(RANDOM_BYTES)),
                user_id=UUID(user),
                application_id=application.id,
                password_version=1,
                nonce=issuer.randomness.bytes(NONCE_BYTES),
                token_key_id=issuer.keyring.current.active_refresh_id,
                name_bucket=_PLACE,
                place_hash=_PLACE,
            )
            grant = await storage.sessions.create(new, Actor("client"))
            assert isinstance(grant, Grant)
            tokens = issuer.issue(grant)
            return Held(str(new.id), tokens.refresh_token, tokens.access_token)

    return await asyncio.gather(*(make(user) for user in users))
