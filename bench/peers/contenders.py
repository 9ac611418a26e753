"""Who takes part, and how each is set up: as its documentation recommends, with one worker. Where that leaves a choice,
the faster way is taken."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peers import hashes
from bench.peers.contender import CHECK, LOGIN, REFRESH, Contender, Service, get, post_form, post_json
from bench.peers.process import PeerProcess, prepare, python
from bench.service import PASSWORD, Bench, durable_postgres, generated_world, postgres_bench, sqlite_bench
from tests.support.postgres import TemporaryServer

TOKENS = 1000
USERS = 1000
"""Of Keybearer, where a user has 100 sessions at most, and a new one ends the oldest. The peers have 100 users."""


# Sessions for one round of refreshes: more than any contender of the kind comes to.
OUR_REFRESHES = 24_000
IN_MEMORY_REFRESHES = 10_000
DJANGO_REFRESHES = 1500


@contextmanager
def all_contenders(rounds: int) -> Iterator[list[Contender]]:
    """With their databases and data for so many rounds."""
    with ExitStack() as stack:
        ours = [stack.enter_context(bench) for bench in (sqlite_bench(), postgres_bench())]
        made = [_keybearer(bench, rounds) for bench in ours]
        for make in (_oidc_provider, _simplejwt, _oauth_toolkit, _fastapi_users, _better_auth):
            made.append(make(_directory(stack), rounds))
        for make_with in (_simplejwt, _oauth_toolkit):
            made.append(make_with(_directory(stack), rounds, stack.enter_context(durable_postgres())))
        yield made


def _directory(stack: ExitStack) -> Path:
    return Path(stack.enter_context(TemporaryDirectory(prefix="keybearer-bench-", dir=Path.cwd())))


def _keybearer(bench: Bench, rounds: int) -> Contender:
    api_key = asyncio.run(_make_data(bench, rounds))
    base = "/v1/api/oauth/token"
    return Contender(
        f"Keybearer, {bench.name}",
        "`keybearer serve` as installed; ES256",
        bench.directory,
        lambda _: bench.start(),
        {
            CHECK: get(f"{base}/info", Api_Key=api_key),
            REFRESH: post_json(f"{base}/refresh", "refresh_token", Api_Key=api_key),
            LOGIN: post_json(base, "username", "password", Api_Key=api_key),
        },
        '"type":"token"',
        hashes.OURS,
        ours=True,
    )


async def _make_data(bench: Bench, rounds: int) -> str:
    """The files of a contender; answers the Api-Key."""
    async with generated_world(bench, users=USERS) as world:
        _write(bench, "users", [f"{user.email} {PASSWORD}" for user in world.users])
        _write(bench, "access", [tokens.access_token for tokens in await world.sessions(TOKENS)])
        for turn in range(rounds):
            made = await world.sessions(OUR_REFRESHES)
            _write(bench, f"refresh-{turn}", [tokens.refresh_token for tokens in made])
        return world.api_key


def _write(bench: Bench, name: str, lines: list[str]) -> None:
    (bench.directory / name).write_text("\n".join(lines) + "\n")


def _oidc_provider(directory: Path, _: int) -> Contender:
    """Makes its sessions itself, at each start: it has nothing but its memory."""

    def start(turn: int) -> AbstractContextManager[Service]:
        counts = (str(TOKENS), str(IN_MEMORY_REFRESHES))
        command = ("node", "server.js", "{port}", str(directory), str(turn), *counts)
        return PeerProcess("oidc_provider", directory, command, {"NODE_ENV": "production"})

    return Contender(
        "oidc-provider, in memory",
        "a public client; opaque access tokens, userinfo; a refresh comes with an ID token, ES256",
        directory,
        start,
        {
            CHECK: get("/me"),
            REFRESH: post_form("/token", "refresh_token", fixed={"grant_type": "refresh_token", "client_id": "bench"}),
        },
        '"sub":"user0"',
    )


def _simplejwt(directory: Path, rounds: int, server: TemporaryServer | None = None) -> Contender:
    peer = _Django("simplejwt", directory, server)
    peer.prepare(rounds)
    return Contender(
        f"simplejwt, {peer.database}",
        "HS256; the stateless authentication, which reads no user; rotation and blacklist",
        directory,
        lambda _: peer.start(),
        {
            CHECK: get("/info/"),
            REFRESH: post_json("/token/refresh/", "refresh"),
            LOGIN: post_json("/token/", "username", "password"),
        },
        '"user_id"',
        hashes.DJANGO,
    )


def _oauth_toolkit(directory: Path, rounds: int, server: TemporaryServer | None = None) -> Contender:
    peer = _Django("oauth_toolkit", directory, server)
    peer.prepare(rounds)
    key = (directory / "key").read_text().strip()
    client = {"client_id": "bench"}
    return Contender(
        f"django-oauth-toolkit, {peer.database}",
        "a public client; introspection by a token with the scope for it; refresh tokens rotate",
        directory,
        lambda _: peer.start(),
        {
            CHECK: post_form("/o/introspect/", "token", fixed={}, Authorization=f"Bearer {key}"),
            REFRESH: post_form("/o/token/", "refresh_token", fixed={"grant_type": "refresh_token", **client}),
            LOGIN: post_form("/o/token/", "username", "password", fixed={"grant_type": "password", **client}),
        },
        '"active": true',
        hashes.DJANGO,
    )


@dataclass(frozen=True, slots=True)
class _Django:
    """A peer of Django's on a PostgreSQL of its own; without one, on SQLite."""

    name: str
    directory: Path
    server: TemporaryServer | None

    @property
    def database(self) -> str:
        return "SQLite" if self.server is None else "PostgreSQL"

    @property
    def _environment(self) -> dict[str, str]:
        settings = {"DJANGO_SETTINGS_MODULE": f"{self.name}_settings"}
        return settings if self.server is None else {**settings, "BENCH_POSTGRES": self.server.host}

    def prepare(self, rounds: int) -> None:
        counts = map(str, (TOKENS, DJANGO_REFRESHES, rounds))
        command = (python("django"), "prepare.py", self.name, *counts, PASSWORD)
        prepare("django", self.directory, command, self._environment)

    def start(self) -> PeerProcess:
        """The worker class that keeps connections open: the default one would make a new one for each request."""
        options = ("--bind", "127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread", "--threads", "2")
        command = (python("django"), "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()")
        return PeerProcess("django", self.directory, command, self._environment)


def _fastapi_users(directory: Path, _: int) -> Contender:
    prepare("fastapi_users", directory, (python("fastapi_users"), "prepare.py", str(TOKENS), PASSWORD))
    options = ("--port", "{port}", "--workers", "1", "--no-access-log")
    command = (python("fastapi_users"), "-m", "uvicorn", "app:app", *options)
    return Contender(
        "fastapi-users, SQLite",
        "HS256 and the user's row, by SQLAlchemy and aiosqlite; it has no refresh",
        directory,
        lambda _: PeerProcess("fastapi_users", directory, command, {}),
        {CHECK: get("/users/me"), LOGIN: post_form("/auth/jwt/login", "username", "password", fixed={})},
        '"email":"user0@example.com"',
        hashes.FASTAPI_USERS,
    )


def _better_auth(directory: Path, _: int) -> Contender:
    prepare("better_auth", directory, ("node", "prepare.js", str(TOKENS), PASSWORD))
    command = ("node", "server.js", "{port}")
    return Contender(
        "better-auth, SQLite",
        "opaque tokens; the rows of session and user; it has no refresh",
        directory,
        lambda _: PeerProcess("better_auth", directory, command, {"NODE_ENV": "production"}),
        {
            CHECK: get("/api/auth/get-session"),
            LOGIN: post_json("/api/auth/sign-in/email", "email", "password"),
        },
        '"email":"user0@example.com"',
        hashes.BETTER_AUTH,
    )
