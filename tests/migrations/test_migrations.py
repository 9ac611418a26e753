"""The tables, up and down, with rows in them; and two releases on one database, as during an upgrade."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from keybearer.credentials.api_key import ApiKeyKind
from keybearer.errors import StorageUnavailable
from keybearer.server.domain.api_keys import ApiKey
from keybearer.server.domain.applications import Application, ApplicationKind, Lifetimes
from keybearer.server.domain.attempts import Allowance, Charge
from keybearer.server.domain.secret_keys import KeyPurpose, KeyState, SecretKey
from keybearer.server.domain.sessions import Moved
from keybearer.server.storage import schema, schema_postgres, scripts, sqlite
from keybearer.server.storage.plan import TablesInUse
from keybearer.server.storage.schema import SchemaState
from tests.support import raw_sql
from tests.support.backends import POLICY, Backend, PostgresBackend, SqliteBackend
from tests.support.clock import START
from tests.support.databases import Databases, create_clock
from tests.support.world import HOME, OPERATOR, Login, World, charged

REVISIONS = scripts.list_revisions()
"""From the first to the newest."""


@pytest.fixture
def url(databases: Databases) -> str:
    """A database without tables."""
    return databases.empty()


async def world_on(url: str) -> World:
    """A storage on tables that are there already."""
    backend: Backend
    if (path := schema.sqlite_path(url)) is not None:
        backend = SqliteBackend(path)
    else:
        if not await raw_sql.fetch(url, "SELECT 1 FROM pg_proc WHERE proname = 'test_clock_ms'"):
            await create_clock(url)
        backend = await PostgresBackend.connect(url)
    return World(backend, await backend.open(), POLICY)


async def fill(world: World) -> Login:
    """At least one row in every table."""
    login = await world.log_in(application=await world.application(Lifetimes(60, 600, 6000)))
    await login.move(key="an-idempotency-key-of-22")
    await (await world.log_in(login.user, login.application)).end()
    application_id = login.application.id
    key = ApiKey(world.new_id(), application_id, ApiKeyKind.SECRET, sha256(b"k").digest(), "kbs_", frozenset(), START)
    await world.storage.api_keys.create(key, OPERATOR)
    await charged(world.storage, Charge(b"k" * 32, Allowance(10)))
    secret = SecretKey(1, KeyPurpose.SIGNING, "ES256", "kid", KeyState.ACTIVE, b"sealed", START, START, START)
    await world.storage.secret_keys.add(secret, OPERATOR)
    return login


async def rows(url: str) -> dict[str, int]:
    counts = {}
    for table in await raw_sql.tables(url):
        ((counts[table],),) = await raw_sql.fetch(url, f"SELECT count(*) FROM {table}")
    return counts


# --- up and down ----------------------------------------------------------------------------------------------------


async def test_up_from_nothing(url: str) -> None:
    assert schema.current_revision(url) is None
    assert schema.schema_state(url) is SchemaState.EMPTY
    schema.migrate(url)
    assert list(schema.REVISIONS) == REVISIONS
    assert schema.current_revision(url) == schema.HEAD == REVISIONS[-1]
    assert schema.schema_state(url) is SchemaState.CURRENT


async def test_up_twice_changes_nothing(url: str) -> None:
    schema.migrate(url)
    world = await world_on(url)
    login = await fill(world)
    before = await raw_sql.describe(url), await rows(url)
    schema.migrate(url)
    assert (await raw_sql.describe(url), await rows(url)) == before
    assert isinstance(await (await world.log_in(login.user, login.application)).present(), Moved)
    await world.backend.close_all()


async def test_one_step_at_a_time_leads_to_the_same_tables(databases: Databases) -> None:
    at_once, stepwise = databases.empty(), databases.empty()
    schema.migrate(at_once)
    for revision in REVISIONS:
        schema.migrate(stepwise, revision)
        assert schema.current_revision(stepwise) == revision
    assert await raw_sql.describe(stepwise) == await raw_sql.describe(at_once)


async def test_down_step_by_step_and_up_again_with_rows_in_the_tables(url: str) -> None:
    schema.migrate(url)
    world = await world_on(url)
    login = await fill(world)
    await world.backend.close_all()
    described, counted = await raw_sql.describe(url), await rows(url)
    assert all(counted.values()), "a table has no row to be migrated"
    for revision in reversed(REVISIONS[:-1]):
        schema.downgrade(url, revision)
        assert schema.current_revision(url) == revision
        remaining = await rows(url)
        assert remaining == {table: counted[table] for table in remaining}
    schema.migrate(url)
    assert await raw_sql.describe(url) == described
    assert await rows(url) == counted
    world = await world_on(url)
    login.world = world
    assert (await login.row()).place == 1
    await world.clock.advance(POLICY.refresh_retry_window)
    assert isinstance(await login.present(), Moved)
    await world.backend.close_all()


async def test_down_to_nothing_and_up_again(url: str) -> None:
    schema.migrate(url)
    described = await raw_sql.describe(url)
    world = await world_on(url)
    await fill(world)
    await world.backend.close_all()
    schema.downgrade(url, "base")
    assert schema.current_revision(url) is None
    assert await raw_sql.tables(url) == []
    schema.migrate(url)
    assert await raw_sql.describe(url) == described
    world = await world_on(url)
    await fill(world)
    await world.backend.close_all()


async def test_who_migrates_at_the_same_time_migrates_once(url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(schema.migrate, url) for _ in range(4)))
    assert schema.schema_state(url) is SchemaState.CURRENT
    assert await raw_sql.fetch(url, "SELECT count(*) FROM feed") == [(1,)]


def test_who_opens_a_new_file_at_the_same_time_waits_for_the_others(tmp_path: Path) -> None:
    """About one round in a hundred meets the moment in which SQLite refuses instead of waiting."""

    def open_together(path: Path) -> None:
        together.wait()
        sqlite.connect(path).close()

    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        for number in range(300):
            path = tmp_path / f"{number}.sqlite"
            sqlite.create_file(path)
            list(pool.map(open_together, [path] * 4))


async def test_a_migration_that_fails_midway_leaves_everything_as_it_was(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(url, REVISIONS[0])
    described = await raw_sql.describe(url)
    script = scripts.write_script
    with monkeypatch.context() as patched:
        patched.setattr(scripts, "write_script", lambda *args: [*script(*args), "SELECT 1 FROM nowhere"])
        with pytest.raises(Exception, match="nowhere"):
            schema.migrate(url)
    assert schema.current_revision(url) == REVISIONS[0]
    assert await raw_sql.describe(url) == described
    schema.migrate(url)


@pytest.mark.postgres
async def test_a_table_in_use_is_not_waited_for(postgres_databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants the table too would wait behind the migration."""
    monkeypatch.setattr(schema_postgres, "LOCK_ATTEMPTS", 2)
    url = postgres_databases.empty()
    schema.migrate(url, REVISIONS[0])
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("LOCK TABLE application IN ACCESS SHARE MODE")
        with pytest.raises(TablesInUse):
            await asyncio.to_thread(schema.migrate, url)
    await connection.close()
    assert schema.current_revision(url) == REVISIONS[0]
    schema.migrate(url)
    postgres_databases.release()


# --- two releases ---------------------------------------------------------------------------------------------------

OLD_ID = UUID("01a3185c-5000-75b1-a522-4a58b791f1d8")
OLD_APPLICATION = {"name": "old", "kind": "browser", "origins": '["https://old.example"]', "created_at": START}
OLD_USER = {
    "phone": None,
    "first_name": "Jane",
    "last_name": "Doe",
    "roles": '["clerk"]',
    "status": "enabled",
    "ver": 3,
    "created_at": START,
}


async def insert_as_0001_did(url: str, world: World) -> Login:
    """An application, a user and a session, by the columns of the first revision."""
    application = Application(
        world.new_id(), "old", ApplicationKind.BROWSER, ("https://old.example",), START, lifetimes=Lifetimes()
    )
    new_user = world.new_user()
    await raw_sql.insert(url, "application", {"id": application.id, **OLD_APPLICATION})
    await raw_sql.insert(url, "users", {"id": new_user.id, "email": new_user.email, **OLD_USER})
    await raw_sql.insert(url, "identifier", {"value": new_user.email, "user_id": new_user.id})
    password = {"user_id": new_user.id, "hash": new_user.password_hash, "version": 1, "changed_at": START}
    await raw_sql.insert(url, "password", password)
    user = await world.storage.users.find(new_user.id)
    assert user is not None
    new = world.new_session(user, application)
    session: dict[str, object] = {
        "id": new.id,
        "user_id": user.id,
        "application_id": application.id,
        "place": 0,
        "moved_at": START,
        "nonce": new.nonce,
        "token_key_id": 1,
        "created_at": START,
        "last_used_at": START,
        "idle_until": START + 10**9,
        "absolute_until": START + 10**9,
        "access_until": START + 900_000,
        "first_address": HOME.address,
        "first_agent": HOME.agent,
    }
    await raw_sql.insert(url, "session", session)
    row = await world.storage.sessions.find(new.id)
    assert row is not None
    template = (await world.log_in(user, application)).grant
    return Login(world, user, application, replace(template, session=row))


async def test_rows_of_the_first_revision_are_served_at_head(url: str) -> None:
    schema.migrate(url, REVISIONS[0])
    await raw_sql.insert(url, "application", {"id": OLD_ID, **OLD_APPLICATION})
    schema.migrate(url)
    world = await world_on(url)
    (application,) = await world.storage.applications.list_applications()
    assert application.lifetimes == Lifetimes()
    login = await world.log_in(application=application)
    assert login.grant.expires_at == START + POLICY.access_token_lifetime * 1000
    await world.backend.close_all()


async def test_the_release_before_goes_on_writing_at_head(url: str) -> None:
    """Between the migration and the last restart both releases write to the same tables."""
    schema.migrate(url)
    world = await world_on(url)
    login = await insert_as_0001_did(url, world)
    assert isinstance(await login.present(), Moved)
    assert login.grant.roles == ("clerk",)
    await world.backend.close_all()


async def test_a_chain_goes_on_through_the_upgrade(url: str) -> None:
    schema.migrate(url)
    world = await world_on(url)
    login = await world.log_in()
    current = await login.move()
    await world.backend.close_all()
    schema.downgrade(url, REVISIONS[0])
    schema.migrate(url)
    world = await world_on(url)
    login.world = world
    await world.clock.advance(POLICY.refresh_retry_window)
    assert isinstance(await login.present(current), Moved)
    await world.backend.close_all()


# --- states and refusals --------------------------------------------------------------------------------------------


async def test_an_older_revision_is_behind(url: str) -> None:
    for revision in REVISIONS[:-1]:
        schema.migrate(url, revision)
        assert schema.schema_state(url) is SchemaState.BEHIND


async def test_a_revision_of_a_newer_release_is_ahead(url: str) -> None:
    schema.migrate(url)
    await raw_sql.fetch(url, "UPDATE alembic_version SET version_num = '9999'")
    assert schema.schema_state(url) is SchemaState.AHEAD
    assert schema.current_revision(url) == "9999"


async def test_tables_that_are_not_there_are_a_storage_out_of_reach(url: str) -> None:
    schema.migrate(url)
    world = await world_on(url)
    schema.downgrade(url, "base")
    with pytest.raises(StorageUnavailable):
        await world.storage.now()
    schema.migrate(url)
    assert await world.storage.now()
    await world.backend.close_all()


@pytest.mark.parametrize("bad", ["mysql://localhost/db", "keybearer.sqlite", ""])
def test_a_url_of_no_database_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="sqlite"):
        schema.migrate(bad)


@pytest.mark.parametrize(
    "unreachable", ["postgresql://user:hunter2@127.0.0.1:1/db", "sqlite:////nowhere/at/all/keybearer.sqlite"]
)
def test_a_database_that_cannot_be_reached_says_so_and_nothing_else(unreachable: str) -> None:
    with pytest.raises(StorageUnavailable) as raised:
        schema.migrate(unreachable)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database\n" * 100, encoding="utf-8")
    with pytest.raises(StorageUnavailable):
        schema.migrate(f"sqlite:///{path}")


def test_every_revision_has_its_way_back() -> None:
    for revision in scripts.open_scripts().walk_revisions():
        assert callable(getattr(revision.module, "downgrade", None)), revision.revision


def test_revisions_are_one_line() -> None:
    heads: Sequence[str] = scripts.open_scripts().get_heads()
    assert len(heads) == 1
