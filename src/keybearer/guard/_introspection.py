"""Asking the service about a caller's credentials, for the time in which revocations are out of sight."""

import re
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from keybearer.credentials.access_token import AccessToken, read_claims
from keybearer.credentials.alphabet import is_in_alphabet
from keybearer.credentials.api_key import parse_api_key
from keybearer.errors import (
    CATALOGUE,
    AccessTokenCorrupted,
    AccessTokenError,
    AccessTokenInvalid,
    ApiKeyError,
    ApiKeyInvalid,
    ApiKeyMissing,
    OriginNotAllowed,
    Overloaded,
    StorageUnavailable,
)
from keybearer.guard._core import read_bearer
from keybearer.guard._limits import Limits
from keybearer.guard._refused import MAX_BYTES, read_code
from keybearer.guard._values import Credentials
from keybearer.jose.compact import MAX_LENGTH
from keybearer.outgoing.address import Address
from keybearer.outgoing.line import Answer, Closed, Line, Unreachable
from keybearer.wire.documents import Document, TokenAttributes

_HARMLESS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
"""What can stand in a quoted string of a header (RFC 9110 section 5.6.4), without escapes."""

_read_document: Final = msgspec.json.Decoder(Document[TokenAttributes]).decode


class Introspection:
    """Each question has a connection of its own; `limits.introspections` at once, no more are let in."""

    def __init__(self, address: Address, limits: Limits, steady: Callable[[], int]) -> None:
        self._address = address
        self._limits = limits
        self._steady = steady
        self.renew_lock()

    def renew_lock(self) -> None:
        """In the child of a fork: those who have asked are not in this process."""
        self._places = threading.BoundedSemaphore(self._limits.introspections)

    def ask(self, credentials: Credentials) -> AccessToken:
        """What the service says of these credentials; blocks for `introspection_seconds` at most.

        Raises the errors of the catalogue; StorageUnavailable and Overloaded when the service cannot tell.
        """
        headers = _headers_of(credentials)
        if not self._places.acquire(blocking=False):
            raise Overloaded("Too many callers are being asked about at once.")
        try:
            return self._ask(headers)
        except (Unreachable, Closed):
            raise StorageUnavailable("The service cannot be asked about the credentials.") from None
        finally:
            self._places.release()

    def _ask(self, headers: dict[str, str]) -> AccessToken:
        seconds = self._limits.introspection_seconds
        line = Line(self._address, headers, connect_timeout=seconds)
        with line.get(self._address.token_info, {}, silence=seconds) as answer:
            if answer.status != 200:
                raise self._refusal(answer)
            body = answer.read(self._steady, max_bytes=MAX_BYTES, seconds=seconds)
        try:
            return read_claims(_read_document(body).data.attributes.claims)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AccessTokenInvalid):
            raise StorageUnavailable("The service's answer about the credentials is malformed.") from None

    def _refusal(self, answer: Answer) -> Exception:
        code, detail = read_code(answer, self._steady) if answer.status in (401, 403) else ("", "")
        kind = CATALOGUE.get(code, StorageUnavailable)
        if not issubclass(kind, ApiKeyError | AccessTokenError):
            return StorageUnavailable("The service cannot tell about the credentials.")
        return kind(detail if _HARMLESS.fullmatch(detail) else None)


def _headers_of(credentials: Credentials) -> dict[str, str]:
    """What is sent on. What no key, token or origin can be is refused here, in the contract's order."""
    if not credentials.api_key:
        raise ApiKeyMissing
    if parse_api_key(credentials.api_key) is None:
        raise ApiKeyInvalid
    headers = {"Api-Key": credentials.api_key}
    if credentials.origin is not None:
        if not credentials.origin.isascii() or not credentials.origin.isprintable():
            raise OriginNotAllowed
        headers["Origin"] = credentials.origin
    if credentials.authorization is not None:
        text = read_bearer(credentials.authorization)
        if len(text) > MAX_LENGTH or not is_in_alphabet(text):
            raise AccessTokenCorrupted
        headers["Authorization"] = f"Bearer {text}"
    return headers
