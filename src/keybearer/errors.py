"""The exception tree, and with it the catalogue of error codes.

    KeybearerError
    ├── RequestError            the request itself is at fault
    ├── ApiKeyError             the client application is not admitted (never answered with 401)
    ├── AccessTokenError        the bearer token is not accepted
    ├── RefreshTokenError       the refresh token is not accepted
    ├── LoginError              the user is not admitted
    ├── PermissionDenied        both credentials hold, the action is not allowed
    ├── TooManyAttempts         the limiter refuses
    └── ServiceError            the service cannot answer now

Every leaf has one `code`, the same on the wire, in the server and in the clients. What a code means in HTTP (status,
headers) is said in `keybearer.wire.problems`, nowhere else. No message ever holds a value that a caller sent.
"""

from collections.abc import Sequence
from typing import ClassVar


class KeybearerError(Exception):
    """The root of everything that Keybearer raises.

    `detail` is one sentence for the developer who reads the answer; it defaults to the class's own.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    default_detail: ClassVar[str]
    header: ClassVar[str | None] = None
    """The request header at fault, if it is one."""
    reserved: ClassVar[bool] = False
    """True for a code that is part of the contract and that no operation answers yet."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or self.default_detail
        super().__init__(self.detail)


class RequestError(KeybearerError):
    """The request cannot be understood as it was sent."""


class MalformedJson(RequestError):
    code = "malformed_json"
    title = "Malformed JSON"
    default_detail = "The body is not a well-formed JSON document."


class MalformedRequest(RequestError):
    code = "malformed_request"
    title = "Malformed request"
    default_detail = "The request is not well formed."


class NotFound(RequestError):
    code = "not_found"
    title = "Not found"
    default_detail = "There is nothing at this address."


class MethodNotAllowed(RequestError):
    """`allowed` are the methods that the resource answers."""

    code = "method_not_allowed"
    title = "Method not allowed"
    default_detail = "The resource does not answer this method; the Allow header lists those that it does."

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__()
        self.allowed = tuple(allowed)


class BodyTooLarge(RequestError):
    code = "body_too_large"
    title = "Body too large"
    default_detail = "The body is larger than this service accepts."


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"
    title = "Unsupported media type"
    default_detail = "Send the body as application/json or application/vnd.api+json."
    header = "Content-Type"


class ValidationFailed(RequestError):
    """One or more members of the body are missing or wrong; `problems` pairs a JSON pointer with what is wrong."""

    code = "validation_failed"
    title = "Validation failed"
    default_detail = "A member of the body is missing or has a wrong value."

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.problems = tuple(problems)


class ApiKeyError(KeybearerError):
    """The Api-Key, or the application that it names, is not admitted."""

    header = "Api-Key"


class ApiKeyMissing(ApiKeyError):
    code = "api_key_missing"
    title = "Api-Key missing"
    default_detail = "Send the application's key in the Api-Key header."


class ApiKeyInvalid(ApiKeyError):
    code = "api_key_invalid"
    title = "Api-Key invalid"
    default_detail = "The Api-Key is not one of this service's keys."


class ApiKeyRevoked(ApiKeyError):
    code = "api_key_revoked"
    title = "Api-Key revoked"
    default_detail = "The Api-Key was revoked."


class ApiKeyExpired(ApiKeyError):
    code = "api_key_expired"
    title = "Api-Key expired"
    default_detail = "The Api-Key has expired."


class ApplicationDisabled(ApiKeyError):
    code = "application_disabled"
    title = "Application disabled"
    default_detail = "The application that the Api-Key names is disabled."


class OriginNotAllowed(ApiKeyError):
    code = "origin_not_allowed"
    title = "Origin not allowed"
    default_detail = "The application does not allow requests from this origin."
    header = "Origin"


class AccessTokenError(KeybearerError):
    """The bearer token is not accepted (RFC 6750 section 3.1)."""

    header = "Authorization"


class AccessTokenMissing(AccessTokenError):
    code = "access_token_missing"
    title = "Access token missing"
    default_detail = "Send the access token in the Authorization header, with the Bearer scheme."


class AccessTokenCorrupted(AccessTokenError):
    code = "access_token_corrupted"
    title = "Access token corrupted"
    default_detail = "The access token holds a character that no token has, or is too long."


class AccessTokenInvalid(AccessTokenError):
    code = "access_token_invalid"
    title = "Access token invalid"
    default_detail = "The access token is not one that this service accepts."


class AccessTokenExpired(AccessTokenError):
    code = "access_token_expired"
    title = "Access token expired"
    default_detail = "The access token has expired."


class AccessTokenRevoked(AccessTokenError):
    code = "access_token_revoked"
    title = "Access token revoked"
    default_detail = "The access token was revoked."


class AccessTokenWrongApplication(AccessTokenError):
    code = "access_token_wrong_application"
    title = "Access token of another application"
    default_detail = "The access token was issued to another application than the Api-Key names."


class RefreshTokenError(KeybearerError):
    """The refresh token is not accepted, or its session has ended."""


class RefreshTokenCorrupted(RefreshTokenError):
    code = "refresh_token_corrupted"
    title = "Refresh token corrupted"
    default_detail = "The refresh token does not have the form of one."


class RefreshTokenInvalid(RefreshTokenError):
    code = "refresh_token_invalid"
    title = "Refresh token invalid"
    default_detail = "The refresh token is not one of this service's tokens."


class RefreshTokenExpired(RefreshTokenError):
    code = "refresh_token_expired"
    title = "Refresh token expired"
    default_detail = "The session has reached its limit; the user must log in again."


class RefreshTokenReused(RefreshTokenError):
    code = "refresh_token_reused"
    title = "Refresh token reused"
    default_detail = "The refresh token had been replaced before; its session has been ended."


class RefreshTokenWrongApplication(RefreshTokenError):
    code = "refresh_token_wrong_application"
    title = "Refresh token of another application"
    default_detail = "The refresh token was issued to another application than the Api-Key names."


class SessionRevoked(RefreshTokenError):
    code = "session_revoked"
    title = "Session revoked"
    default_detail = "The session was ended; the user must log in again."


class LoginError(KeybearerError):
    """The user is not admitted."""


class InvalidCredentials(LoginError):
    code = "invalid_credentials"
    title = "Invalid credentials"
    default_detail = "The username or the password is wrong."


class AccountNotActivated(LoginError):
    code = "account_not_activated"
    title = "Account not activated"
    default_detail = "The account has not been activated yet."
    reserved = True


class AccountDisabled(LoginError):
    code = "account_disabled"
    title = "Account disabled"
    default_detail = "The account is disabled."


class PermissionDenied(KeybearerError):
    code = "permission_denied"
    title = "Permission denied"
    default_detail = "The credentials hold and do not allow this."


class RetryLater(KeybearerError):
    """A refusal that ends by itself; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = max(1, retry_after)


class TooManyAttempts(RetryLater):
    code = "too_many_attempts"
    title = "Too many attempts"
    default_detail = "Too many attempts; the Retry-After header says when the next one is admitted."


class ServiceError(KeybearerError):
    """The service cannot answer; the request may be fine."""


class Overloaded(ServiceError, RetryLater):
    code = "overloaded"
    title = "Overloaded"
    default_detail = "The service has more work of this kind than it accepts at once."


class StorageUnavailable(ServiceError, RetryLater):
    code = "storage_unavailable"
    title = "Storage unavailable"
    default_detail = "The service cannot reach its database."


class InternalError(ServiceError):
    code = "internal_error"
    title = "Internal error"
    default_detail = "The service failed; its log has the cause under this request id."


CATALOGUE: dict[str, type[KeybearerError]] = {
    error.code: error
    for error in (
        MalformedJson,
        MalformedRequest,
        InvalidCredentials,
        AccessTokenMissing,
        AccessTokenCorrupted,
        AccessTokenInvalid,
        AccessTokenExpired,
        AccessTokenRevoked,
        AccessTokenWrongApplication,
        RefreshTokenCorrupted,
        RefreshTokenInvalid,
        RefreshTokenExpired,
        RefreshTokenReused,
        RefreshTokenWrongApplication,
        SessionRevoked,
        ApiKeyMissing,
        ApiKeyInvalid,
        ApiKeyRevoked,
        ApiKeyExpired,
        ApplicationDisabled,
        OriginNotAllowed,
        AccountNotActivated,
        AccountDisabled,
        PermissionDenied,
        NotFound,
        MethodNotAllowed,
        BodyTooLarge,
        UnsupportedMediaType,
        InternalError,
        ValidationFailed,
        TooManyAttempts,
        Overloaded,
        StorageUnavailable,
    )
}
"""Every code of the contract, in the order of its error table, with the exception that carries it."""
