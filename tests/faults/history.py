"""What clients asked and what they were told, as lines of JSON: a file for each process that asks.

No line holds a credential: a refresh token is named by its identity (place, moved at), an Idempotency-Key by its hash.
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Literal

import msgspec

from keybearer.credentials.refresh_token import parse_refresh_token

Token = tuple[int, int]
Kind = Literal["login", "refresh", "info", "logout", "disable"]

ANYWHERE = -1
"""Asked through the front, which chooses a replica."""

NEVER = 1 << 62
"""When an operation ends whose outcome nobody knows; in milliseconds, as all instants are."""


class Asked(msgspec.Struct, frozen=True, tag="asked", omit_defaults=True):
    """`session` and `token` are what was presented. A login knows its session when it is answered."""

    id: str
    kind: Kind
    at: int
    user: str = ""
    session: str = ""
    token: Token | None = None
    key: str = ""
    where: int = ANYWHERE


class Answered(msgspec.Struct, frozen=True, tag="answered", omit_defaults=True):
    """`status` is that of HTTP; `session` and `token` are what was granted."""

    id: str
    at: int
    status: int
    code: str = ""
    session: str = ""
    token: Token | None = None


class ClockSet(msgspec.Struct, frozen=True, tag="clock"):
    """From now on the storage's clock is ahead of the clients' by `offset`, in milliseconds; behind where negative."""

    at: int
    offset: int


Record = Asked | Answered | ClockSet
_LINE = msgspec.json.Decoder(Record)


@dataclass(frozen=True, slots=True)
class Operation:
    """One question with its answer; `status` is 0 and `ended` NEVER where there was none."""

    asked: Asked
    answered: Answered | None = None

    @property
    def kind(self) -> Kind:
        return self.asked.kind

    @property
    def session(self) -> str:
        return self.asked.session or (self.answered.session if self.answered is not None else "")

    @property
    def began(self) -> int:
        return self.asked.at

    @property
    def ended(self) -> int:
        return self.answered.at if self.answered is not None else NEVER

    @property
    def decided(self) -> bool:
        """False when nobody knows what came of it: no answer, or one that says so (503)."""
        return self.status in (200, 401)

    @property
    def status(self) -> int:
        return self.answered.status if self.answered is not None else 0

    @property
    def code(self) -> str:
        return self.answered.code if self.answered is not None else ""

    @property
    def granted(self) -> Token | None:
        return self.answered.token if self.answered is not None else None


def now() -> int:
    return time.time_ns() // 1_000_000


def identity(refresh_token: str) -> Token:
    """What the text of a refresh token says of its place; the MAC is not looked at."""
    token = parse_refresh_token(refresh_token)
    if token is None:
        raise ValueError("this is no refresh token")
    return token.place, token.moved_at


def name_of_key(idempotency_key: str) -> str:
    return sha256(idempotency_key.encode()).hexdigest()[:16]


class Journal:
    """Writes one file, each record before anything else happens: what a killed process has asked can be read."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._prefix = f"{path.stem}.{os.getpid()}"
        self._numbers = count(1)

    def ask(
        self,
        kind: Kind,
        *,
        user: str,
        session: str = "",
        token: Token | None = None,
        key: str = "",
        where: int = ANYWHERE,
    ) -> str:
        """The id of the question, for its answer."""
        id = f"{self._prefix}.{next(self._numbers)}"
        self._write(Asked(id, kind, now(), user, session, token, key, where))
        return id

    def answer(self, id: str, status: int, *, code: str = "", session: str = "", token: Token | None = None) -> None:
        self._write(Answered(id, now(), status, code, session, token))

    def set_clock(self, offset: int) -> None:
        self._write(ClockSet(now(), offset))

    def _write(self, record: Record) -> None:
        os.write(self._file, msgspec.json.encode(record) + b"\n")

    def close(self) -> None:
        os.close(self._file)


class Reader:
    """Reads what has been written to the journals of a directory since it was asked last."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}

    def new(self) -> list[Record]:
        """In the order in which it happened."""
        records = [record for path in sorted(self._directory.glob("*.jsonl")) for record in self._new_of(path)]
        return sorted(records, key=lambda record: record.at)

    def _new_of(self, path: Path) -> Iterator[Record]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            text = file.read()
        whole = text.rpartition(b"\n")[0]
        self._read[path] = self._read.get(path, 0) + len(whole) + (1 if whole else 0)
        return map(_LINE.decode, whole.splitlines())


def operations_of(records: Iterable[Record]) -> list[Operation]:
    """In the order in which they were asked."""
    asked: dict[str, Asked] = {}
    answered: dict[str, Answered] = {}
    for record in records:
        match record:
            case Asked(id):
                asked[id] = record
            case Answered(id):
                answered[id] = record
    found = [Operation(question, answered.get(question.id)) for question in asked.values()]
    return sorted(found, key=lambda operation: operation.began)
