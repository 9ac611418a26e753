"""The examples that a demo runs beside its service: the notes service, and the page that a person tries it all with."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from keybearer.server.cli.demo_page import Page, build, served
from keybearer.server.cli.demo_service import HOST, DemoError, Home, Program, check_port, running
from keybearer.server.cli.demo_setup import BASE_PATH, Furniture

NOTES_PORT = 8200


@dataclass(frozen=True, slots=True)
class Examples:
    """The directory of the examples, and where two of them listen."""

    directory: Path
    notes_port: int
    page_port: int

    @property
    def notes_url(self) -> str:
        return f"http://{HOST}:{self.notes_port}"


@contextmanager
def running_examples(home: Home, url: str, furniture: Furniture, examples: Examples) -> Iterator[None]:
    """Both until the block ends; `url` is the service's. One that cannot run is left out, and it is said why."""
    with ExitStack() as stack:
        try:
            check_port("notes service", examples.notes_port, "--notes-port")
            stack.enter_context(running(home, make_notes(home, url, furniture, examples)))
            print(f"Notes         {examples.notes_url}, guarded: {examples.directory / 'fastapi-service'}", flush=True)
        except DemoError as error:
            print(f"The notes service is left out. {error}", flush=True)
        try:
            check_port("page", examples.page_port, "--page-port")
            page = make_page(home, url, furniture, examples)
            build(page)
            stack.enter_context(served(page.target, examples.page_port, [url, examples.notes_url]))
            print(f"The page      {furniture.page_url}: log in there with the user and the password above.", flush=True)
        except DemoError as error:
            print(f"The page is left out. {error}", flush=True)
        print(flush=True)
        yield


def make_notes(home: Home, url: str, furniture: Furniture, examples: Examples) -> Program:
    """examples/fastapi-service, open to the page."""
    settings = {
        "NOTES_AUTH_URL": url,
        "NOTES_GUARD_KEY": furniture.guard_key,
        "NOTES_ORIGINS": f"http://localhost:{examples.page_port},http://{HOST}:{examples.page_port}",
        "NOTES_DATABASE": str(home.path / "notes.db"),
        "NOTES_PORT": str(examples.notes_port),
    }
    script = examples.directory / "fastapi-service" / "service.py"
    health = f"{examples.notes_url}/health"
    return Program("notes", "notes service", health, (str(script),), os.environ | settings)


def make_page(home: Home, url: str, furniture: Furniture, examples: Examples) -> Page:
    """examples/react-app, with the addresses of this demo and the key of the page's application."""
    settings = {
        "REACT_APP_AUTH_API_KEY": furniture.page_key,
        "REACT_APP_AUTH_URL": url + BASE_PATH,
        "REACT_APP_API_URL": examples.notes_url,
    }
    return Page(examples.directory / "react-app", home.path / "page", home.log("page"), settings)
