"""Looking into the database of a service, running or not, without changing anything in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from codebot.store.database import Reader
from codebot.store.sqlite.file import open_beside
from codebot.store.sqlite.reader import SQLiteReader


@asynccontextmanager
async def reader_beside(database: Path | str) -> AsyncIterator[Reader]:
    """Give a reader of a SQLite file, or of the PostgreSQL database of a URL.

    Raises `NotFound` where there is none, `ConfigError` where it is of another version,
    `StoreUnavailable` where it cannot be looked into.
    """
    if isinstance(database, Path):
        with closing(open_beside(database)) as connection:
            yield SQLiteReader(connection)
        return
    from codebot.store.postgres.connections import PostgresReader
    from codebot.store.postgres.opening import open_postgres_beside

    pool = await open_postgres_beside(database)
    try:
        yield PostgresReader(pool)
    finally:
        await pool.dispose()
