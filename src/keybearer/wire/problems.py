"""What an error means in HTTP: the one table from code to status, the headers, and the error document."""

from functools import lru_cache
from typing import Any

import msgspec

from keybearer.errors import (
    AccessTokenError,
    AccessTokenMissing,
    KeybearerError,
    MethodNotAllowed,
    RetryLater,
    ValidationFailed,
)

STATUS: dict[str, int] = {
    "malformed_json": 400,
    "malformed_request": 400,
    "invalid_credentials": 401,
    "access_token_missing": 401,
    "access_token_corrupted": 401,
    "access_token_invalid": 401,
    "access_token_expired": 401,
    "access_token_revoked": 401,
    "access_token_wrong_application": 401,
    "refresh_token_corrupted": 401,
    "refresh_token_invalid": 401,
    "refresh_token_expired": 401,
    "refresh_token_reused": 401,
    "refresh_token_wrong_application": 401,
    "session_revoked": 401,
    "api_key_missing": 403,
    "api_key_invalid": 403,
    "api_key_revoked": 403,
    "api_key_expired": 403,
    "application_disabled": 403,
    "origin_not_allowed": 403,
    "account_not_activated": 403,
    "account_disabled": 403,
    "permission_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
    "validation_failed": 422,
    "too_many_attempts": 429,
    "overloaded": 503,
    "storage_unavailable": 503,
}
"""An Api-Key failure is 403 and never 401: a 401 sets off a refresh in every client (contract.md section 2)."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of an error document (JSON:API 1.1, error objects)."""

    status: str
    code: str
    title: str
    detail: str
    source: dict[str, str] | None = None
    meta: dict[str, str] | None = None


class ErrorDocument(msgspec.Struct, frozen=True):
    errors: list[Problem]


def status_of(error: KeybearerError) -> int:
    return STATUS[error.code]


def headers_of(error: KeybearerError) -> list[tuple[str, str]]:
    """The headers that belong to an error: `WWW-Authenticate` on a 401, `Allow` on a 405, `Retry-After`."""
    headers = []
    if STATUS[error.code] == 401:
        headers.append(("www-authenticate", _challenge(error)))
    if isinstance(error, MethodNotAllowed):
        headers.append(("allow", ", ".join(error.allowed)))
    if isinstance(error, RetryLater):
        headers.append(("retry-after", str(error.retry_after)))
    return headers


def _challenge(error: KeybearerError) -> str:
    """RFC 6750 section 3: the error attributes stand only where a bearer token was sent."""
    if isinstance(error, AccessTokenError) and not isinstance(error, AccessTokenMissing):
        return f'Bearer error="invalid_token", error_description="{error.detail}"'
    return "Bearer"


def document_of(error: KeybearerError, request_id: str) -> ErrorDocument:
    """The error document: one entry, or one per field of a failed validation."""
    meta = {"requestId": request_id}
    if isinstance(error, ValidationFailed):
        return ErrorDocument([_problem(error, meta, {"pointer": at}, detail) for at, detail in error.problems])
    source = {"header": error.header} if error.header else None
    return ErrorDocument([_problem(error, meta, source, error.detail)])


def _problem(error: KeybearerError, meta: dict[str, str], source: dict[str, str] | None, detail: str) -> Problem:
    return Problem(str(STATUS[error.code]), error.code, error.title, detail, source, meta)


def validate_members(kind: type[msgspec.Struct], members: object) -> Any:
    """`members` (decoded JSON) as a struct of `kind`; members that it does not name are ignored.

    Raises ValidationFailed with one problem per member that is missing or wrong, never naming a value.
    """
    if not isinstance(members, dict):
        raise ValidationFailed([("", "The body is not a JSON object.")])
    values: dict[str, object] = {}
    problems: list[tuple[str, str]] = []
    for field in _fields(kind):
        if field.encode_name not in members:
            if field.required:
                problems.append((f"/{field.encode_name}", "This member is required."))
            continue
        try:
            values[field.name] = msgspec.convert(members[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            problems.append((f"/{field.encode_name}", f"{error}."))
    if problems:
        raise ValidationFailed(problems)
    return kind(**values)


@lru_cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Remembered: resolving a struct's annotations takes longer than validating a body."""
    return msgspec.structs.fields(kind)
