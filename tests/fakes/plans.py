"""What a test asks of a database, and which of it would read a whole table that grows.

Every statement is explained once, whoever sent it: a new query cannot be forgotten here, unless no
test runs it.
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from codebot.store.dialect import POSTGRES, SQLITE
from codebot.store.query import Query
from codebot.store.schema import metadata
from codebot.store.sqlite.reader import SQLiteReader
from codebot.store.upgrade import make_tables

Asked: TypeAlias = dict[str, Any]
"""Statements, each with the parameters that it had the first time."""

OF_FEW = ("runs_waiting", "runs_live_by_key", "one_running_run_per_key")
"""Indexes that hold what waits or is worked on, which the length of the queue bounds."""

OF_A_TEST = "of_a_test"
"""Execution option of a statement that the product does not send."""

_GROWING = frozenset(metadata.tables)
_PLANNED = re.compile(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_RANGE = re.compile(r"SEARCH (?P<table>\w+) USING INTEGER PRIMARY KEY \(rowid[<>]")
_RANGE_OF_SERVER = re.compile(r"\(seq [<>]=? [^()]+\)")
"""A part of a table in its own order, of which there may be any number of rows that do not fit."""

_FILTERS = re.compile(r"\bWHERE\b.*\bAND\b", re.DOTALL)
_SCAN = re.compile(r"SCAN (?P<table>\w+)(?: USING (?:COVERING )?INDEX (?P<index>\w+))?")


class Plans:
    """What this test process has sent so far, by dialect; each statement is explained once."""

    def __init__(self) -> None:
        self._new: dict[str, Asked] = {SQLITE: {}, POSTGRES: {}}
        self._seen: set[tuple[str, str]] = set()

    def add(self, dialect: str, statement: str, parameters: object) -> None:
        """Have a statement explained, unless it was."""
        if (dialect, statement) not in self._seen and _PLANNED.match(statement):
            self._seen.add((dialect, statement))
            self._new[dialect][statement] = parameters

    def scans_of_file(self) -> list[str]:
        """Give what was asked of SQLite since the last time and reads a whole table, with plans."""
        asked, self._new[SQLITE] = self._new[SQLITE], {}
        return list(_scans_of_file(asked)) if asked else []

    def scans_of_server(self, url: str) -> list[str]:
        """Give the same of PostgreSQL, which must still be there."""
        asked, self._new[POSTGRES] = self._new[POSTGRES], {}
        return list(_scans_of_server(url, asked)) if asked else []


@contextmanager
def recorded() -> Iterator[Plans]:
    """Give the plans of what is sent within the block."""
    plans = Plans()

    def sent(connection: Connection, *told: Any) -> None:
        _, statement, parameters, context, is_many = told
        if not context.execution_options.get(OF_A_TEST):
            first = parameters[0] if is_many else parameters
            plans.add(connection.dialect.name, statement, first)

    event.listen(Engine, "before_cursor_execute", sent)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("first", "all"):
            _record_reads(patch, name, plans)
        yield plans
    event.remove(Engine, "before_cursor_execute", sent)


def _record_reads(patch: pytest.MonkeyPatch, name: str, plans: Plans) -> None:
    """Record what goes to SQLite's driver directly."""
    read = getattr(SQLiteReader, name)

    async def reading(reader: SQLiteReader, query: Query, parameters: Mapping[str, object]) -> Any:
        plans.add(SQLITE, query.sql, query.bind(parameters))
        return await read(reader, query, parameters)

    patch.setattr(SQLiteReader, name, reading)


def _scans_of_file(asked: Asked) -> Iterator[str]:
    with closing(_empty_file()) as connection:
        for statement, parameters in asked.items():
            with suppress(sqlite3.OperationalError):  # of tables that are not there any more
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                for *_, detail in plan:
                    if _reads_a_table(detail, statement):
                        yield f"{detail}: {statement}"


def _reads_a_table(detail: str, statement: str) -> bool:
    """Say whether a line of a plan means the whole of a table that grows, or any part of it."""
    found = _SCAN.match(detail)
    if found:
        return found["table"] in _GROWING and found["index"] not in OF_FEW
    part = _RANGE.match(detail)
    return part is not None and part["table"] in _GROWING and bool(_FILTERS.search(statement))


def _empty_file() -> sqlite3.Connection:
    """Give the tables in a database of SQLite, which plans without looking at what is in them."""
    engine = create_engine("sqlite://")
    connection = sqlite3.connect(":memory:")
    with engine.begin() as made:
        make_tables(made)
        driver: Any = made.connection.driver_connection
        driver.commit()
        driver.backup(connection)
    engine.dispose()
    return connection


def _scans_of_server(url: str, asked: Asked) -> Iterator[str]:
    """Ask a server that would do anything rather than read a table that has an index for it.

    And that knows nothing of what is in it, as if it had never analyzed it: of a table that is
    empty, or of one task alone, every index is as good.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        connection.execute("DELETE FROM pg_statistic")
        connection.execute("UPDATE pg_class SET relpages = 0, reltuples = -1 WHERE relkind = 'r'")
        for statement, parameters in asked.items():
            with suppress(psycopg.errors.UndefinedTable):
                told: Any = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                ((plan,),) = told.fetchall()
                for node in filter(_is_scan_of_server, _nodes(plan[0]["Plan"])):
                    yield f"{json.dumps(node)}: {statement}"


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    below: Sequence[Mapping[str, Any]] = node.get("Plans", ())
    for each in below:
        yield from _nodes(each)


def _is_scan_of_server(node: Mapping[str, Any]) -> bool:
    """Say whether a node reads the whole of a table that grows, or any part of it."""
    by = node.get("Index Cond") or node.get("Recheck Cond", "")
    is_part = "Filter" in node and _RANGE_OF_SERVER.fullmatch(by)
    return _is_scan(node) or (bool(is_part) and node.get("Relation Name") in _GROWING)


def _is_scan(node: Mapping[str, Any]) -> bool:
    """Say whether a node reads a table that grows, without an index that says where."""
    return (
        node["Node Type"] in {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
        and node.get("Relation Name") in _GROWING
        and "Index Cond" not in node
        and not any("Index Cond" in below for below in node.get("Plans", ()))
        and node.get("Index Name") not in OF_FEW
        and not any(below.get("Index Name") in OF_FEW for below in node.get("Plans", ()))
    )
