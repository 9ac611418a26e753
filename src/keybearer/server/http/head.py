"""The head of a request: what is asked for, and with which credentials. The same bytes are the same head, whoever sends
them, so one that was read before need not be read again."""

from collections.abc import Sequence

from keybearer.errors import BodyTooLarge, MalformedRequest
from keybearer.guard._headers import require_once
from keybearer.server.http.answer import Header
from keybearer.wire.request_ids import is_request_id

CREDENTIALS = (b"api-key", b"authorization", b"origin")

KNOWN = 1500
"""Heads in each of two generations."""

MAX_KNOWN_BYTES, MAX_KNOWN_HEADERS = 3072, 32
"""Of a head that is kept: an access token and what browsers send besides. Such a one takes 12 KB at most."""


class Head:
    """Method, path, query and headers. `listed` is how the headers were sent, `fields` by their lower-case names.

    `request_id` is what the caller calls the request, if it may be called so. `is_well_known`: the credentials in it
    were right, and it was answered well.
    """

    __slots__ = (
        "_is_checked",
        "credentials",
        "fields",
        "is_well_known",
        "listed",
        "method",
        "path",
        "query",
        "request_id",
    )

    credentials: tuple[str | None, str | None, str | None]
    """Api-Key, Authorization and Origin, once `check` has gone well."""

    def __init__(self, method: str, path: str, query: bytes, listed: Sequence[Header]) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.listed = listed
        self.fields: dict[bytes, bytes] = dict(listed)
        sent = self.field(b"x-request-id")
        self.request_id = sent if is_request_id(sent) else None
        self.is_well_known = False
        self._is_checked = False

    def field(self, name: bytes) -> str | None:
        """The value of a header, by its lower-case name."""
        value = self.fields.get(name)
        return None if value is None else value.decode("latin-1")

    def shows_each_once(self) -> bool:
        """Whether no header stands twice: what `credentials` would be is plain then."""
        return len(self.listed) == len(self.fields)

    def check(self, max_body: int) -> None:
        """Raise MalformedRequest when a header that must stand once stands twice (contract.md section 2), or declares a
        length that is none; and BodyTooLarge before any of the body is read."""
        if self._is_checked:
            return
        if not self.shows_each_once():
            self._join_repeated()
        api_key, authorization, origin = map(self.field, CREDENTIALS)
        require_once(api_key, authorization, origin)
        self._check_declared_length(max_body)
        self.credentials = api_key, authorization, origin
        self._is_checked = True

    def _join_repeated(self) -> None:
        if sum(name == b"content-length" for name, _ in self.listed) > 1:
            raise MalformedRequest("The header Content-Length stands in the request more than once.")
        for name in CREDENTIALS:
            if name in self.fields:
                self.fields[name] = b",".join(value for sent, value in self.listed if sent == name)

    def _check_declared_length(self, max_body: int) -> None:
        declared = self.fields.get(b"content-length")
        if declared is None:
            return
        if not declared.isdigit():
            raise MalformedRequest("The Content-Length header is not a number.")
        if len(declared) > 12 or int(declared) > max_body:
            raise BodyTooLarge


class KnownHeads:
    """Heads that are well known, by the bytes that were one of them and nothing else.

    Nobody without credentials gets in here. Those of the older generation that are not sent again are forgotten first.
    """

    def __init__(self, capacity: int = KNOWN) -> None:
        self._capacity = capacity
        self._young: dict[bytes, Head] = {}
        self._old: dict[bytes, Head] = {}

    def find(self, sent: bytes) -> Head | None:
        if len(sent) > MAX_KNOWN_BYTES:  # and not worth hashing
            return None
        head = self._young.get(sent)
        return self._recall(sent) if head is None else head

    def _recall(self, sent: bytes) -> Head | None:
        head = self._old.get(sent)
        if head is not None:
            self.keep(sent, head)
        return head

    def keep(self, sent: bytes, head: Head) -> None:
        if len(sent) > MAX_KNOWN_BYTES or len(head.listed) > MAX_KNOWN_HEADERS:
            return
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[sent] = head
