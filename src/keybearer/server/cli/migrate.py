"""`keybearer migrate`: bring the database to the state that this release needs."""

import os

from keybearer.cli.ending import fail
from keybearer.cli.importing import make_app
from keybearer.cli.shown import Record, Shown, command
from keybearer.server.cli.working import explained
from keybearer.server.settings import load_settings
from keybearer.server.storage.plan import TablesInUse
from keybearer.server.storage.schema import HEAD, SchemaState, current_revision, schema_state
from keybearer.server.storage.schema import migrate as migrate_schema

app = make_app()


@command(app, "migrate")
def migrate() -> Shown:
    """Bring the tables of the database up to date.

    To be run once per release, before the service starts. Safe to repeat. With SQLite every command does it itself.
    """
    with explained():
        settings = load_settings(os.environ)
        if schema_state(settings.database) is SchemaState.AHEAD:
            fail("A newer release has migrated the database; this one cannot use it.")
        before = current_revision(settings.database)
        try:
            migrate_schema(settings.database)
        except TablesInUse:
            fail("Something uses the tables for long, as a dump does: nothing was changed. Run this again afterwards.")
    note = "Nothing was to be done." if before == HEAD else "The database is up to date."
    return Record({"revision": HEAD, "before": before}, note)
