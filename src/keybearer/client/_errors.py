"""What the client says when a request cannot be made or repeated. What the service refuses is in `keybearer.errors`.

    ClientError
    ├── NotLoggedIn           there is no session
    ├── SessionExpired        the session has ended; the user logs in again
    ├── RefreshUnavailable    a refresh could not be tried; the session is kept
    ├── ServiceUnavailable    the service could not be asked
    ├── NonReplayableBody     the token is new, and the body of the request cannot be sent twice
    ├── ApiKeyRejected        the service does not admit the application's key
    ├── ConfigurationError    an option cannot be meant, or the address is not that of the service
    └── StoreError            the place where the session is kept failed

No message holds a credential.
"""

from typing import ClassVar

from keybearer.errors import KeybearerError


class ClientError(KeybearerError):
    """The root of these errors. `code` is stable."""

    code: ClassVar[str]


class NotLoggedIn(ClientError):
    code = "not_logged_in"
    title = "Not logged in"
    default_detail = "There is no session: log in first."


class SessionExpired(ClientError):
    """`reason` is the code that the service gave."""

    code = "session_expired"
    title = "Session expired"
    default_detail = "The session has ended: log in again."

    def __init__(self, detail: str | None = None, reason: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason


class RefreshUnavailable(ClientError):
    """`retry_after` is in seconds."""

    code = "refresh_unavailable"
    title = "Refresh unavailable"
    default_detail = "The access token could not be refreshed now; the session is kept."

    def __init__(self, detail: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ServiceUnavailable(ClientError):
    """`retry_after` is in seconds."""

    code = "service_unavailable"
    title = "Service unavailable"
    default_detail = "The service could not be asked now."

    def __init__(self, detail: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class NonReplayableBody(ClientError):
    code = "body_not_replayable"
    title = "Body cannot be sent twice"
    default_detail = (
        "The access token was refreshed, but the body of the request has been read already: make the request again."
    )


class ApiKeyRejected(ClientError):
    """`reason` is the code that the service gave; it begins with `api_key_`."""

    code = "api_key_rejected"
    title = "Api-Key rejected"
    default_detail = "The Api-Key is not admitted: give the client a valid one. The session is kept."

    def __init__(self, detail: str | None = None, reason: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason


class ConfigurationError(ClientError):
    code = "configuration_error"
    title = "Configuration error"
    default_detail = "The client is not set up in a way that can work."


class StoreError(ClientError):
    code = "store_error"
    title = "Store error"
    default_detail = "The session could not be read from its store, or written to it."


class StoreWarning(UserWarning):
    """A stored session could not be used or kept; the message says where it is now."""
