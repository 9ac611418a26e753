"""Requests and answers of the HTTP API (contract.md section 2), as frozen structs.

Members are camelCase on the way out; `refresh_token` is snake_case on the way in, as in the reference document.
"""

from typing import Annotated, Any, Generic, TypeVar

import msgspec

MAX_PASSWORD_BYTES = 1024

Username = Annotated[str, msgspec.Meta(min_length=1, max_length=254, description="An email address or a phone number.")]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PASSWORD_BYTES, description="1,024 bytes at most.")]
RefreshToken = Annotated[
    str, msgspec.Meta(min_length=1, max_length=8192, description="The token of a session document.")
]


class LoginRequest(msgspec.Struct, frozen=True):
    username: Username
    password: Password


class RefreshRequest(msgspec.Struct, frozen=True):
    refresh_token: RefreshToken


class RevokeRequest(msgspec.Struct, frozen=True):
    """`refresh_token` ends its session although the access token has expired."""

    refresh_token: RefreshToken | None = None


class SessionAttributes(msgspec.Struct, frozen=True, rename="camel"):
    """`expires_in` and `refresh_expires_in` are seconds."""

    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int
    refresh_expires_in: int
    session_id: str
    email: str
    first_name: str
    last_name: str


class TokenAttributes(msgspec.Struct, frozen=True, rename="camel"):
    """`expires_in` is seconds; the instants are RFC 3339 in UTC."""

    expires_in: int
    issued_at: str
    expires_at: str
    user_id: str
    application_id: str
    session_id: str
    claims: dict[str, Any]


class RevocationAttributes(msgspec.Struct, frozen=True, rename="camel"):
    """`sessions` counts those that were ended."""

    revoked_at: str
    sessions: int


class UserAttributes(msgspec.Struct, frozen=True, rename="camel"):
    email: str
    phone: str | None
    first_name: str
    last_name: str
    roles: list[str]
    created_at: str


class OwnSessionAttributes(msgspec.Struct, frozen=True, rename="camel"):
    """A session in its owner's list; `address` and `agent` are those of its last use."""

    current: bool
    application_name: str
    created_at: str
    last_used_at: str
    address: str
    agent: str


Attributes = TypeVar("Attributes")


class Resource(msgspec.Struct, Generic[Attributes], frozen=True):
    """A JSON:API resource object. `type` is session, token, revocation or user."""

    id: str
    type: str
    attributes: Attributes


class Document(msgspec.Struct, Generic[Attributes], frozen=True):
    data: Resource[Attributes]


class ListMeta(msgspec.Struct, frozen=True):
    next: str | None = None


class ListDocument(msgspec.Struct, Generic[Attributes], frozen=True):
    data: list[Resource[Attributes]]
    meta: ListMeta


class Health(msgspec.Struct, frozen=True):
    status: str
