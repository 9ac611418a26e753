"""The two databases, behind `ports.Storage`. Written once:

    operations/    what is done, as generators that yield statements and are sent rows; no I/O
    stores.py      the ports' methods, each an operation given to a runner
    rows.py        rows to domain values
    sqlite.py      a runner: one writer thread with group commit, one reader thread
    postgres.py    a runner: a pool of connections
    schema.py      the state of the tables and their migration, on both
    scripts.py     what a migration runs, as Alembic (`migrations/`) writes it

The SQL of the operations is PostgreSQL's; `dialects.py` says what SQLite is given instead.
"""
