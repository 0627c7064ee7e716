import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from codebot.store.sqlite.checkpoints import MEBIBYTE, Pace
from codebot.store.sqlite.file import BUSY_TIMEOUT, open_checkpoints, open_writer
from codebot.store.sqlite.writer import SQLiteWriter

LAZY = Pace(timedelta(hours=1), growth=1 << 40, bound=1 << 40, held=1 << 40)
EAGER = Pace(timedelta(0), growth=0, bound=2 * MEBIBYTE, held=6 * MEBIBYTE)


class Database:
    """A database file with one writer, which is filled row by row."""

    def __init__(self, path: Path, pace: Pace) -> None:
        self.path = path
        self.wal = path.with_name(f"{path.name}-wal")
        connection = open_writer(path, busy_timeout=BUSY_TIMEOUT)
        self.writer = SQLiteWriter(connection, open_checkpoints(path, pace))

    async def write(self, mebibytes: int) -> None:
        """Commit so much, in eight parts a mebibyte."""
        for _ in range(8 * mebibytes):
            await self.writer.write(add)

    async def settle(self) -> None:
        """Wait until the last commit was moved, or what can be of it."""
        await asyncio.sleep(0)
        if (moving := self.writer._checkpoints._moving) is not None:
            await asyncio.wait([moving])


def add(connection: Connection) -> None:
    connection.exec_driver_sql("INSERT INTO diffs VALUES (hex(randomblob(8)), zeroblob(130000))")


@pytest.fixture
async def lazy(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "store.sqlite3", LAZY)
    yield database
    await database.writer.close()


@pytest.fixture
async def eager(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "store.sqlite3", EAGER)
    yield database
    await database.writer.close()


async def test_no_commit_moves_the_log(lazy: Database) -> None:
    await lazy.write(6)  # more than the thousand pages at which SQLite would

    assert lazy.path.stat().st_size < MEBIBYTE
    assert lazy.wal.stat().st_size > 6 * MEBIBYTE


@pytest.mark.parametrize(
    "pace",
    [replace(LAZY, pause=timedelta(milliseconds=50)), replace(LAZY, growth=MEBIBYTE)],
    ids=["after a pause", "when it has grown"],
)
async def test_what_was_committed_is_moved(tmp_path: Path, pace: Pace) -> None:
    database = Database(tmp_path / "store.sqlite3", pace)
    await database.write(2)
    moved = False
    for _ in range(2000):
        moved = moved or database.path.stat().st_size > MEBIBYTE
        await asyncio.sleep(0 if moved else 0.01)
    await database.writer.close()

    assert moved


async def test_the_log_is_bounded_though_somebody_always_writes(eager: Database) -> None:
    await asyncio.gather(*(eager.write(4) for _ in range(6)))

    assert eager.wal.stat().st_size < 3 * EAGER.bound


async def test_a_log_that_a_reader_held_is_told_and_cut_when_it_is_free(
    eager: Database,
) -> None:
    reader = sqlite3.connect(eager.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM diffs").fetchone()
    with capture_logs() as told:
        await eager.write(8)
        await eager.settle()
        held = eager.wal.stat().st_size
        reader.close()
        await eager.write(3)
        await eager.settle()
        await eager.write(3)
        await eager.settle()

    assert held > EAGER.held
    assert [line["event"] for line in told] == ["store.log_held", "store.log_free"]


async def test_a_log_is_cut_to_its_bound_once_it_begins_anew(lazy: Database) -> None:
    large = "INSERT INTO diffs VALUES ('large', zeroblob(?))"
    size = Pace().bound + MEBIBYTE
    await lazy.writer.write(lambda connection: connection.exec_driver_sql(large, (size,)))
    assert lazy.wal.stat().st_size > Pace().bound

    lazy.writer._checkpoints.is_due = True
    await lazy.write(1)

    assert lazy.wal.stat().st_size <= Pace().bound
