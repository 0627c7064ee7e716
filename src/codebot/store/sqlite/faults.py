"""What SQLite's errors mean to the rest of the product."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy.exc import DBAPIError

from codebot.errors import StoreUnavailable

_RESTORE = "Stop the service and restore the last backup: docs/howto/upgrade-and-backup.md#restore."
_FACTS = {
    sqlite3.SQLITE_FULL: (
        "The disk that holds the database is full.",
        "Free some space on the disk of CODEBOT_DATA_DIR.",
    ),
    sqlite3.SQLITE_BUSY: (
        "The database is locked by another program.",
        "End the backup or shell that holds a lock on the database in CODEBOT_DATA_DIR.",
    ),
    sqlite3.SQLITE_READONLY: (
        "The database may not be written.",
        "Give the service's user write permission in CODEBOT_DATA_DIR.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "The database cannot be opened.",
        "Check that CODEBOT_DATA_DIR exists and belongs to the service's user.",
    ),
    sqlite3.SQLITE_IOERR: (
        "The disk that holds the database reports an error.",
        "Look at the kernel's log for the disk of CODEBOT_DATA_DIR.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The database file is damaged.",
        _RESTORE,
    ),
    sqlite3.SQLITE_NOTADB: (
        "The database file is not a database.",
        _RESTORE,
    ),
}
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR}
_HARMLESS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}
"""After these a transaction is rolled back; of one whose commit met a broken disk nobody knows."""
_RETRY_AFTER = timedelta(seconds=10)
_PRIMARY_CODE = 0xFF
"""An extended result code holds its family in the low byte: https://sqlite.org/rescode.html"""


def damaged(fact: str = _FACTS[sqlite3.SQLITE_CORRUPT][0]) -> StoreUnavailable:
    """Give the error for a database that was read and is not whole."""
    return StoreUnavailable(fact, hint=_RESTORE)


def translated(error: sqlite3.Error) -> Exception:
    """Give the `StoreUnavailable` that says what the disk or the lock did; else the error itself.

    What is left over (a violated constraint, wrong SQL) is not about the store's health.
    """
    family = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if family not in _FACTS:
        return error
    fact, hint = _FACTS[family]
    retry_after = _RETRY_AFTER if family in _PASSING else None
    unavailable = StoreUnavailable(fact, hint=hint, retry_after=retry_after)
    unavailable.is_harmless = family in _HARMLESS
    return unavailable


@contextmanager
def store_faults() -> Iterator[None]:
    """Turn the driver's errors inside the block into `StoreUnavailable` where they are that."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error) from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise translated(error.orig) from error
        raise
