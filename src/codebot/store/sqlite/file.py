"""The database file: how it is opened, with which promises, and how it comes to its tables."""

import sqlite3
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from codebot.errors import ConfigError, NotFound, StoreUnavailable
from codebot.store.sqlite.checkpoints import Checkpoints, Pace
from codebot.store.sqlite.faults import store_faults
from codebot.store.sqlite.soundness import require_sound
from codebot.store.upgrade import REVISION, known_revision, make_tables, migrate

BUSY_TIMEOUT = timedelta(seconds=30)


def open_writer(path: Path, *, busy_timeout: timedelta) -> Connection:
    """Open the connection that writes, with every table in place.

    A commit on it is on disk when it returns (`synchronous=FULL`), and takes the write lock at
    its begin, so that no transaction fails half way because somebody else wrote first. Raises
    `StoreUnavailable`; a damaged file stays as it is.
    """
    _make_or_require_sound(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),  # a path may hold what a URL reads otherwise
        poolclass=NullPool,
        connect_args=_driver(busy_timeout),
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", partial(_check_it_is_there, path, path.stat().st_ino))
    event.listen(engine, "begin", _begin_immediately)
    with store_faults():
        connection = engine.connect()
        _update(connection, path)
    return connection


def open_checkpoints(path: Path, pace: Pace) -> Checkpoints:
    """Open what keeps the log of a file short while it is written."""
    with store_faults():
        connection: sqlite3.Connection = sqlite3.connect(path, **_driver(timedelta(0)))
        connection.execute("PRAGMA synchronous = FULL")
        return Checkpoints(connection, path.with_name(f"{path.name}-wal"), pace)


def open_reader(path: Path, *, busy_timeout: timedelta) -> sqlite3.Connection:
    """Open a connection that reads; each query sees the last commit and waits for nobody."""
    with store_faults():
        connection: sqlite3.Connection = sqlite3.connect(path, **_driver(busy_timeout))
        connection.execute("PRAGMA query_only = ON")
    return connection


def open_beside(path: Path) -> sqlite3.Connection:
    """Open a connection that reads beside a service, running or not, and writes nothing into it.

    Raises `NotFound` where there is no database, `ConfigError` where it is of another version,
    `StoreUnavailable` where this user may not look.
    """
    connection = open_to_read(path)
    try:
        with store_faults():
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (StoreUnavailable, sqlite3.Error):
        connection.close()
        raise
    if revision != REVISION:
        connection.close()
        raise ConfigError(
            (f"The database {path} belongs to another version of Codebot.",),
            hint="Use the version that serves it; a newer one takes it over when it starts.",
        )
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection that reads the database of any version; raises as `open_beside` does."""
    _require_database(path)
    with store_faults():
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection: sqlite3.Connection = sqlite3.connect(uri, uri=True, **_driver(BUSY_TIMEOUT))
        return connection


def _require_database(path: Path) -> None:
    try:
        is_there = path.is_file()
    except OSError as error:
        raise StoreUnavailable(
            f"The database {path} cannot be read: {error.strerror}.",
            hint="Ask as the service's user.",
        ) from error
    if not is_there:
        raise NotFound(
            f"There is no database {path}.",
            hint="Set CODEBOT_DATA_DIR to that of the service.",
        )


def _update(connection: Connection, path: Path) -> None:
    """Bring the tables up to date; refuse those of a newer Codebot and of anybody else."""
    with connection.begin():
        revision = known_revision(connection, str(path))
        if revision is None:
            make_tables(connection)
            return
    if revision != REVISION:
        migrate(connection)


def _make_or_require_sound(path: Path) -> None:
    is_there = path.is_file() and path.stat().st_size > 0
    _create_private(path)
    if is_there:
        require_sound(path)


def _create_private(path: Path) -> None:
    """Make the folder and the file for this user alone, before SQLite makes them for all.

    A folder that is there stays as it is: it may be anybody's, `/tmp` even.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"The database {path} cannot be made: {error.strerror}.",
            hint="Check that CODEBOT_DATA_DIR exists and belongs to the service's user.",
        ) from error


def _driver(busy_timeout: timedelta) -> dict[str, Any]:
    """Give the driver's arguments: no transactions of its own, any thread, patience with locks."""
    return {
        "isolation_level": None,
        "check_same_thread": False,
        "timeout": busy_timeout.total_seconds(),
    }


def _set_pragmas(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Make a commit a promise, and leave it to others to move it out of the log.

    A log that somebody held for long is cut to the limit once it begins anew.
    """
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {Pace().bound}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _check_it_is_there(path: Path, inode: int, _: Connection) -> None:
    """Refuse to write to a file that has no name any more: it would be gone with this process."""
    try:
        is_there = path.stat().st_ino == inode
    except OSError:
        is_there = False
    if not is_there:
        raise StoreUnavailable(
            f"The database {path} was removed or replaced while the service runs.",
            hint="Restore it from a backup if need be, and restart the service.",
        )


def _begin_immediately(connection: Connection) -> None:
    """Take the write lock with the first statement."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
