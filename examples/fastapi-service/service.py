"""Notes per user: a small service that verifies both credentials by itself, with Keybearer's guard.

    python examples/fastapi-service/service.py

Without settings it works beside `keybearer demo`, whose directory it reads the guard's key from. Every setting is a
variable: NOTES_AUTH_URL, NOTES_GUARD_KEY, NOTES_ORIGINS, NOTES_DATABASE, NOTES_PORT.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI
from fastapi import Path as InPath
from fastapi.middleware.cors import CORSMiddleware
from notes import Note, Notes
from pydantic import BaseModel, Field

from keybearer.errors import NotFound
from keybearer.guard import Caller, Guard, GuardError
from keybearer.guard.fastapi import guarded, install

DEMO = Path(".demo") / "demo.json"
HOST = "127.0.0.1"
MAX_TEXT = 10_000
MAX_ID = 2**63 - 1


class SettingsError(Exception):
    """A setting is missing or wrong; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    auth_url: str
    guard_key: str = field(repr=False)
    origins: tuple[str, ...]
    database: Path
    port: int


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    origins = environment.get("NOTES_ORIGINS", "http://localhost:5173,http://127.0.0.1:5173")
    port = environment.get("NOTES_PORT", "8200")
    if not port.isdigit():
        raise SettingsError("NOTES_PORT is a number.")
    return Settings(
        auth_url=environment.get("NOTES_AUTH_URL", "http://127.0.0.1:8100"),
        guard_key=environment.get("NOTES_GUARD_KEY") or _demo_key(),
        origins=tuple(origin for origin in origins.split(",") if origin),
        database=Path(environment.get("NOTES_DATABASE", "notes.db")),
        port=int(port),
    )


def _demo_key() -> str:
    """The guard's key that `keybearer demo` has made in this directory."""
    try:
        key: str = json.loads(DEMO.read_text(encoding="utf-8"))["guard_key"]
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError("Set NOTES_GUARD_KEY, or start `keybearer demo` in this directory first.") from None
    return key


class NewNote(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


def create_app(guard: Guard, notes: Notes, origins: Sequence[str]) -> FastAPI:
    """The service over its parts."""
    verified = Depends(guarded(guard))
    app = FastAPI(title="Notes")
    install(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["Api-Key", "Authorization", "Content-Type", "X-Request-Id"],
        expose_headers=["WWW-Authenticate", "Retry-After", "X-Request-Id", "Date"],
    )

    @app.get("/notes")
    def list_notes(caller: Annotated[Caller, verified]) -> list[Note]:
        return notes.list_notes(caller.user_id)

    @app.post("/notes", status_code=201)
    def add_note(caller: Annotated[Caller, verified], note: NewNote) -> Note:
        return notes.add(caller.user_id, note.text)

    @app.delete("/notes/{note_id}", status_code=204)
    def remove_note(caller: Annotated[Caller, verified], note_id: Annotated[int, InPath(ge=1, le=MAX_ID)]) -> None:
        if not notes.remove(caller.user_id, note_id):
            raise NotFound("You have no such note.")

    @app.get("/health")
    def health() -> dict[str, float]:
        """How many seconds old this service's knowledge of revocations is."""
        return {"staleness": guard.staleness}

    return app


def main() -> None:
    try:
        settings = read_settings(os.environ)
        with Guard(settings.auth_url, settings.guard_key) as guard:
            app = create_app(guard, Notes(settings.database), settings.origins)
            print(f"Notes at http://{HOST}:{settings.port}/notes, described at /docs. Ctrl-C ends it.", flush=True)
            uvicorn.run(app, host=HOST, port=settings.port, log_level="warning")
    except (SettingsError, GuardError, ValueError) as error:
        sys.exit(f"notes: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
