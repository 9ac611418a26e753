"""The first tables.

Instants are milliseconds since the epoch. Ids are UUIDs of version 7 (16 bytes on SQLite). Lists are JSON text.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None

ID = sa.LargeBinary(16).with_variant(sa.Uuid(), "postgresql")
INSTANT = sa.BigInteger
COUNTED = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_applications()
    _create_users()
    _create_session()
    _create_secret_key()
    _create_feed()
    _create_the_limiters_tables()
    _create_audit_event()


def _create_applications() -> None:
    op.create_table(
        "application",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("origins", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_key",
        sa.Column("id", ID, primary_key=True),
        sa.Column("application_id", ID, sa.ForeignKey("application.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key_hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.Column("last_used_at", INSTANT),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 80},
    )


def _create_users() -> None:
    op.create_table(
        "users",  # `user` is a reserved word
        sa.Column("id", ID, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("first_name", sa.Text, nullable=False),
        sa.Column("last_name", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("ver", sa.BigInteger, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sqlite_with_rowid=False,
    )
    # What a user logs in with. The user's row has the same texts; here each is unique, and found.
    op.create_table(
        "identifier",
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "password",
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_session() -> None:
    # A refresh changes no column that stands in an index or in an index's condition, and finds room in its page: so
    # PostgreSQL changes the row in place (a HOT update) and no index grows.
    op.create_table(
        "session",
        sa.Column("id", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("application_id", ID, sa.ForeignKey("application.id"), nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("moved_at", INSTANT, nullable=False),
        sa.Column("token_key_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("last_used_at", INSTANT, nullable=False),
        sa.Column("idle_until", INSTANT, nullable=False),
        sa.Column("absolute_until", INSTANT, nullable=False),
        sa.Column("access_until", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("idempotency_hash", sa.LargeBinary),
        sa.Column("revoked_reason", sa.Text),
        sa.Column("first_address", sa.Text, nullable=False),
        sa.Column("first_agent", sa.Text, nullable=False),
        sa.Column("last_address", sa.Text),  # NULL: as the first
        sa.Column("last_agent", sa.Text),  # NULL: as the first
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 95},
    )
    op.create_index("session_of_user", "session", ["user_id"])
    # By the hour: PostgreSQL stores equal keys once, so this index takes a third of the room.
    op.create_index("session_absolute_hour", "session", [sa.text("(absolute_until / 3600000)")])
    ended = sa.text("revoked_at IS NOT NULL")
    op.create_index("session_ended", "session", ["revoked_at"], postgresql_where=ended, sqlite_where=ended)


def _create_secret_key() -> None:
    op.create_table(
        "secret_key",
        sa.Column("id", COUNTED, primary_key=True, autoincrement=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("encrypted", sa.LargeBinary, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("usable_from", INSTANT, nullable=False),
        sa.Column("activated_at", INSTANT),
        sa.Column("retired_at", INSTANT),
    )
    # One next and one active key of a purpose, whoever adds them at the same time.
    used = sa.text("state IN ('next', 'active')")
    op.create_index(
        "secret_key_in_use", "secret_key", ["purpose", "state"], unique=True, postgresql_where=used, sqlite_where=used
    )


def _create_feed() -> None:
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),  # entries up to here may have been removed
        sa.Column("key_set_version", sa.BigInteger, nullable=False),
        postgresql_with={"fillfactor": 10},
    )
    postgres = context.get_context().dialect.name == "postgresql"
    epoch = "replace(gen_random_uuid()::text, '-', '')" if postgres else "lower(hex(randomblob(16)))"
    op.execute(f"INSERT INTO feed (id, epoch, position, floor, key_set_version) VALUES (1, {epoch}, 0, 0, 0)")
    op.create_table(
        "revocation",
        sa.Column("position", COUNTED, primary_key=True, autoincrement=False),
        sa.Column("ver", sa.BigInteger, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("subject_id", ID),
        sa.Column("kind", sa.Text, nullable=False),
    )
    op.create_index("revocation_expires_at", "revocation", ["expires_at"])


def _create_the_limiters_tables() -> None:
    op.create_table(
        "attempt",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("full_at", INSTANT, nullable=False),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "known_place",
        sa.Column("user_id", ID, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("place_hash", sa.LargeBinary, primary_key=True),
        sa.Column("seen_at", INSTANT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("known_place_seen_at", "known_place", ["seen_at"])


def _create_audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", COUNTED, sa.Identity(), primary_key=True),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user_id", ID),
        sa.Column("application_id", ID),
        sa.Column("session_id", ID),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,  # an id is never used again
    )


def downgrade() -> None:
    for table in (
        *("audit_event", "known_place", "attempt", "revocation", "feed", "secret_key", "session", "password"),
        *("identifier", "users", "api_key", "application"),
    ):
        op.drop_table(table)
