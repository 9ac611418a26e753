"""The tables, as Alembic revisions. `schema.py` runs them; `versions/0001_tables.py` is the place to read them.

A revision only expands (new tables, new columns that are nullable or have a default, backfilled in batches), so that
the release before it goes on working beside it; what is no longer used is removed one release later.
"""
