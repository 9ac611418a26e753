"""Static files for browsers to load, as they are at that moment; and the origin that belongs to nobody."""

import asyncio
from pathlib import Path

from aiohttp import hdrs, web

from tests.stage.serving import of_everybody

STRICT = "/csp"
"""Paths under this one serve the same files with a strict content security policy."""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class Pages:
    """The files of a directory, None for no files. Set `connect` before the first request: the origins that pages with
    the policy may ask."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory.resolve() if directory is not None else None
        self.connect: tuple[str, ...] = ()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        strict = request.path.startswith(f"{STRICT}/")
        headers: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}
        if strict:
            headers["Content-Security-Policy"] = self._policy()
        file = self._find(request.path.removeprefix(STRICT) if strict else request.path)
        if file is None:
            return web.Response(status=404, text="There is no such page.", headers=headers)
        headers[hdrs.CONTENT_TYPE] = TYPES.get(file.suffix, "application/octet-stream")
        return web.Response(body=await asyncio.to_thread(file.read_bytes), headers=headers)

    def _find(self, path: str) -> Path | None:
        if self._directory is None or "\0" in path:
            return None
        file = (self._directory / path.lstrip("/")).resolve()
        file = file / "index.html" if file.is_dir() else file
        return file if file.is_relative_to(self._directory) and file.is_file() else None

    def _policy(self) -> str:
        connect = " ".join(("'self'", *self.connect))
        return (
            f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {connect}; "
            "base-uri 'none'; frame-ancestors 'none'"
        )


def elsewhere() -> web.Application:
    """An origin that takes whatever it is sent, from every page, and answers 200."""

    async def answer(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        return web.json_response({"elsewhere": True}, headers=of_everybody(request.headers))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app
