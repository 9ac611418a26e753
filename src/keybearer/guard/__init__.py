"""The guard: how any service verifies both credentials of a request by itself.

    guard = Guard("https://auth.example.com", os.environ["GUARD_KEY"])
    caller = guard.verify(Credentials(api_key, authorization, origin))

The integrations stand beside it, each in a module of its own: `asgi`, `wsgi`, `fastapi`, `django`, `flask`.
"""

from keybearer.guard._errors import GuardError, GuardKeyRefused, ServiceUnreachable, WrongService
from keybearer.guard._guard import Guard
from keybearer.guard._limits import Limits
from keybearer.guard._metrics import GuardMetrics
from keybearer.guard._values import Caller, Credentials, OnStale, Requirements

__all__ = [
    "Caller",
    "Credentials",
    "Guard",
    "GuardError",
    "GuardKeyRefused",
    "GuardMetrics",
    "Limits",
    "OnStale",
    "Requirements",
    "ServiceUnreachable",
    "WrongService",
]
