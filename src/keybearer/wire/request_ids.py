"""The id of a request, `X-Request-Id`: the caller's when it is well formed, so that logs can be joined."""

import re
from typing import Final, TypeGuard

HEADER: Final = "X-Request-Id"

_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_request_id(sent: str | None) -> TypeGuard[str]:
    """Whether what a caller sent is taken over (contract.md section 3)."""
    return sent is not None and _FORM.fullmatch(sent) is not None
