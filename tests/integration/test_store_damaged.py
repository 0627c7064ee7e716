"""Databases that a disk, a copy or a hand has damaged: each is refused, and stays as it is."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from codebot.errors import StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.sqlite import soundness
from codebot.store.store import Store, new_uuid7, utc_now
from fakes import small_disk
from fakes.service import refused_start
from fakes.tasks import new_task

PAGE = 4096
GARBAGE = b"\xaa" * PAGE
COMMITS = 20


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Path]:
    """A database of a few commits, all of them in its log still: as kill -9 leaves one."""
    served, copy = tmp_path / "served" / "codebot.sqlite3", tmp_path / "codebot_data"
    store = await Store.open(served)
    queue = EmbeddedQueue(store, max_pending=10_000, now=utc_now, new_id=new_uuid7)
    for _ in range(COMMITS):
        await queue.submit(new_task("x" * 3000))
    copy.mkdir(mode=0o700)
    for name in ("codebot.sqlite3", "codebot.sqlite3-wal"):
        shutil.copy(served.with_name(name), copy / name)
    yield copy / "codebot.sqlite3"
    await store.close()


def log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def without_log(database: Path) -> None:
    """Move the log into the file, as a service does that ends."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def smash(file: Path, at: int, with_: bytes = GARBAGE) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(with_)


def root_of(database: Path, kind: str, table: str) -> int:
    """Give where the first page of a table lies, or of an index on it."""
    asked = "SELECT rootpage FROM sqlite_schema WHERE type = ? AND tbl_name = ?"
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute(asked, (kind, table)).fetchone()
    return (int(page) - 1) * PAGE


def damage_a_page_amid(database: Path) -> None:
    without_log(database)
    smash(database, database.stat().st_size // PAGE // 2 * PAGE)


def damage_a_table(database: Path) -> None:
    without_log(database)
    smash(database, root_of(database, "table", "runs"))


def damage_an_index(database: Path) -> None:
    without_log(database)
    smash(database, root_of(database, "index", "tasks"))


def cut_the_file_off(database: Path) -> None:
    without_log(database)
    os.truncate(database, database.stat().st_size // 2)


def write_something_else(database: Path) -> None:
    without_log(database)
    database.write_text("these are not the bytes you are looking for\n" * 1000)


def damage_the_log(database: Path) -> None:
    smash(log_of(database), log_of(database).stat().st_size // 2, b"\xaa" * 100)


def damage_the_head_of_the_log(database: Path) -> None:
    smash(log_of(database), 0, b"\xaa" * 32)


DAMAGES = [
    damage_a_page_amid,
    damage_a_table,
    damage_an_index,
    cut_the_file_off,
    write_something_else,
    damage_the_log,
    damage_the_head_of_the_log,
]


def contents(folder: Path) -> dict[str, str]:
    """Tell what is in a folder, but for the index of the log, which any reader makes."""
    files = (file for file in folder.iterdir() if not file.name.endswith("-shm"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_a_damaged_database_is_refused_and_stays_as_it_is(
    database: Path, damage: Callable[[Path], None]
) -> None:
    damage(database)
    before = contents(database.parent)

    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(database)

    assert "#restore" in refused.value.hint
    assert refused.value.retry_after is None
    assert contents(database.parent).items() >= before.items()


async def test_a_log_that_a_crash_cut_off_is_no_damage(database: Path) -> None:
    log = log_of(database)
    smash(log, log.stat().st_size - 100, b"\xaa" * 100)

    store = await Store.open(database)

    assert len(await store.tasks.recent(None, 100)) == COMMITS - 1
    await store.close()


def test_a_file_that_takes_too_long_to_be_read_is_served(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(sqlite3.Connection):
        def execute(self, sql: str, *more: object) -> sqlite3.Cursor:  # type: ignore[override]
            if "quick_check" in sql:
                self.create_function("wait", 0, self.interrupt)
                sql = "SELECT wait() FROM sqlite_schema"
            return super().execute(sql, *more)  # type: ignore[arg-type]

    slow = sqlite3.connect(database, factory=Interrupted)
    monkeypatch.setattr(soundness, "_connect", lambda _: slow)

    soundness.require_sound(database)


async def test_a_service_says_in_a_sentence_what_is_damaged_and_what_to_do(
    database: Path,
) -> None:
    damage_an_index(database)

    code, said = await asyncio.to_thread(refused_start, database.parents[1])

    assert code == 78
    assert said == (
        f"codebot: {database} cannot be used: The database file is damaged. Stop the service and"
        " restore the last backup: docs/howto/upgrade-and-backup.md#restore.\n"
    )


@pytest.mark.parametrize(
    "what", ["codebot_data", "codebot_workspace", "codebot_data/codebot.sqlite3"]
)
def test_what_cannot_be_written_is_named_at_the_start(tmp_path: Path, what: str) -> None:
    place = tmp_path / what
    (tmp_path / "codebot_data").mkdir()
    if place.suffix:
        place.touch()
    else:
        place.mkdir(exist_ok=True)

    code, said = refused_start(tmp_path, env={small_disk.READ_ONLY: str(place)})

    assert code == 78
    (line,) = said.splitlines()
    assert f"{place} cannot be" in line
    assert "Read-only file system" in line
