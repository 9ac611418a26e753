"""How the stage's own servers listen, and what they say to pages of other origins."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from aiohttp import hdrs, web

HOST = "127.0.0.1"

MAX_HEAD = 256 * 1024
"""Bytes of a line of a request's head; more than what the service takes, so that it is the service that refuses."""

Cors = Callable[[Mapping[str, str]], dict[str, str]]
"""The CORS headers of the answer to a request with these headers."""


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """The URL at which the application answers, until the block ends. A client that goes away ends its handler."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        max_line_size=MAX_HEAD,
        max_field_size=MAX_HEAD,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        port = runner.addresses[0][1]
        yield f"http://{HOST}:{port}"
    finally:
        await runner.cleanup()


def of_origins(origins: Collection[str]) -> Cors:
    """As the service and the example: what their pages may read."""

    def headers(request: Mapping[str, str]) -> dict[str, str]:
        origin = request.get(hdrs.ORIGIN)
        if origin is None or origin not in origins:
            return {hdrs.VARY: "Origin"}
        return {
            hdrs.VARY: "Origin",
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "WWW-Authenticate, Retry-After, X-Request-Id, Date",
        }

    return headers


def of_everybody(request: Mapping[str, str]) -> dict[str, str]:
    """Any page may send anything and read all."""
    return {
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: request.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD, "*"),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "*"),
        hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "*",
    }
