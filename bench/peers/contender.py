"""What every contender has, whoever it is: files of data, a way to start it, and the requests that it understands."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

Work = str
"""`CHECK`, `REFRESH` or `LOGIN`."""

CHECK: Work = "token check"
REFRESH: Work = "refresh"
LOGIN: Work = "login"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as bench/lua/prepared.lua reads it."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def line(self) -> str:
        return "\t".join(
            (self.method, self.path, self.body, *(f"{name}: {self.headers[name]}" for name in self.headers))
        )


Form = Callable[[str], Request]
"""Makes a request of a line of data: of a token, or of a user's name and password with a blank between."""


def get(path: str, **headers: str) -> Form:
    """With the line as a bearer token."""
    return lambda line: Request("GET", path, {"Authorization": f"Bearer {line}", **_names(headers)})


def post_json(path: str, *members: str, **headers: str) -> Form:
    """With the words of the line as the members of these names."""
    types = {"Content-Type": "application/json", **_names(headers)}
    return lambda line: Request("POST", path, types, json.dumps(dict(zip(members, line.split(" "), strict=True))))


def post_form(path: str, *members: str, fixed: Mapping[str, str], **headers: str) -> Form:
    """As `post_json`, with more members that are always the same."""
    types = {"Content-Type": "application/x-www-form-urlencoded", **_names(headers)}

    def make(line: str) -> Request:
        return Request("POST", path, types, urlencode({**fixed, **dict(zip(members, line.split(" "), strict=True))}))

    return make


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Service(Protocol):
    """A contender's server while it runs."""

    @property
    def url(self) -> str: ...

    def memory(self) -> int:
        """Resident memory of the process that answers, in bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Hash:
    """How a contender hashes passwords, and the command that does nothing else for so many seconds, and prints how many
    it did in one."""

    scheme: str
    command: Callable[[int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Contender:
    """`directory` has the lines: `access`, `refresh-<round>` and `users`, as far as the forms need them. `proof` stands
    in the answer to the check of a good token, and not in that of another one."""

    name: str
    set_up: str
    directory: Path
    start: Callable[[int], AbstractContextManager[Service]]
    forms: Mapping[Work, Form]
    proof: str
    hash: Hash | None = None
    ours: bool = False

    def lines(self, work: Work, turn: int) -> list[str]:
        """The data of a round."""
        names = {CHECK: "access", REFRESH: f"refresh-{turn}", LOGIN: "users"}
        return (self.directory / names[work]).read_text().splitlines()
