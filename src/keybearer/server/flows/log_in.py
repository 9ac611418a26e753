"""Log in: a name and a password for a session and its two tokens.

The answer tells nobody whether an account exists: whoever has room, and attempts left, is refused after exactly one
password verification of equal cost, and the `account_…` codes are told only to who gave the right password.
"""

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import assert_never
from uuid import UUID

from keybearer.credentials.refresh_token import NONCE_BYTES
from keybearer.errors import (
    AccountDisabled,
    ApplicationDisabled,
    InvalidCredentials,
    LoginError,
    TooManyAttempts,
)
from keybearer.server.domain.attempts import Attempt, Refused
from keybearer.server.domain.audit import Actor, AuditEvent, AuditKind
from keybearer.server.domain.ids import RANDOM_BYTES, uuid7
from keybearer.server.domain.places import Origin, origin_of
from keybearer.server.domain.sessions import Grant, NewSession, SessionRefused
from keybearer.server.domain.users import InvalidIdentifier, LoginRecord, UserStatus, normalise_identifier
from keybearer.server.flows.issue import IssuedTokens, TokenIssuer
from keybearer.server.flows.limiter import Limiter
from keybearer.server.ports import Clock, PasswordHasher, Randomness, Storage, VerifyPassword


@dataclass(frozen=True, slots=True)
class LogIn:
    storage: Storage
    limiter: Limiter
    hasher: PasswordHasher
    issuer: TokenIssuer
    clock: Clock
    randomness: Randomness

    async def __call__(
        self,
        username: str,
        password: str,
        application_id: UUID,
        actor: Actor,
        *,
        gone: asyncio.Future[None] | None = None,
    ) -> IssuedTokens:
        """Both tokens of a new session. When `gone` is done, nobody waits for them any more.

        Raises InvalidCredentials, AccountDisabled, TooManyAttempts, Overloaded, and ApplicationDisabled when that
        happened meanwhile.
        """
        identifier = _identifier(username)
        origin = origin_of(actor.address)
        place_hash = self.limiter.place_hash(origin)
        with await self._room(identifier, place_hash, origin) as verify:
            assess = partial(self._assess, identifier, application_id, origin)
            admission = await self.storage.attempts.admit(identifier, place_hash, assess)
            if isinstance(admission.outcome, Refused):
                raise TooManyAttempts(retry_after=admission.outcome.retry_after)
            record = admission.record
            password_hash = record.password_hash if record is not None else None
            verdict = await verify(password_hash, password, known_place=_is_known_place(record), gone=gone)
        user_id = record.user_id if record is not None else None
        if record is None or not verdict.right:
            raise await self._refused(InvalidCredentials(), user_id, application_id, actor)
        if record.status is UserStatus.DISABLED:
            raise await self._refused(AccountDisabled(), user_id, application_id, actor)
        bucket = self.limiter.name_bucket(identifier, record, origin)
        outcome = await self.storage.sessions.create(
            self._new_session(record, application_id, bucket, place_hash), actor
        )
        if not isinstance(outcome, Grant):
            raise await self._refused(_error_of(outcome), user_id, application_id, actor)
        if verdict.rehashed is not None:
            await self.storage.users.replace_password_hash(
                record.user_id, record.password_hash, verdict.rehashed, actor
            )
        return self.issuer.issue(outcome)

    async def _room(self, identifier: str, place_hash: bytes, origin: Origin) -> AbstractContextManager[VerifyPassword]:
        """Room for the verification, before anything is charged or written: of a flood, those for whom there is none
        cost a look-up at most, and nobody his allowance. Entering raises Overloaded."""
        source = origin.address.encode()
        if self.hasher.keeps_room(source):
            at_home = await self.storage.attempts.find_at_home(identifier, place_hash)
            if at_home is not None and self.hasher.keeps_room(source):
                return self.hasher.room(source, at_home.bytes, known_place=True)
        return self.hasher.room(source, known_place=False)

    def _assess(self, identifier: str, application_id: UUID, origin: Origin, record: LoginRecord | None) -> Attempt:
        bucket = self.limiter.name_bucket(identifier, record, origin)
        return self.limiter.assess(bucket, application_id, origin, known_place=_is_known_place(record))

    def _new_session(self, record: LoginRecord, application_id: UUID, bucket: bytes, place_hash: bytes) -> NewSession:
        return NewSession(
            id=uuid7(self.clock.now(), self.randomness.bytes(RANDOM_BYTES)),
            user_id=record.user_id,
            application_id=application_id,
            password_version=record.password_version,
            nonce=self.randomness.bytes(NONCE_BYTES),
            token_key_id=self.issuer.keyring.current.active_refresh_id,
            name_bucket=bucket,
            place_hash=place_hash,
        )

    async def _refused(
        self, error: LoginError | ApplicationDisabled, user_id: UUID | None, application_id: UUID, actor: Actor
    ) -> LoginError | ApplicationDisabled:
        """The error, after the audit trail has it."""
        detail = {"code": error.code}
        await self.storage.audit.record(
            AuditEvent(AuditKind.LOGIN_REFUSED, actor, user_id=user_id, application_id=application_id, detail=detail)
        )
        return error


def _is_known_place(record: LoginRecord | None) -> bool:
    return record is not None and record.known_place


def _identifier(username: str) -> str:
    """The name as it is stored. A text that no user can have is looked up all the same, and found to be nobody.

    PostgreSQL takes no NUL in a text; no user has one in his name.
    """
    try:
        return normalise_identifier(username)
    except InvalidIdentifier:
        return username.replace("\0", "\ufffd")


def _error_of(refusal: SessionRefused) -> LoginError | ApplicationDisabled:
    match refusal:
        case SessionRefused.USER_DISABLED:
            return AccountDisabled()
        case SessionRefused.PASSWORD_CHANGED:
            return InvalidCredentials()
        case SessionRefused.APPLICATION_DISABLED:
            return ApplicationDisabled()
        case _:
            assert_never(refusal)
