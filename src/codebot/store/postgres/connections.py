"""The pool of connections to one PostgreSQL database, and what reads and writes through it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from psycopg import AsyncConnection
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from codebot.store.database import Bulk, Row
from codebot.store.groups import Groups, Write, run_batch
from codebot.store.patience import Settling, patience, waited_for
from codebot.store.postgres.faults import is_lost, server_faults, state_of
from codebot.store.postgres.place import Place
from codebot.store.query import Query

T = TypeVar("T")
Item = TypeVar("Item")

CONNECTIONS = 8
"""At most, of one process: most of what a service does with its store takes a millisecond."""

DEADLINE_SECONDS = 30
"""For one read or one transaction, the wait for a free connection included."""

_TRIES = 4
_AGAIN = {"40001", "40P01", "23505"}
"""Two transactions were in each other's way, by a deadlock, or by a row that both wanted to be the
only one (two runs of one key that were claimed at the same time)."""


def open_pool(place: Place) -> AsyncEngine:
    """Give the pool; nothing is connected yet.

    Nothing is kept on a connection from one transaction to the next, prepared statements neither:
    behind a pooler, the next one may be on another connection.
    """

    async def connect() -> AsyncConnection[Any]:
        return await AsyncConnection.connect(place.conninfo.reveal(), prepare_threshold=None)

    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=DEADLINE_SECONDS,
        use_native_hstore=False,
        hide_parameters=True,
    )


class PostgresReader:
    """Answers queries from the last commit, each on a connection of the pool."""

    def __init__(self, pool: AsyncEngine) -> None:
        self._pool = pool.execution_options(isolation_level="AUTOCOMMIT")

    async def first(self, query: Query, parameters: Mapping[str, object]) -> Row | None:
        """Give the first row, or None."""
        rows = await self.all(query, parameters)
        return rows[0] if rows else None

    async def all(self, query: Query, parameters: Mapping[str, object]) -> Sequence[Row]:
        """Give every row."""
        return await waited_for(lambda: self._all(query, parameters))

    async def _all(self, query: Query, parameters: Mapping[str, object]) -> Sequence[Row]:
        with server_faults(is_harmless=True):
            async with asyncio.timeout(DEADLINE_SECONDS):
                try:
                    return await self._ask(query, parameters)
                except DBAPIError as error:
                    if not is_lost(error):
                        raise
                return await self._ask(query, parameters)  # the pool is fresh by now

    async def _ask(self, query: Query, parameters: Mapping[str, object]) -> Sequence[Row]:
        async with self._pool.connect() as connection:
            found = await connection.execute(query.select, parameters)
            return [tuple(row) for row in found]


class PostgresWriter:
    """Runs each write in a transaction of its own, and what arrives often in common ones.

    PostgreSQL groups the commits of its connections itself.
    """

    def __init__(self, pool: AsyncEngine) -> None:
        self._pool = pool
        self._groups = Groups(self._write_batch)
        self._settling = Settling()

    def write(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Run `work` in a transaction; the future is done once it is on the server's disk.

        It is written, whoever stops waiting for it.
        """
        return self._settling.add(lambda: self._transact(work))

    def write_bulk(self, bulk: Bulk[Item, T], item: Item) -> asyncio.Future[T]:
        """As `write`, for what arrives often: `bulk` gets the items of many callers at once."""
        if not patience():
            return self._groups.add(bulk, item)
        return self._settling.add(lambda: self._groups.add(bulk, item))

    async def finish(self) -> None:
        """Wait for what was asked for, and for a database that is away no longer."""
        self._settling.close()
        await self._groups.finish()
        await self._settling.finish()

    async def _write_batch(self, batch: Sequence[Write[Any, Any]]) -> list[Any]:
        return await self._transact(lambda connection: run_batch(connection, batch))

    async def _transact(self, work: Callable[[Connection], T]) -> T:
        """Give what `work` gave, once it is committed."""
        with server_faults():
            async with asyncio.timeout(DEADLINE_SECONDS):
                for _ in range(_TRIES - 1):
                    with suppress(_NothingWritten):
                        return await self._attempt(work)
                try:
                    return await self._attempt(work)
                except _NothingWritten as nothing:
                    with server_faults(is_harmless=True):
                        raise nothing.error from nothing

    async def _attempt(self, work: Callable[[Connection], T]) -> T:
        """Do it in one transaction; raises `_NothingWritten` where another try can do no harm.

        With a connection that is lost while it commits nobody knows: that is for the caller, whose
        writes are fenced, or found again by their ids.
        """
        commits = False
        try:
            async with self._pool.connect() as connection, connection.begin():
                result = await connection.run_sync(work)
                commits = True
        except DBAPIError as error:
            if not commits and (is_lost(error) or state_of(error) in _AGAIN):
                raise _NothingWritten(error) from error
            raise
        return result


class _NothingWritten(Exception):
    """A transaction was given up before its commit, over something that may well be gone by now."""

    def __init__(self, error: DBAPIError) -> None:
        super().__init__()
        self.error = error
