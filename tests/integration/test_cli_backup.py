"""`codebot backup` as a process: a copy of one moment while a service writes, or a clear no."""

import asyncio
import errno
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from codebot.errors import Conflict, StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.sqlite import backup
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock
from fakes.tasks import new_task


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "codebot_data" / "codebot.sqlite3")
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=100_000, now=Clock(), new_id=new_uuid7)


async def back_up(folder: Path, target: str, **env: str) -> tuple[int | None, str]:
    program = [sys.executable, "-m", "codebot", "backup", target]
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def named(folder: Path, pattern: str) -> list[str]:
    return sorted(file.name for file in folder.glob(pattern))


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        number: int = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
        return number


async def test_a_backup_is_whole_while_tasks_come_in_and_they_go_on(
    tmp_path: Path, queue: EmbeddedQueue
) -> None:
    await asyncio.gather(*(queue.submit(new_task("x" * 20_000)) for _ in range(1000)))
    done = asyncio.Event()
    submitted = 0

    async def submit() -> None:
        nonlocal submitted
        while not done.is_set():
            await queue.submit(new_task())
            submitted += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(submit())
        code, said = await back_up(tmp_path, "copy.sqlite3")
        done.set()

    copy = tmp_path / "copy.sqlite3"
    assert (code, said.split(" in ")[0]) == (
        0, f"copy.sqlite3: {count(copy)} tasks, {copy.stat().st_size / (1 << 20):.1f} MiB,"
    )  # fmt: skip
    assert submitted > 0
    assert 1000 <= count(copy) <= 1000 + submitted
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert named(tmp_path, "*copy*") == ["copy.sqlite3"]


async def test_a_backup_begun_before_a_commit_is_without_it(
    tmp_path: Path, queue: EmbeddedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.submit(new_task())
    loop = asyncio.get_running_loop()

    class Slow(sqlite3.Connection):
        def backup(self, *arguments: object, **options: object) -> None:  # type: ignore[override]
            asyncio.run_coroutine_threadsafe(queue.submit(new_task()), loop).result(20)
            super().backup(*arguments, **options)  # type: ignore[arg-type]

    slow = sqlite3.connect(tmp_path / "codebot_data" / "codebot.sqlite3", factory=Slow,
                           isolation_level=None, check_same_thread=False)  # fmt: skip
    monkeypatch.setattr(backup, "open_to_read", lambda _: slow)
    made = await asyncio.to_thread(backup.back_up, tmp_path / "any", tmp_path / "copy")

    assert made.tasks == count(tmp_path / "copy") == 1


@pytest.mark.parametrize("what", ["a file", "a folder", "a link to nowhere"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, what: str) -> None:
    target = tmp_path / "there"
    {
        "a file": target.touch,
        "a folder": target.mkdir,
        "a link to nowhere": lambda: target.symlink_to("nowhere"),
    }[what]()
    database = tmp_path / "store.sqlite3"
    asyncio.run(make(database))

    with pytest.raises(Conflict, match="stays as it is"):
        backup.back_up(database, target)

    assert named(tmp_path, "*there*") == ["there"]


async def make(database: Path) -> None:
    await (await Store.open(database)).close()


def no_links(source: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)


async def test_a_file_system_without_links_takes_a_backup(
    tmp_path: Path, queue: EmbeddedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.submit(new_task())
    monkeypatch.setattr(os, "link", no_links)

    backup.back_up(tmp_path / "codebot_data" / "codebot.sqlite3", tmp_path / "copy")

    assert count(tmp_path / "copy") == 1
    assert named(tmp_path, "*copy*") == ["copy"]


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
async def test_what_comes_to_be_meanwhile_is_not_overwritten(
    tmp_path: Path, queue: EmbeddedQueue, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    await queue.submit(new_task())
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    target, read = tmp_path / "copy", backup._read

    def reading(copy: Path) -> int:
        target.write_text("of somebody else")
        return read(copy)

    monkeypatch.setattr(backup, "_read", reading)
    with pytest.raises(Conflict):
        backup.back_up(tmp_path / "codebot_data" / "codebot.sqlite3", target)

    assert target.read_text() == "of somebody else"
    assert named(tmp_path, "*copy*") == ["copy"]


async def test_nowhere_to_write_is_told(tmp_path: Path, store: Store) -> None:
    await store.check_writable()
    code, said = await back_up(tmp_path, "missing/copy.sqlite3")

    assert code == 1
    assert "missing/copy.sqlite3 cannot be written: No such file or directory." in said
    assert said.count("\n") == 1


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, queue: EmbeddedQueue) -> None:
    await asyncio.gather(*(queue.submit(new_task("x" * 20_000)) for _ in range(200)))
    (tmp_path / "small").mkdir()
    script = f"""mount -t tmpfs -o size=1M none small && {sys.executable} -m codebot backup small/b
        echo "exit $? and $(ls -A small | wc -l) left" """
    ended = await asyncio.create_subprocess_exec(
        "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script,
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await ended.communicate()

    assert said.decode() == (
        "codebot: The backup small/b cannot be written: database or disk is full. Name a file in a"
        " folder that is there, has room, and that this user may write to.\nexit 1 and 0 left\n"
    )


async def test_a_damaged_database_makes_no_backup(tmp_path: Path, queue: EmbeddedQueue) -> None:
    await asyncio.gather(*(queue.submit(new_task("x" * 20_000)) for _ in range(50)))
    await queue._store.close()
    database = tmp_path / "codebot_data" / "codebot.sqlite3"
    with database.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 20)

    code, said = await back_up(tmp_path, "copy.sqlite3")

    assert code == 1
    assert "The database file is damaged." in said
    assert named(tmp_path, "*copy*") == []


async def test_an_index_that_lost_a_row_makes_no_backup(
    tmp_path: Path, queue: EmbeddedQueue
) -> None:
    task_id = await queue.submit(new_task())
    await queue._store.close()
    database = tmp_path / "codebot_data" / "codebot.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_tasks_1'"
        ).fetchone()
    there = database.read_bytes().index(task_id.encode(), (page - 1) * 4096)
    assert there < page * 4096
    with database.open("r+b") as file:
        file.seek(there)
        file.write(b"?")

    with pytest.raises(StoreUnavailable, match="damaged"):
        backup.back_up(database, tmp_path / "copy")

    assert named(tmp_path, "*copy*") == []


async def test_postgresql_is_for_pg_dump(tmp_path: Path) -> None:
    url = "postgresql://codebot:hunter2@127.0.0.1:1/codebot"
    code, said = await back_up(tmp_path, "copy", CODEBOT_DATABASE_URL=url)

    assert (code, said) == (
        78, "codebot: CODEBOT_DATABASE_URL names a PostgreSQL database: back it up with pg_dump.\n"
    )  # fmt: skip


async def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    code, said = await back_up(tmp_path, "copy")

    assert code == 2
    assert "There is no database" in said
