"""What a demo works with: an application, its two keys and a user, made once with the commands that operators use.

Everything made is written down at once, and checked by asking the service before it is used again. So a demo that was
killed at any point is carried on by the next one.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import httpx2

from keybearer.base64url import encode_base64url
from keybearer.credentials.api_key import ApiKeyKind, parse_api_key
from keybearer.server.cli.demo_service import DemoError, DemoService, Home

APPLICATION = "Keybearer demo"
ORIGINS = ("http://localhost:5173", "http://127.0.0.1:5173")
USERNAME = "demo@example.com"
BASE_PATH = "/v1/api"

SEEN_WITHIN = 10.0
"""Seconds until the service must have seen what a command wrote; it takes a few hundredths of one."""


@dataclass(frozen=True, slots=True)
class Furniture:
    """What has been made so far; an empty text stands for what has not."""

    application_id: str = ""
    publishable_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    username: str = USERNAME
    password: str = field(default="", repr=False)


def load(home: Home) -> Furniture:
    """What earlier demos have written down; nothing when there is no such file or it is not theirs."""
    try:
        document = json.loads(home.state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Furniture()
    names = {member.name for member in fields(Furniture)}
    known = document.items() if isinstance(document, dict) else ()
    return Furniture(**{name: value for name, value in known if name in names and isinstance(value, str)})


def save(home: Home, furniture: Furniture) -> None:
    """Write it down, all or nothing, readable by its owner only."""
    draft = home.state.with_suffix(".json.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(furniture), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(home.state)


def run_command(home: Home, *words: str, stdin: str = "") -> str:
    """What a `keybearer` command prints. Raises DemoError with what it complained about."""
    finished = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "keybearer", *words],
        env=home.environment(),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if finished.returncode != 0:
        raise DemoError(f"`keybearer {' '.join(words)}` failed: {finished.stderr.strip()}")
    return finished.stdout


class Furnisher:
    """Makes what is missing, and saves after each thing made. `randomness` answers that many random bytes."""

    def __init__(self, home: Home, service: DemoService, randomness: Callable[[int], bytes]) -> None:
        self._home = home
        self._service = service
        self._client = httpx2.Client(base_url=service.url + BASE_PATH, timeout=30, trust_env=False)
        self._randomness = randomness
        self.furniture = load(home)

    def furnish(self) -> Furniture:
        """Everything that the demo needs, working. Raises DemoError."""
        try:
            with self._client:
                self._make_keys()
                self._make_user()
        except httpx2.RequestError as error:
            self._service.check_alive()
            raise DemoError(f"The service does not answer: {error}.") from None
        return self.furniture

    def _keep(self, **changes: str) -> None:
        self.furniture = replace(self.furniture, **changes)
        save(self._home, self.furniture)

    def _make_keys(self) -> None:
        held = {"publishable_key": self.furniture.publishable_key, "secret_key": self.furniture.secret_key}
        if all(map(self._works, held.values())):
            return
        self._keep(application_id=self._find_application() or self._make_application())
        for member, key in held.items():
            if not self._works(key):
                self._keep(**{member: self._make_key(ApiKeyKind(member.removesuffix("_key")))})

    def _find_application(self) -> str | None:
        """The id of the enabled application that earlier demos made."""
        applications = self._run_json("applications", "list")
        found = [one for one in applications if one["name"] == APPLICATION and not one["disabledAt"]]
        return next((str(one["id"]) for one in found), None)

    def _make_application(self) -> str:
        origins = [word for origin in ORIGINS for word in ("--origin", origin)]
        return str(self._run_json("applications", "create", APPLICATION, "--kind", "browser", *origins)["id"])

    def _make_key(self, kind: ApiKeyKind) -> str:
        made = self._run_json("keys", "create", self.furniture.application_id, f"--{kind}")
        key = next((text for text in _texts(made) if _is_key(text, kind)), None)
        if key is None:
            raise DemoError("`keybearer keys create` printed no key.")
        deadline = time.monotonic() + SEEN_WITHIN
        while not self._works(key):
            if time.monotonic() > deadline:
                raise DemoError(f"The service does not know the new {kind} key after {SEEN_WITHIN:.0f} s.")
            time.sleep(0.02)
        return key

    def _make_user(self) -> None:
        if not self.furniture.password:
            self._keep(password=encode_base64url(self._randomness(18)))
        if self._can_log_in():
            return
        password = self.furniture.password + "\n"
        names = ("--first-name", "Demo", "--last-name", "User")
        try:
            run_command(self._home, "users", "create", USERNAME, *names, "--password-stdin", stdin=password)
        except DemoError:
            run_command(self._home, "users", "set-password", USERNAME, "--password-stdin", stdin=password)

    def _works(self, key: str) -> bool:
        """Whether the service takes the key: it goes on to miss the access token."""
        if not key:
            return False
        answer = self._client.get("/oauth/token/info", headers={"Api-Key": key})
        return _decide(answer, {401: True, 403: False})

    def _can_log_in(self) -> bool:
        """Whether the user is there with this password; the session for the test is ended."""
        headers = {"Api-Key": self.furniture.publishable_key}
        body = {"username": self.furniture.username, "password": self.furniture.password}
        answer = self._client.post("/oauth/token", headers=headers, json=body)
        if not _decide(answer, {200: True, 401: False}):
            return False
        token = answer.json()["data"]["attributes"]["accessToken"]
        self._client.post("/oauth/token/revoke", headers=headers | {"Authorization": f"Bearer {token}"})
        return True

    def _run_json(self, *words: str) -> Any:
        return json.loads(run_command(self._home, *words, "--json"))


def _decide(answer: httpx2.Response, meaning: dict[int, bool]) -> bool:
    """What the status means; any other is a DemoError, which shows the refusal."""
    if answer.status_code not in meaning:
        raise DemoError(f"The service refuses the demo: {answer.status_code} {answer.text}")
    return meaning[answer.status_code]


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _is_key(text: str, kind: ApiKeyKind) -> bool:
    parsed = parse_api_key(text)
    return parsed is not None and parsed.kind is kind
