"""What SQLite and PostgreSQL say differently: everything else is the same statements for both.

PostgreSQL's part of SQLAlchemy takes as long to load as the rest of it: nothing here does so before
a statement goes to PostgreSQL.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert

SQLITE, POSTGRES = "sqlite", "postgresql"

INTEGER = BigInteger().with_variant(Integer(), SQLITE)
"""64 bits in both: SQLite's own numbers are, and there only `INTEGER` can number rows by itself."""

TEXT = Text().with_variant(Text(collation="C"), POSTGRES)
"""Sorts by its bytes in both, times above all: PostgreSQL's other orders pass over punctuation."""

PLACEHOLDERS = {SQLITE: "?", POSTGRES: "%s"}
"""What stands for a value in SQL that a driver gets as it is."""

_SUBMITTING = text("SELECT pg_advisory_xact_lock(7161346302453)")
_NUMBERING = text("SELECT pg_advisory_xact_lock(7161346302454)")
_WHERE = "where"
_WORDS = (
    ("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BIGSERIAL NOT NULL PRIMARY KEY"),
    ("BOOLEAN DEFAULT 0", "BOOLEAN DEFAULT false"),
    ("INTEGER", "BIGINT"),
    ("BLOB", "BYTEA"),
    ("TEXT", 'TEXT COLLATE "C"'),
)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Describe an index of the rows that a condition holds for, which is SQL for both."""
    condition = text(where)
    return Index(name, *columns, unique=unique, info={_WHERE: condition}, sqlite_where=condition)


def describe_to(dialect: str, metadata: MetaData) -> None:
    """Have the conditions of partial indexes known where PostgreSQL's tables are made, too."""
    for table in metadata.tables.values() if dialect == POSTGRES else ():
        for index in table.indexes:
            index.dialect_options[dialect][_WHERE] = index.info.get(_WHERE)


def ddl(statement: str, dialect: str) -> str:
    """Give a migration's SQL, which is written for SQLite, in the words of a dialect.

    >>> ddl("CREATE TABLE t (n INTEGER DEFAULT 0 NOT NULL)", POSTGRES)
    'CREATE TABLE t (n BIGINT DEFAULT 0 NOT NULL)'
    """
    if dialect == POSTGRES:
        for ours, theirs in _WORDS:
            statement = statement.replace(ours, theirs)
    return statement


def upsert(
    connection: Connection, table: Table, row: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """Insert the row, or make the changes to the one that has its primary key already."""
    statement = _insert_into(table, connection.dialect.name).values(row)
    keys: Iterable[Column[Any]] = table.primary_key
    connection.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes))


def insert_unless_there(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert the row and say so; do nothing where there is one with its primary key."""
    statement = _insert_into(table, connection.dialect.name).values(row)
    keys: Iterable[Column[Any]] = table.primary_key
    statement = statement.on_conflict_do_nothing(index_elements=list(keys)).returning(*keys)
    return connection.execute(statement).one_or_none() is not None


def _insert_into(table: Table, dialect: str) -> Any:  # noqa: ANN401  each has a class of its own
    if dialect == SQLITE:
        return insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def write_in_turn(connection: Connection, table: Table, ids: Collection[str]) -> None:
    """Let nobody else write what belongs to these rows of `table` until this transaction has ended.

    SQLite has one writer. PostgreSQL numbers a row before its transaction commits: who comes later
    may commit first, and a reader who has seen the higher number never looks for the lower one.
    In one order, so that no two wait for each other.
    """
    if connection.dialect.name != SQLITE:
        for id_ in sorted(ids):
            connection.execute(_hold(table), {"id": id_})


def submit_in_turn(connection: Connection) -> None:
    """Let nobody else submit before this transaction has ended: who counts, counts right."""
    if connection.dialect.name != SQLITE:
        connection.execute(_SUBMITTING)


def number_in_turn(connection: Connection) -> None:
    """Let nobody else number a pull request before this transaction has ended."""
    if connection.dialect.name != SQLITE:
        connection.execute(_NUMBERING)


@cache
def _hold(table: Table) -> Any:  # noqa: ANN401  of whatever the table's columns are
    return select(table.c.seq).where(table.c.id == bindparam("id")).with_for_update()
