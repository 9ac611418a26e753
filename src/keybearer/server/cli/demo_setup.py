"""What a demo works with: an application, its keys and a user, made once with the commands that operators use.

Everything made is written down at once, and checked by asking the service before it is used again. So a demo that was
killed at any point is carried on by the next one.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import httpx2

from keybearer.base64url import encode_base64url
from keybearer.credentials.api_key import ApiKeyKind
from keybearer.server.cli.demo_service import HOST, DemoError, DemoProcess, Home

APPLICATION = "Keybearer demo"
PAGE_PORT = 5173
USERNAME = "demo@example.com"
BASE_PATH = "/v1/api"

PAGE_TOKEN_LIFETIME = "15s"
"""That of the page's application: short, so that people can watch an access token end."""

SEEN_WITHIN = 10.0
"""Seconds until the service must have seen what a command wrote; it takes a few hundredths of one."""


@dataclass(frozen=True, slots=True)
class Furniture:
    """What has been made so far; an empty text stands for what has not.

    `guard_key` is for the guards of services; `page_key` is of an application of its own, for the page at `page_url`.
    """

    application_id: str = ""
    publishable_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    guard_key: str = field(default="", repr=False)
    page_key: str = field(default="", repr=False)
    page_url: str = ""
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
        json.dump({name: value for name, value in asdict(furniture).items() if value}, file, indent=2)
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

    def __init__(self, home: Home, url: str, randomness: Callable[[int], bytes]) -> None:
        self._home = home
        self._client = httpx2.Client(base_url=url + BASE_PATH, timeout=30, trust_env=False)
        self._randomness = randomness
        self.furniture = load(home)

    def furnish(self, service: DemoProcess, page_port: int | None) -> Furniture:
        """Everything that the demo needs, working; with a port, what its page needs too. Raises DemoError."""
        try:
            with self._client:
                self._make_keys()
                self._make_user()
                if page_port is not None:
                    self._make_page_key(page_port)
        except httpx2.RequestError as error:
            service.check_alive()
            raise DemoError(f"The service does not answer: {error}.") from None
        return self.furniture

    def _keep(self, **changes: str) -> None:
        self.furniture = replace(self.furniture, **changes)
        save(self._home, self.furniture)

    def _make_keys(self) -> None:
        made = self.furniture
        if all(self._works(key) for key in (made.publishable_key, made.secret_key, made.guard_key)):
            return
        self._make_application()
        if not self._works(self.furniture.publishable_key):
            self._keep(publishable_key=self._make_key(ApiKeyKind.PUBLISHABLE))
        if not self._works(self.furniture.secret_key):
            self._keep(secret_key=self._make_key(ApiKeyKind.SECRET))
        if not self._works(self.furniture.guard_key):
            self._keep(guard_key=self._make_key(ApiKeyKind.SECRET, "--permission", "guard"))

    def _make_application(self) -> None:
        application_id, key = self._find_or_make_application(APPLICATION, PAGE_PORT)
        self._keep(application_id=application_id, **({"publishable_key": key} if key else {}))

    def _make_page_key(self, port: int) -> None:
        url = f"http://{HOST}:{port}"
        if self.furniture.page_url == url and self._works(self.furniture.page_key):
            return
        lifetime = ("--access-token-lifetime", PAGE_TOKEN_LIFETIME)
        application_id, key = self._find_or_make_application(f"{APPLICATION} page, port {port}", port, *lifetime)
        self._keep(page_url=url, page_key=key or self._make_key(ApiKeyKind.PUBLISHABLE, of=application_id))

    def _find_or_make_application(self, name: str, page_port: int, *options: str) -> tuple[str, str]:
        """The application that earlier demos made, by its id, enabled again if need be; or a new one and its key."""
        found = next((one for one in self._run("applications", "list") if one["name"] == name), None)
        if found is None:
            origins = ("--origin", f"http://localhost:{page_port}", "--origin", f"http://{HOST}:{page_port}")
            made = self._run("applications", "create", name, "--kind", "browser", *origins, *options)
            return made["id"], self._seen(made["api_key"])
        if found["state"] != "enabled":
            self._run("applications", "enable", found["id"])
        return found["id"], ""

    def _make_key(self, kind: ApiKeyKind, *options: str, of: str = "") -> str:
        application_id = of or self.furniture.application_id
        made = self._run("keys", "create", application_id, "--kind", kind.value, *options)
        return self._seen(made["api_key"])

    def _seen(self, key: str) -> str:
        """The key, once the service knows it."""
        deadline = time.monotonic() + SEEN_WITHIN
        while not self._works(key):
            if time.monotonic() > deadline:
                raise DemoError(f"The service does not know a new key after {SEEN_WITHIN:.0f} s.")
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
            run_command(self._home, "users", "enable", USERNAME)

    def _works(self, key: str) -> bool:
        """Whether the service takes the key: it goes on to miss the access token."""
        if not key:
            return False
        answer = self._client.get("/oauth/token/info", headers={"Api-Key": key})
        return _decide(answer, {401: True, 403: False})

    def _can_log_in(self) -> bool:
        """Whether the user is there, enabled and with this password; the session for the test is ended."""
        headers = {"Api-Key": self.furniture.publishable_key}
        body = {"username": self.furniture.username, "password": self.furniture.password}
        answer = self._client.post("/oauth/token", headers=headers, json=body)
        if not _decide(answer, {200: True, 401: False, 403: False}):
            return False
        token = answer.json()["data"]["attributes"]["accessToken"]
        self._client.post("/oauth/token/revoke", headers=headers | {"Authorization": f"Bearer {token}"})
        return True

    def _run(self, *words: str) -> Any:
        return json.loads(run_command(self._home, *words, "--json"))


def _decide(answer: httpx2.Response, meaning: dict[int, bool]) -> bool:
    """What the status means; any other is a DemoError, which shows the refusal."""
    if answer.status_code not in meaning:
        raise DemoError(f"The service refuses the demo: {answer.status_code} {answer.text}")
    return meaning[answer.status_code]
