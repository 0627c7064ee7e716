"""Moving commits from the log beside the database file into the file, beside the work.

SQLite would do it in the middle of a commit, with two syncs that somebody waits for: measured with
one client, 1 in 70 submits took 30 to 110 ms. https://sqlite.org/wal.html
"""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy.engine.interfaces import DBAPICursor

log = structlog.get_logger(__name__)

_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pace:
    """When the log is moved: so long after a commit, or once it has grown by so many bytes.

    Under a load that never pauses there is always a commit that is not moved yet, and the log is
    begun anew only where there is none: at `bound` bytes, the writer moves the rest itself, which
    is little by then. `held` is the length that only somebody who reads for long can bring about.
    """

    pause: timedelta = timedelta(seconds=1)
    growth: int = 16 * MEBIBYTE
    bound: int = 64 * MEBIBYTE
    held: int = 256 * MEBIBYTE


class Checkpoints:
    """Keeps the log short, in a thread and on a connection of its own.

    Its state belongs to the loop, but for `is_due`, which the writer asks in its thread. Nothing
    waits here for anybody: what a reader still needs is moved a later time.
    """

    def __init__(self, connection: sqlite3.Connection, wal: Path, pace: Pace) -> None:
        """Begin with nothing to move."""
        self._connection = connection
        self._wal = wal
        self._pace = pace
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="codebot-checkpoint")
        self._timer: asyncio.TimerHandle | None = None
        self._moving: asyncio.Future[None] | None = None
        self._seen = 0
        self._page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        self._is_held = False
        self._length = 0
        self.is_due = False

    def wrote(self) -> None:
        """Have what was committed moved, soon; at once where the log has grown a lot."""
        if self._moving is not None or self.is_due:
            return
        if _size(self._wal) >= self._seen + self._pace.growth:
            self._begin()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._pace.pause.total_seconds(), self._begin)

    def move_rest(self, cursor: DBAPICursor) -> None:
        """Move what is left, between two transactions of the writer: the next one begins anew."""
        cursor.execute(_CHECKPOINT)
        (row,) = cursor.fetchall()
        cursor.close()
        self.is_due = bool(row[0])  # another program moves it just now

    async def close(self) -> None:
        """Let the last move end; the last connection that closes moves the rest."""
        if self._timer is not None:
            self._timer.cancel()
        if self._moving is not None:
            await asyncio.wait([self._moving])
        self._thread.shutdown()
        self._connection.close()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._seen = _size(self._wal)
        loop = asyncio.get_running_loop()
        self._moving = loop.create_task(self._move())

    async def _move(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            self._length = await loop.run_in_executor(self._thread, self._checkpoint)
            self.is_due = self._length >= self._pace.bound
            self._tell(self._length)
        except sqlite3.Error as error:
            log.warning("store.checkpoint_failed", detail=str(error))
        finally:
            self._moving = None

    def _checkpoint(self) -> int:
        """Move what can be moved; give the length of the log in bytes."""
        is_busy, frames, _ = self._connection.execute(_CHECKPOINT).fetchone()
        return self._length if is_busy else frames * self._page_size

    def _tell(self, length: int) -> None:
        """Say once that somebody holds the log, and once that it is over."""
        is_held = length >= self._pace.held
        if is_held and not self._is_held:
            log.warning(
                "store.log_held",
                size=length,
                detail=f"{self._wal} grows: another program has read the database for long.",
                hint="End that program; after a long backup nothing need be done.",
            )
        elif self._is_held and not is_held:
            log.info("store.log_free", size=length)
        self._is_held = is_held


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
