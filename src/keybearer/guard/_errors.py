"""What a guard says to the operator when it cannot start. What it says to callers is in `keybearer.errors`.

GuardError
├── GuardKeyRefused       the guard's own key is wrong, revoked, expired, or has no `guard` permission
├── WrongService          at this address is another service, or another issuer than the configured one
└── ServiceUnreachable    nothing has answered in time
"""


class GuardError(Exception):
    """A guard cannot do its work; the message says what to do. It never holds a credential."""


class GuardKeyRefused(GuardError):
    pass


class WrongService(GuardError):
    pass


class ServiceUnreachable(GuardError):
    pass
