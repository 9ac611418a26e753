"""One person's command line, for the tests of the client's commands: directories of their own, and a key in a file."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.commands import Commands, Ended
from tests.stage.client import Stage

REFRESH = "/v1/api/oauth/token/refresh"
REVOKE = "/v1/api/oauth/token/revoke"


@dataclass(frozen=True, slots=True)
class Desk:
    """Every command is checked: it shows no password and no key, and no token on stderr."""

    commands: Commands
    stage: Stage
    home: Path

    @property
    def key_file(self) -> Path:
        return self.home / "api-key"

    @property
    def config(self) -> Path:
        return self.home / "config" / "keybearer"

    @property
    def state(self) -> Path:
        return self.home / "state" / "keybearer"

    @property
    def session_file(self) -> Path:
        [path] = self.state.glob("*.session")
        return path

    @property
    def session(self) -> dict[str, Any] | None:
        """The stored session; None after its end."""
        session: dict[str, Any] | None = json.loads(self.session_file.read_text())["session"]
        return session

    @property
    def session_token(self) -> str:
        session = self.session
        assert session is not None
        return str(session["accessToken"])

    def run(self, *words: str, stdin: str | None = None, **variables: str) -> Ended:
        """In this process."""
        return self._checked(self.commands.run, *words, stdin=stdin, **variables)

    def spawn(self, *words: str, stdin: str = "", **variables: str) -> Ended:
        """In a process of its own."""
        return self._checked(self.commands.spawn, *words, stdin=stdin, **variables)

    def json(self, *words: str, stdin: str | None = None) -> Any:
        return self.run(*words, "--json", stdin=stdin).json()

    def log_in(self, *words: str, user: int = 0) -> Ended:
        """With the key in the file, and the guarded service as the one origin."""
        return self._log_in(user, "--api-key-file", str(self.key_file), "--origin", self.stage.api, *words)

    def log_in_bare(self, *words: str, user: int = 0, **variables: str) -> Ended:
        return self._log_in(user, *words, **variables)

    def _log_in(self, user: int, *words: str, **variables: str) -> Ended:
        who = self.stage.users[user]
        fixed = ("--url", self.stage.base_url, "--username", who.username, "--password-stdin")
        return self.run("login", *fixed, *words, stdin=who.password + "\n", **variables)

    def change_session(self, **members: Any) -> None:
        """Give the stored session other members, as if it had been stored so."""
        record = json.loads(self.session_file.read_text())
        record["session"] |= members
        self.session_file.write_text(json.dumps(record))

    def spoil(self) -> None:
        """The access token is no longer good, and the client does not know it."""
        session = self.session
        assert session is not None
        head, _, signature = session["accessToken"].rpartition(".")
        self.change_session(accessToken=f"{head}.{signature[::-1]}")

    def expire(self) -> None:
        """The access token is no longer good, and the client knows it."""
        self.spoil()
        self.change_session(expiresAt=0.0)

    def refreshes(self) -> int:
        return len(self.stage.journal("auth", path=REFRESH))

    def _checked(self, run: Any, *words: str, **options: Any) -> Ended:
        before = self._tokens()
        ended: Ended = run(*words, **options)
        stage = self.stage
        for secret in (stage.publishable_key, stage.secret_key, *(user.password for user in stage.users)):
            assert secret not in ended.out + ended.err
        for token in before | self._tokens():
            assert token not in ended.err
        return ended

    def _tokens(self) -> set[str]:
        """Whatever lies in the session files, whether a client can read them or not."""
        texts = [path.read_text() for path in self.state.glob("*.session*")]
        return {token for text in texts for token in re.findall(r'"(?:access|refresh)Token": "([^"]+)"', text)}
