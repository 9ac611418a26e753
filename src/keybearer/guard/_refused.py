"""Answers by which the service does not admit the guard, in words for its operator."""

from collections.abc import Callable
from typing import Final

import msgspec

from keybearer.errors import CATALOGUE
from keybearer.guard._errors import GuardKeyRefused, WrongService
from keybearer.outgoing.line import Answer, Unreachable
from keybearer.wire.problems import ErrorDocument

MAX_BYTES = 65_536
SECONDS = 5

_CREATE: Final = "create one with 'keybearer keys create APPLICATION --kind secret --permission guard'"

_WHAT_TO_DO: Final = {
    "api_key_missing": "The guard's Api-Key did not arrive: a proxy before the service takes the header away.",
    "api_key_invalid": "The service does not know the guard's Api-Key: check that it is whole, and of this service.",
    "api_key_revoked": f"The guard's Api-Key was revoked: {_CREATE}.",
    "api_key_expired": f"The guard's Api-Key has expired: {_CREATE}.",
    "application_disabled": "The application of the guard's Api-Key is disabled.",
    "permission_denied": f"The guard's Api-Key does not have the permission 'guard': {_CREATE}.",
}


def read_code(answer: Answer, steady: Callable[[], int]) -> tuple[str, str]:
    """Code and detail of an error document; empty for any other answer, and for a code that is not known here."""
    body = answer.read(steady, max_bytes=MAX_BYTES, seconds=SECONDS)
    try:
        problem = msgspec.json.decode(body, type=ErrorDocument).errors[0]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError):
        return "", ""
    return (problem.code, problem.detail) if problem.code in CATALOGUE else ("", "")


def require_admitted(answer: Answer, steady: Callable[[], int]) -> None:
    """Raises GuardKeyRefused, WrongService, and Unreachable for a service that cannot answer now."""
    if answer.status == 200:
        return
    if answer.status == 429 or answer.status >= 500:
        raise Unreachable(f"status {answer.status}")
    code = read_code(answer, steady)[0] if answer.status in (401, 403) else ""
    if code:
        raise GuardKeyRefused(_WHAT_TO_DO.get(code, f"The service refuses the guard's Api-Key ({code})."))
    raise WrongService(f"This is not the API of Keybearer (status {answer.status}): check base_url.")
