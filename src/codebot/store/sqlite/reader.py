"""Reads that are quick enough for the event loop: one kept connection, statements compiled once."""

import sqlite3
from collections.abc import Mapping

from codebot.store.database import Row
from codebot.store.query import Query
from codebot.store.sqlite.faults import translated


class SQLiteReader:
    """Answers queries at once, from the last commit; only ever used on the event loop.

    Its methods are awaited, as those of any database, and never wait. The driver is called
    directly: SQLAlchemy's result machinery costs 30 us a read, which is more than SQLite itself
    takes to find a task by its id.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def first(self, query: Query, parameters: Mapping[str, object]) -> Row | None:
        """Give the first row, or None."""
        try:
            row: Row | None = self._connection.execute(query.sql, query.bind(parameters)).fetchone()
        except sqlite3.Error as error:
            raise translated(error) from error
        return row

    async def all(self, query: Query, parameters: Mapping[str, object]) -> list[Row]:
        """Give every row."""
        try:
            return self._connection.execute(query.sql, query.bind(parameters)).fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error
