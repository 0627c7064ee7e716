import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import codebot.store
from codebot.domain.egress import AccessVerdict
from codebot.domain.run import QueueName
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.egress import AccessTotal
from codebot.store.schema import metadata
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.store.upgrade import REVISION, make_tables, migrate
from fakes.clock import START
from fakes.postgres import Postgres
from fakes.tasks import new_task

MIGRATIONS = Path(codebot.store.__file__).parent / "migrations"
EVIL = AccessTotal("evil.example", 443, AccessVerdict.REFUSED, "no", 1, 0, 0, START, START)


def normal(sql: str) -> str:
    return " ".join(sql.replace('"', "").replace("(", " ( ").replace(")", " ) ").split())


def made_by_migrations(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
        " AND name NOT LIKE 'sqlite%' AND name != 'alembic_version'"
    )
    return {normal(sql) for (sql,) in rows}


def described_in_code() -> set[str]:
    dialect = sqlite.dialect()
    tables = metadata.tables.values()
    statements = [CreateTable(table).compile(dialect=dialect) for table in tables]
    indexes = [index for table in tables for index in table.indexes]
    statements += [CreateIndex(index).compile(dialect=dialect) for index in indexes]
    return {normal(str(statement)) for statement in statements}


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "codebot.sqlite3"
    await (await Store.open(path)).close()
    return path


async def test_the_migrations_make_the_very_tables_that_the_code_describes(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.sqlite3'}")
    with engine.connect() as connection:
        migrate(connection)
        made = made_by_migrations(connection)
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []
    assert made == described_in_code()


async def test_a_new_database_is_what_the_migrations_make_of_an_empty_one(
    path: Path, tmp_path: Path
) -> None:
    migrated = create_engine(f"sqlite:///{tmp_path / 'migrated.sqlite3'}")
    with migrated.connect() as connection:
        migrate(connection)
    migrated.dispose()

    assert everything_in(path) == everything_in(tmp_path / "migrated.sqlite3")


def everything_in(path: Path) -> tuple[set[tuple[str, str, str]], list[tuple[str]]]:
    """Give each table and index with its SQL, and the revision."""
    with closing(sqlite3.connect(path)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return {(kind, name, normal(sql or "")) for kind, name, sql in made}, revision


async def test_they_make_the_same_of_an_empty_database_of_postgres(postgres: Postgres) -> None:
    url = postgres.url(postgres.make_database())
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool
    )
    with engine.begin() as connection:
        make_tables(connection)
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        by_code = described_by_postgres(connection)
        connection.execute(text("CREATE SCHEMA migrated; SET LOCAL search_path TO migrated"))
        migrate(connection)
        by_migrations = described_by_postgres(connection)

    assert differences == []
    assert by_migrations == by_code


def described_by_postgres(connection: Connection) -> list[tuple[str, ...]]:
    """Give every column, index and constraint of the current schema, as the server says them."""
    found = connection.execute(
        text("""
        SELECT table_name, column_name, data_type, is_nullable, collation_name,
            replace(column_default, 'migrated.', '')
        FROM information_schema.columns WHERE table_schema = current_schema()
        UNION ALL
        SELECT tablename, indexname, regexp_replace(indexdef, ' ON [a-z_]+[.]', ' ON '), '', '', ''
        FROM pg_indexes WHERE schemaname = current_schema()
        UNION ALL
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', ''
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
    """)
    )
    return sorted(tuple(map(str, row)) for row in found)


def test_the_newest_migration_is_the_one_that_the_store_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


async def test_a_database_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it(
    path: Path, tmp_path: Path
) -> None:
    store = await Store.open(path)
    new = new_task()
    await queue_of(store).submit(new)
    task, events = await store.tasks.get(new.id), await store.events.after(new.id, 0, 10)
    await store.close()
    first = as_the_first_version_made_it(path, tmp_path / "first.sqlite3")

    store = await Store.open(first)

    assert await store.tasks.get(new.id) == task
    assert await store.events.after(new.id, 0, 10) == events
    await store.egress.add({new.id: [EVIL]})
    assert await store.egress.of_task(new.id) == [EVIL]
    queue = queue_of(store)
    await queue.recover()
    assert (await queue.claim(QueueName.TASKS)).task_id == new.id
    await store.close()


def as_the_first_version_made_it(path: Path, first: Path) -> Path:
    """Make the tables by the first migration's own SQL, and copy every row into them."""
    with sqlite3.connect(first) as connection:
        connection.executescript((MIGRATIONS / "versions/0001_first_tables.sql").read_text())
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            " AND name NOT LIKE 'sqlite%' AND name != 'alembic_version'"
        ).fetchall()
        connection.commit()
        connection.execute("ATTACH ? AS newer", (str(path),))
        for (name,) in names:
            old = connection.execute(f"PRAGMA main.table_info({name})").fetchall()
            columns = ", ".join(column for _, column, *_ in old)
            connection.execute(f"INSERT INTO main.{name} SELECT {columns} FROM newer.{name}")
    connection.close()
    return first


def queue_of(store: Store) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=10, now=utc_now, new_id=new_uuid7)
