"""A real Chromium, with a page whose origin is the application's: its script asks another origin, and tells what the
browser let it read."""

import asyncio
import json
import os
import shutil
import ssl
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from keybearer.base64url import encode_base64url
from keybearer.credentials.api_key import RANDOM_BYTES, ApiKeyKind, make_api_key
from keybearer.jose.keys import SigningKey
from tests.guard.integrations.answers import Verdict
from tests.guard.test_tls import Authority
from tests.http.world import ORIGIN
from tests.support.programs import find_program

HANG = 60.0
"""Seconds after which a browser that has told nothing has failed."""

ARGUMENTS = (
    "--headless",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--ignore-certificate-errors",  # the authority of a test is nobody's
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)
"""Those of packages/keybearer-js/tests/support/chromium.ts, without a person and with a certificate of our own."""

_PAGE = """<!doctype html><html lang="en"><title>A page</title><script type="module">
async function read(headers) {
  const answer = await fetch(URL, { headers });
  const { errors: [{ code }] = [{ code: "" }] } = await answer.json();
  return { status: answer.status, code, challenge: answer.headers.get("WWW-Authenticate") };
}
const told = {};
for (const [name, headers] of Object.entries(REQUESTS)) {
  told[name] = await read(headers).catch((error) => error.name);
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
</script></html>"""

Told = Verdict | str
"""What the script of the page has read; or the name of the exception that it has met."""

NOTHING_TO_READ = "TypeError"
"""A network error of the Fetch standard: the browser has not sent the request, or shows no answer."""

SAID: Mapping[str, Told] = {
    "both credentials": Verdict(200),
    "a stranger's token": Verdict(
        401,
        "access_token_invalid",
        'Bearer error="invalid_token", error_description="The access token is not one that this service accepts."',
    ),
    "no token": Verdict(401, "access_token_missing", "Bearer"),
    "an unknown key": Verdict(403, "api_key_invalid"),
    "no credentials": Verdict(403, "api_key_missing"),
    "a header that was not allowed": NOTHING_TO_READ,
}
"""By what the page has sent. All but one are preceded by a preflight; the last one shows that the browser sends it, and
goes by the answer."""


async def tell_from_a_page(url: str, key: str, token: str) -> dict[str, Told]:
    """What a page hears at this address, by the names of `SAID`. Key (a publishable one) and access token are good."""
    api_key, bearer = {"Api-Key": key}, {"Authorization": f"Bearer {token}"}
    requests: tuple[dict[str, str], ...] = (
        {**api_key, **bearer},
        {**api_key, "Authorization": f"Bearer {_signed_by_a_stranger(token)}"},
        api_key,
        {"Api-Key": make_api_key(ApiKeyKind.PUBLISHABLE, b"u" * RANDOM_BYTES), **bearer},
        {},
        {**api_key, **bearer, "X-Nobody-Allowed-This": "x"},
    )
    return await _visit(url, dict(zip(SAID, requests, strict=True)))


def _signed_by_a_stranger(token: str) -> str:
    signing_input = token.rpartition(".")[0]
    signature = SigningKey.generate("ES256").sign(signing_input.encode())
    return f"{signing_input}.{encode_base64url(signature)}"


async def _visit(url: str, requests: Mapping[str, Mapping[str, str]]) -> dict[str, Told]:
    program = find_chromium()
    told: asyncio.Future[dict[str, Told]] = asyncio.get_running_loop().create_future()
    page = _PAGE.replace("URL", json.dumps(url)).replace("REQUESTS", json.dumps(requests))
    with _directory() as home:
        async with _serving(page, told, Authority.new(home)) as port, _chromium(program, port, home):
            async with asyncio.timeout(HANG):
                return await told


@contextmanager
def _directory() -> Iterator[Path]:
    """For a profile, to which a process of the browser may write for a moment when the browser has ended."""
    home = Path(tempfile.mkdtemp(prefix="keybearer-chromium-"))
    try:
        yield home
    finally:
        end = time.monotonic() + HANG
        while home.exists():
            assert time.monotonic() < end, f"{home} cannot be removed"
            shutil.rmtree(home, ignore_errors=True)


def find_chromium() -> str:
    """KEYBEARER_CHROMIUM, or Debian's."""
    return os.environ.get("KEYBEARER_CHROMIUM") or find_program("chromium", "chromium")


@asynccontextmanager
async def _serving(page: str, told: "asyncio.Future[dict[str, Told]]", authority: Authority) -> AsyncIterator[int]:
    """The port of what answers for the page's origin."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def listen(request: web.Request) -> web.Response:
        told.set_result(msgspec.json.decode(await request.read(), type=dict[str, Told]))
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/", show), web.post("/told", listen)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_context(authority)).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _context(authority: Authority) -> ssl.SSLContext:
    return authority.context(urlsplit(ORIGIN).hostname or "")


@asynccontextmanager
async def _chromium(program: str, port: int, home: Path) -> AsyncIterator[None]:
    """The browser, with its page open. The page's host is this machine, whatever a resolver says."""
    process = await asyncio.create_subprocess_exec(
        *(program, *ARGUMENTS, f"--user-data-dir={home / 'profile'}"),
        f"--host-resolver-rules=MAP {urlsplit(ORIGIN).hostname} 127.0.0.1:{port}",
        f"{ORIGIN}/",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        async with asyncio.timeout(HANG):
            await process.wait()
