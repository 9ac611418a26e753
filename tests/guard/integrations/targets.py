"""Every integration, as its page of docs/integrations has it, on a real socket and guarded by a guard of its own."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import django
import django.conf
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from keybearer.guard import Guard
from tests.guard.integrations.pages import imported, write
from tests.guard.integrations.servers import Address, serving_asgi, serving_wsgi
from tests.http.world import World

Serve = Callable[[Any], AbstractAsyncContextManager[Address]]


@dataclass(frozen=True, slots=True)
class Target:
    """An integration. `path` is a guarded one, `live` that of a guarded WebSocket.

    `has_routes`: besides, `/admin` requires a role, `/scoped` a scope, `/public` a key only, `/health` nothing.
    """

    name: str
    pages: tuple[str, ...]
    serve: Serve
    module: str = "service"
    path: str = "/notes"
    live: str | None = None
    has_routes: bool = True

    @asynccontextmanager
    async def running(self, directory: Path, auth_url: str, guard_key: str) -> AsyncIterator[Address]:
        """The page's application, with a guard that has started, until the block ends."""
        with ExitStack() as stack:
            names = {"AUTH_URL": auth_url, "GUARD_KEY": guard_key, "DJANGO_SECRET_KEY": "of the tests"}
            stack.enter_context(patch.dict(os.environ, names))
            write(self.pages, directory)
            module = stack.enter_context(imported(directory, self.module))
            app = self._app(module, stack)
            guard = _guard_of(module)
            stack.callback(guard.close)
            await asyncio.to_thread(guard.start)
            async with self.serve(app) as address:
                yield address

    def _app(self, module: ModuleType, stack: ExitStack) -> Any:
        if self.module != "settings":
            return module.app
        set_up_django()
        values = {name: value for name, value in vars(module).items() if name.isupper()}
        stack.enter_context(override_settings(**values))
        return ASGIHandler() if self.serve is serving_asgi else WSGIHandler()


def _guard_of(module: ModuleType) -> Guard:
    guard = module.KEYBEARER["GUARD"] if hasattr(module, "KEYBEARER") else module.guard
    assert isinstance(guard, Guard)
    return guard


def set_up_django() -> None:
    """Once in a process; each target brings its own settings then."""
    if not django.conf.settings.configured:
        django.conf.settings.configure(
            SECRET_KEY="of the tests", INSTALLED_APPS=["corsheaders"], LOGGING_CONFIG=None, USE_TZ=True
        )
        django.setup()


def url_of(world: World) -> str:
    """The address that a guard of this service is given."""
    return "http://{}:{}".format(*world.address)


TARGETS = (
    Target("asgi", ("asgi.md",), serving_asgi, live="/live"),
    Target("fastapi", ("fastapi.md",), serving_asgi, live="/live"),
    Target("fastapi in five lines", ("fastapi.md",), serving_asgi, module="five_lines", has_routes=False),
    Target("django under asgi", ("django.md",), serving_asgi, module="settings"),
    Target("django under asgi, async view", ("django.md",), serving_asgi, module="settings", path="/notes-later"),
    Target("django under wsgi", ("django.md",), serving_wsgi, module="settings"),
    Target("django under wsgi, async view", ("django.md",), serving_wsgi, module="settings", path="/notes-later"),
    Target("flask", ("flask.md",), serving_wsgi),
    Target("wsgi", ("wsgi.md", "cors.md"), serving_wsgi),
)
