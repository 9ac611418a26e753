"""The page of a demo, examples/react-app: built by Node when there is need, and served from this process."""

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from keybearer.server.cli.demo_service import HOST, DemoError

NODE_NEEDED = "It needs Node 20.19 or newer and npm; with them, `make setup` gets the rest."

_PAGE_SOURCES = ("src", "public", "index.html", "package.json", "vite.config.ts")
_LIBRARY_SOURCES = ("src", "scripts", "package.json", "tsconfig.json", "tsconfig.build.json")


@dataclass(frozen=True, slots=True)
class Page:
    """Where the page's sources are, where its files come to stand, and what is put into it, by the variables' names."""

    source: Path
    target: Path
    log: Path
    settings: Mapping[str, str]

    @property
    def workspace(self) -> Path:
        return self.source.parents[1]


def build(page: Page) -> None:
    """Build the page, unless the files are those of the same sources and settings. Raises DemoError."""
    if not (page.workspace / "node_modules" / "vite").is_dir() or shutil.which("npm") is None:
        raise DemoError(NODE_NEEDED)
    with (page.workspace / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # demos in other directories build the same library
        _build_what_is_old(page)


def _build_what_is_old(page: Page) -> None:
    library = page.workspace / "packages" / "keybearer-js"
    sources = [*_under(library, _LIBRARY_SOURCES), *_under(page.source, _PAGE_SOURCES)]
    stamp = page.target.with_suffix(".built")
    state = json.dumps([_newest(sources), dict(page.settings)])
    if _read(stamp) == state:
        return
    print("Building the page. This is done once.", flush=True)
    last_written = library / "dist" / "cjs" / "package.json"
    if not last_written.exists() or _newest(_under(library, _LIBRARY_SOURCES)) > last_written.stat().st_mtime_ns:
        _run_script(page, library, "build")
    _run_script(page, page.source, "build", "--", "--outDir", str(page.target), "--emptyOutDir")
    stamp.write_text(state)


def _under(directory: Path, names: Iterable[str]) -> list[Path]:
    return [directory / name for name in names]


def _newest(paths: Iterable[Path]) -> int:
    """When the youngest of these files, of what is in them, and of the directories was changed, in nanoseconds."""
    return max(one.stat().st_mtime_ns for path in paths for one in (path, *path.rglob("*")))


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _run_script(page: Page, directory: Path, *words: str) -> None:
    with page.log.open("ab") as log:
        finished = subprocess.run(  # noqa: S603 - a script of this repository
            ["npm", "run", *words],  # noqa: S607 - the one of PATH, as for `make setup`
            cwd=directory,
            env={**os.environ, "NODE_ENV": "production", **page.settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode != 0:
        raise DemoError(f"It could not be built; {page.log} says why.")


@contextmanager
def served(directory: Path, port: int, connects_to: Iterable[str]) -> Iterator[None]:
    """Serve the page until the block ends. It may connect to these addresses, and to nothing else. Raises DemoError."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": " ".join(f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, connects_to)),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    text = "; ".join(f"{name} {value}" for name, value in policy.items())
    handler = partial(_Handler, directory=str(directory), policy=text)
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise DemoError(f"The page cannot listen on {HOST}:{port}: {error.strerror}.") from None
    with server:
        thread = threading.Thread(target=server.serve_forever, name="page", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    """The files; at every other address the page itself, which knows its own addresses."""

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012 - as the base class has it; what the system has for them differs
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml",
        "": "application/octet-stream",
    }

    def __init__(self, *arguments: Any, policy: str, **options: Any) -> None:
        self._policy = policy
        super().__init__(*arguments, **options)

    def send_head(self) -> Any:
        if not PurePosixPath(urlsplit(self.path).path).suffix:
            self.path = "/index.html"
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self._policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Nothing: the terminal is the demo's."""
