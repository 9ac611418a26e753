"""Read a refresh token that a client presents, as far as that goes without its session's row."""

from uuid import UUID

from keybearer.credentials.alphabet import is_in_alphabet
from keybearer.credentials.refresh_token import parse_refresh_token, verify_mac
from keybearer.errors import (
    RefreshTokenCorrupted,
    RefreshTokenError,
    RefreshTokenExpired,
    RefreshTokenInvalid,
    RefreshTokenReused,
    RefreshTokenWrongApplication,
    SessionRevoked,
)
from keybearer.server.domain.sessions import EndRefused, Presentation, RefreshRefused
from keybearer.server.flows.keyring import LoadedKeys

ERRORS: dict[RefreshRefused | EndRefused, type[RefreshTokenError]] = {
    RefreshRefused.UNKNOWN: RefreshTokenInvalid,
    RefreshRefused.WRONG_APPLICATION: RefreshTokenWrongApplication,
    RefreshRefused.REVOKED: SessionRevoked,
    RefreshRefused.EXPIRED: RefreshTokenExpired,
    RefreshRefused.REUSED: RefreshTokenReused,
    EndRefused.UNKNOWN: RefreshTokenInvalid,
    EndRefused.WRONG_APPLICATION: RefreshTokenWrongApplication,
    EndRefused.ALREADY_ENDED: SessionRevoked,
    EndRefused.EXPIRED: RefreshTokenExpired,
    EndRefused.NOT_CURRENT: RefreshTokenInvalid,
}
"""What a refusal of the storage is called on the wire."""


def present(text: str, keys: LoadedKeys, application_id: UUID, idempotency_hash: bytes | None = None) -> Presentation:
    """The presentation of an authentic token; a forged or foreign one is refused without a query.

    Raises RefreshTokenCorrupted (R4) and RefreshTokenInvalid.
    """
    if not is_in_alphabet(text):
        raise RefreshTokenCorrupted
    token = parse_refresh_token(text)
    if token is None:
        raise RefreshTokenInvalid
    key = keys.refresh.get(token.key_id)
    if key is None or not verify_mac(key, token):
        raise RefreshTokenInvalid
    return Presentation(token, application_id, idempotency_hash, keys.active_refresh_id)
