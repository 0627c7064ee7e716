"""Whether a database file is whole, found out before anything is written to it.

A log that is damaged is SQLite's blind spot: it takes what follows for a write that was cut off by
a crash, drops it, and begins anew over it. https://sqlite.org/walformat.html
"""

import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from codebot.store.sqlite.faults import damaged, store_faults

log = structlog.get_logger(__name__)

LONGEST_LOOK = timedelta(seconds=1)
"""A file of 250 MiB is read in that time. A larger one begins to serve unread: what is damaged in
it is told when it is asked for, and by `codebot doctor`."""

_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_LAST_FRAME = struct.Struct("=I")
_LAST_FRAME_AT = 16
"""In the index of the log: the number of the last frame of a commit that SQLite takes for whole."""

Sums = tuple[int, int]


def require_sound(path: Path, *, longest: timedelta | None = LONGEST_LOOK) -> None:
    """Raise `StoreUnavailable` for a database that is damaged; nothing is written to it.

    What cannot be read in the `longest` time, None for any, is left unread.
    """
    with store_faults(), closing(_connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if _forgets_commits(path):
            raise damaged("The log of the database (the file -wal beside it) is damaged.")
        _read_all(connection, longest)


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def _read_all(connection: sqlite3.Connection, longest: timedelta | None) -> None:
    clock = None
    if longest is not None:
        clock = threading.Timer(longest.total_seconds(), connection.interrupt)
        clock.start()
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        log.info("store.not_read_whole", detail="It is too large for a start to read all of it.")
        return
    finally:
        if clock is not None:
            clock.cancel()
            clock.join()
    if found != "ok":
        raise damaged()


def _forgets_commits(path: Path) -> bool:
    """Say whether commits that were on disk follow the last one that SQLite finds in the log.

    A frame that goes on from the end of a commit was written after that had been synced, so what
    lies before it was whole once. Nothing tells of a damage to the very last commit: that looks
    like a crash amid its writing.
    """
    try:
        index = path.with_name(f"{path.name}-shm").read_bytes()
        with path.with_name(f"{path.name}-wal").open("rb") as wal:
            return _goes_on(wal, _LAST_FRAME.unpack_from(index, _LAST_FRAME_AT)[0])
    except (FileNotFoundError, struct.error):
        return False  # there is no log, or nothing in it


def _goes_on(wal: BinaryIO, last: int) -> bool:
    head = wal.read(_HEADER.size)
    magic, _, page_size, _, *salts, first, second = _HEADER.unpack(head)
    if magic not in {_LITTLE, _BIG} or _sums(magic, head[:24], (0, 0)) != (first, second):
        return bool(wal.read(_FRAME.size))  # it is synced before the first frame
    end: Sums | None = None
    for frame in _frames(wal, page_size, last):
        _, size_after, *theirs, one, other = _FRAME.unpack(frame[: _FRAME.size])
        if theirs != salts:
            return False
        if end is not None and _sums(magic, frame[:8] + frame[_FRAME.size :], end) == (one, other):
            return True
        end = (one, other) if size_after else None
    return False


def _frames(wal: BinaryIO, page_size: int, last: int) -> Iterator[bytes]:
    """Give the whole frames after the one of a number."""
    size = _FRAME.size + page_size
    wal.seek(_HEADER.size + last * size)
    while len(frame := wal.read(size)) == size:
        yield frame


def _sums(magic: int, data: bytes, start: Sums) -> Sums:
    """Give SQLite's checksums of data that follows what has the sums `start`."""
    order = ">" if magic == _BIG else "<"
    one, other = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + second + one) & 0xFFFFFFFF
    return one, other
