from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

import codebot.store
from codebot.store.database import REVISION
from codebot.store.schema import metadata
from codebot.store.store import Store

MIGRATIONS = Path(codebot.store.__file__).parent / "migrations"


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


async def test_the_migrations_make_the_very_tables_that_the_code_describes(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        made = made_by_migrations(connection)
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []
    assert made == described_in_code()


def test_the_newest_migration_is_the_one_that_the_store_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == REVISION
