"""One line of migrations for both databases: which one a database is at, and the way up."""

import re
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
)

from codebot.errors import ConfigError
from codebot.store.dialect import ddl, describe_to
from codebot.store.schema import metadata, tasks

REVISION = "0007"
"""The newest migration, known without importing Alembic: that costs 0.2 s at every start."""

VERSION_TABLE = "alembic_version"

_MIGRATIONS = Path(__file__).parent / "migrations"
_OURS = re.compile(r"\d{4}")


def known_revision(connection: Connection, database: str) -> str | None:
    """Say which migration made these tables, None where there are none.

    Raises `ConfigError` for the tables of a newer Codebot, which would be misread, and for those of
    another program.
    """
    revision = _revision_of(connection)
    if revision is None and connection.dialect.has_table(connection, tasks.name):
        raise _not_ours(database, f"among them {tasks.name}")
    if revision is not None and not _OURS.fullmatch(revision):
        raise _not_ours(database, f"revision {revision}")
    if revision is not None and revision > REVISION:
        raise ConfigError(
            (f"The database {database} was made by a newer Codebot (revision {revision}).",),
            hint="Install that version again, or restore the database from a backup.",
        )
    return revision


def _revision_of(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608  a constant
    return None if found is None else str(found)


def _not_ours(database: str, sign: str) -> ConfigError:
    return ConfigError(
        (f"The database {database} has tables of another program ({sign}).",),
        hint="Give Codebot a database of its own.",
    )


def migrations_after(revision: str | None) -> list[str]:
    """Name the migrations that tables at a revision still need, in their order.

    >>> migrations_after(REVISION)
    []
    """
    names = sorted(file.stem for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    return [name for name in names if revision is None or name.partition("_")[0] > revision]


def make_tables(connection: Connection) -> None:
    """Give an empty database the newest tables at once.

    That takes a tenth of the time that the migrations take, which make the very same.
    """
    describe_to(connection.dialect.name, metadata)
    metadata.create_all(connection, checkfirst=False)
    # As Alembic makes it.
    version = Column("version_num", String(32), nullable=False)
    signed = Table(
        VERSION_TABLE,
        MetaData(),
        version,
        PrimaryKeyConstraint(version, name=f"{VERSION_TABLE}_pkc"),
    )
    signed.create(connection)
    connection.execute(insert(signed), {version.name: REVISION})


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest revision."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run_sql(migration: str) -> None:
    """Run the SQL file beside a migration, which gives its own `__file__`."""
    from alembic import op

    dialect = op.get_bind().dialect.name
    for statement in Path(migration).with_suffix(".sql").read_text().split(";\n"):
        if statement.strip():
            op.execute(ddl(statement, dialect))
