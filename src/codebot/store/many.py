"""Inserting the rows of many callers with few statements."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import sqlite

from codebot.store.dialect import PLACEHOLDERS

Columns = Mapping[str, Any]

LARGEST_CHUNK = 64
SMALL = 16
STEP = 8


class InsertMany:
    """Inserts any number of rows, up to 64 with each statement.

    SQLite's driver gives up the interpreter lock at every step of a statement, and has to win it
    back from a busy event loop: row by row, submits beside many reads were a quarter slower.
    """

    def __init__(self, table: Table, columns: Collection[str], *, on_conflict: str = "") -> None:
        """Insert these columns; `on_conflict` is SQL of both databases for a row that is there."""
        self._columns = [column.name for column in table.c if column.name in columns]
        one = insert(table).compile(dialect=sqlite.dialect(), column_keys=self._columns)
        into = str(one).partition("VALUES")[0]
        self._statements = {
            dialect: {
                size: f"{into}VALUES {', '.join([row] * size)} {on_conflict}".rstrip()
                for size in _sizes_up_to(LARGEST_CHUNK)
            }
            for dialect, row in self._rows()
        }

    def __call__(self, connection: Connection, rows: Sequence[Columns]) -> None:
        """Insert the rows in their order; each has all the columns."""
        statements = self._statements[connection.dialect.name]
        for chunk in _chunks(rows):
            values = tuple(row[column] for row in chunk for column in self._columns)
            connection.exec_driver_sql(statements[len(chunk)], values)

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Give what stands for one row's values in each dialect."""
        for dialect, placeholder in PLACEHOLDERS.items():
            yield dialect, f"({', '.join([placeholder] * len(self._columns))})"


def _sizes_up_to(largest: int) -> Iterator[int]:
    """Give every size of a small batch, and steps of eight beyond.

    So a batch takes one statement or two, and there are few enough of them for the driver to keep
    each one prepared.
    """
    yield from range(1, SMALL)
    yield from range(SMALL, largest + 1, STEP)


def _chunks(rows: Sequence[Columns]) -> Iterator[Sequence[Columns]]:
    """Cut the rows into pieces of such sizes, the largest first."""
    start = 0
    while start < len(rows):
        left = min(len(rows) - start, LARGEST_CHUNK)
        size = left if left < SMALL else left // STEP * STEP
        yield rows[start : start + size]
        start += size
