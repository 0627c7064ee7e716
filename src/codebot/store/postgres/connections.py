"""The pool of connections to one PostgreSQL database, and what reads and writes through it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from psycopg import AsyncConnection
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from codebot.errors import StoreUnavailable
from codebot.store.database import Bulk, Row
from codebot.store.groups import Groups, Write, run_batch
from codebot.store.patience import Settling, patience, waited_for
from codebot.store.postgres.doubt import Commit, is_committed
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
        return self._settling.add(lambda: self._transact(work, is_shared=False))

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
        return await self._transact(lambda connection: run_batch(connection, batch), is_shared=True)

    async def _transact(self, work: Callable[[Connection], T], *, is_shared: bool) -> T:
        """Give what `work` gave, once it is committed.

        Where somebody is patient, or one of those who share it may be, a commit whose answer was
        lost is looked for: what adds to something must not be added twice, nor be given up.
        """
        commit = Commit()
        try:
            return await self._try(work, commit if is_shared or patience() else None)
        except StoreUnavailable as error:
            if commit.number is None:
                raise
            if await self._look_for(commit.number):
                result: T = commit.result
                return result
            error.is_harmless = error.retry_after is not None
            raise

    async def _look_for(self, number: str) -> bool:
        """Say whether a transaction was committed, once the database can be asked.

        What cannot be found out must not be done again.
        """
        try:
            return await self._settling.wait_for(lambda: is_committed(self._pool, number))
        except StoreUnavailable as error:
            error.is_harmless = False
            raise

    async def _try(self, work: Callable[[Connection], T], commit: Commit | None) -> T:
        """Give what `work` gave, after a few attempts if need be."""
        with server_faults():
            async with asyncio.timeout(DEADLINE_SECONDS):
                for _ in range(_TRIES - 1):
                    with suppress(_NothingWritten):
                        return await self._attempt(work, commit)
                try:
                    return await self._attempt(work, commit)
                except _NothingWritten as nothing:
                    with server_faults(is_harmless=True):
                        raise nothing.error from nothing

    async def _attempt(self, work: Callable[[Connection], T], commit: Commit | None) -> T:
        """Do it in one transaction; raises `_NothingWritten` where another try can do no harm.

        When the connection is lost while it commits, `commit` has the number to look for.
        """
        commits = False
        if commit is not None:
            commit.number = None
        try:
            async with self._pool.connect() as connection, connection.begin():
                result = await connection.run_sync(work)
                if commit is not None:
                    commit.result = result
                    await commit.announce(connection)
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
