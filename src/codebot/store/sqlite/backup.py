"""A copy of the database file while a service writes to it: of one moment, whole, or not there."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from codebot.errors import Conflict, StoreUnavailable
from codebot.store.schema import tasks
from codebot.store.sqlite.faults import damaged, store_faults
from codebot.store.sqlite.file import open_to_read

PAGES_AT_ONCE = 4096
_HINT = "Name a file in a folder that is there, has room, and that this user may write to."
_ONLY_HERE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR_WRITE}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_COUNT = f"SELECT count(*) FROM {tasks.name}"  # noqa: S608  a constant


@dataclass(frozen=True, slots=True)
class Backup:
    """What came to be: where, its size in bytes, and how many tasks are in it."""

    file: Path
    size: int
    tasks: int


def back_up(database: Path, target: Path) -> Backup:
    """Copy the database of one moment to `target`, where no file may be yet.

    A service goes on writing meanwhile and waits for nothing; only its log grows. The copy has been
    read, is on disk, and belongs to this user alone when it gets its name. Any version's database
    will do. Raises `NotFound`, `Conflict` for what is there already, `StoreUnavailable`.
    """
    if os.path.lexists(target):
        raise _is_there(target)
    with closing(open_to_read(database)) as source, _unnamed_beside(target) as copy:
        with _faults_of(target):
            _copy(source, copy)
        with store_faults():
            count = _read(copy)
        with _faults_of(target):
            _give_name(copy, target)
    return Backup(target, target.stat().st_size, count)


def _copy(source: sqlite3.Connection, copy: Path) -> None:
    """Copy what is committed now: nothing that is written meanwhile begins the copy anew."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as made:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source.backup(made, pages=PAGES_AT_ONCE)
        source.execute("COMMIT")
        made.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, with nothing beside it


def _read(copy: Path) -> int:
    """Read all of the copy, and give the number of its tasks; raises `StoreUnavailable`."""
    with closing(sqlite3.connect(copy)) as made:
        (found,) = made.execute("PRAGMA integrity_check(1)").fetchone()  # its indexes, too
        if found != "ok":
            raise damaged()
        (count,) = made.execute(_COUNT).fetchone()
    return int(count)


@contextmanager
def _unnamed_beside(target: Path) -> Iterator[Path]:
    """Give a file of this user alone in the folder of `target`, which is gone after the block."""
    with _faults_of(target):
        descriptor, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        for left in (name, f"{name}-journal"):
            Path(left).unlink(missing_ok=True)


def _give_name(copy: Path, target: Path) -> None:
    """Put the copy on disk under its name, unless there is such a file by now."""
    _sync(copy)
    try:
        _link_or_rename(copy, target)
    except FileExistsError as error:
        raise _is_there(target) from error
    _sync(target.parent)


def _link_or_rename(copy: Path, target: Path) -> None:
    """Name the copy; where a file system has no hard links, over an empty file that is ours."""
    try:
        os.link(copy, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
        try:
            copy.rename(target)
        except OSError:
            target.unlink()
            raise


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(target: Path) -> Conflict:
    return Conflict(f"{target} is there already, and stays as it is.", hint="Name another file.")


@contextmanager
def _faults_of(target: Path) -> Iterator[None]:
    """Turn what the place of the copy did into `StoreUnavailable`; the rest is the database's."""
    try:
        with store_faults():
            yield
    except OSError as error:
        why = error.strerror or str(error)
    except StoreUnavailable as error:
        cause = error.__cause__
        if getattr(cause, "sqlite_errorcode", None) not in _ONLY_HERE:
            raise
        why = str(cause)
    else:
        return
    raise StoreUnavailable(f"The backup {target} cannot be written: {why}.", hint=_HINT)
