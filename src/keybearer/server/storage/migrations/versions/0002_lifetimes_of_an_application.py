"""Lifetimes of an application's own.

Expands only: NULL, which every row has at once, means the service's own setting, as the release before has it for all.
So nothing is backfilled, and both releases work on these tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = ("access_token_lifetime", "session_idle_lifetime", "session_absolute_lifetime")


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("application", sa.Column(column, sa.Integer))


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("application", column)
