"""What an integration answered, and what of it must be what the service answers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SECONDS = re.compile(r"\d+ s ago")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is empty for what was let through. How long ago a token expired is not part of it: time goes on."""

    status: int
    code: str = ""
    challenge: str | None = None


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    def verdict(self) -> Verdict:
        """What was decided, after checking the form that every refusal has (contract.md section 2)."""
        if self.status < 400:
            return Verdict(200)
        return Verdict(self.status, self._code(), self._challenge())

    def forward_verdict(self) -> Verdict:
        """The same of the service's forward authentication, which says the code in a header."""
        if self.status < 400:
            return Verdict(200)
        return Verdict(self.status, self.headers["x-keybearer-error"], self._challenge())

    def _code(self) -> str:
        assert self.headers.get("content-type") == "application/json", (self.status, self.headers, self.body)
        assert self.headers["cache-control"] == "no-store"
        assert int(self.headers["content-length"]) == len(self.body)
        [error] = json.loads(self.body)["errors"]
        assert error["status"] == str(self.status)
        assert error["meta"]["requestId"] == self.headers["x-request-id"]
        assert error["title"] and error["detail"]
        return str(error["code"])

    def _challenge(self) -> str | None:
        challenge = self.headers.get("www-authenticate")
        return None if challenge is None else _SECONDS.sub("some time ago", challenge)
