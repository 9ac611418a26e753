"""Migrations as SQL scripts: Alembic writes them, `schema` runs them over the drivers that the storage has anyway."""

import io
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

_MIGRATIONS = Path(__file__).parent / "migrations"
_CHANGES = {"upgrade": command.upgrade, "downgrade": command.downgrade}


def list_revisions() -> list[str]:
    """The revisions of the migrations, the oldest first."""
    return [script.revision for script in reversed(list(open_scripts().walk_revisions()))]


def _config(dialect: str, output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["dialect"] = dialect
    return config


def open_scripts() -> ScriptDirectory:
    """The migrations as Alembic sees them."""
    return ScriptDirectory.from_config(_config("sqlite"))


class _Statements(io.StringIO):
    """Collects what Alembic writes: one statement (or comment) at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        if text.strip() and not text.startswith("--"):
            self.texts.append(text.strip())
        return len(text)


def write_script(direction: str, dialect: str, current: str | None, revision: str) -> Sequence[str]:
    """The statements that lead from the current revision to `revision`; `direction` is upgrade or downgrade."""
    if current == revision or (current is None and revision == "base"):
        return ()
    statements = _Statements()
    _CHANGES[direction](_config(dialect, statements), f"{current or 'base'}:{revision}", sql=True)
    if current is not None:
        return statements.texts
    # Alembic creates its table whenever it starts from nothing; a downgrade to nothing has left it there.
    return ("DROP TABLE IF EXISTS alembic_version", *statements.texts)
