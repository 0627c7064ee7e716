import asyncio
import shutil
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus
from codebot.errors import ConfigError, StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.patience import patient
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock
from fakes.stored import counts, tell_a_secret
from fakes.tasks import new_task


def redact(text: str) -> str:
    return text.replace("hunter2", "***")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "codebot.sqlite3"


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o1777)
    return tmp_path


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    patience = timedelta(seconds=0.05)
    store = await Store.open(path, redact=redact, now=clock, busy_timeout=patience)
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store, clock: Clock) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=10_000, now=clock, new_id=new_uuid7)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- Opening ---------------------------------------------------------------------------------


async def test_only_this_user_can_read_the_database(store: Store, path: Path) -> None:
    await store.check_writable()

    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


async def test_a_path_is_no_url(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "100%20?mode=memory#" / "store.sqlite3"
    store = await Store.open(path)
    await EmbeddedQueue(store, max_pending=1, now=clock, new_id=new_uuid7).submit(new_task())
    await store.close()

    assert mode(path) == 0o600


async def test_a_folder_that_was_there_keeps_its_mode(shared_folder: Path) -> None:
    await (await Store.open(shared_folder / "store.sqlite3")).close()

    assert mode(shared_folder) == 0o1777
    assert mode(shared_folder / "store.sqlite3") == 0o600


async def test_a_commit_is_on_disk_when_it_returns(store: Store) -> None:
    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    full = 2
    assert await store._writer.write(pragmas) == ["wal", full]


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "up to date"])
async def test_a_database_that_is_not_older_opens_without_the_migration_tool(
    path: Path, *, is_there: bool
) -> None:
    if is_there:
        await (await Store.open(path)).close()
    program = f"""
import asyncio, sys
from pathlib import Path
from codebot.store.store import Store
asyncio.run(Store.open(Path({str(path)!r})))
sys.exit("alembic" in sys.modules)
"""
    service = await asyncio.create_subprocess_exec(sys.executable, "-c", program)

    assert await service.wait() == 0


async def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    await (await Store.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(ConfigError, match="newer"):
        await Store.open(path)


async def test_a_file_that_is_no_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "codebot.sqlite3"
    path.write_text("these are not the bytes you are looking for" * 100)

    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(path)

    assert refused.value.hint


async def test_a_folder_that_cannot_be_made_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreUnavailable) as refused:
        await Store.open(tmp_path / "file" / "codebot.sqlite3")

    assert refused.value.hint


# --- Group commit ----------------------------------------------------------------------------


async def test_writes_that_arrive_together_share_a_commit(
    store: Store, queue: EmbeddedQueue
) -> None:
    batches = watch_batches(store)

    await asyncio.gather(*(queue.submit(new_task()) for _ in range(100)))

    assert batches == [100]
    assert await counts(store) == {TaskStatus.PENDING: 100}


async def test_writes_that_arrive_during_a_commit_share_the_next(
    store: Store, queue: EmbeddedQueue
) -> None:
    batches = watch_batches(store)

    async def submit_some() -> None:
        for _ in range(20):
            await queue.submit(new_task())

    await asyncio.gather(*(submit_some() for _ in range(32)))

    assert sum(batches) == 20 * 32
    assert len(batches) < 20 * 32 / 4


def watch_batches(store: Store) -> list[int]:
    sizes: list[int] = []
    transact = store._writer._transact

    def counting(batch: list[object]) -> list[object]:
        sizes.append(len(batch))
        return transact(batch)

    store._writer._transact = counting
    return sizes


# --- What must not be lost -------------------------------------------------------------------

SUBMIT_FOREVER = """
import asyncio, sys
from pathlib import Path
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.tasks import new_task

async def submit(queue):
    while True:
        new = new_task()
        await queue.submit(new)
        print(new.id, flush=True)

async def main():
    store = await Store.open(Path(sys.argv[1]))
    queue = EmbeddedQueue(store, max_pending=10**6, now=utc_now, new_id=new_uuid7)
    await asyncio.gather(*(submit(queue) for _ in range(8)))

asyncio.run(main())
"""


async def test_a_killed_service_has_every_task_that_it_accepted(path: Path) -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUBMIT_FOREVER, str(path),
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert service.stdout is not None
    accepted = [await service.stdout.readline() for _ in range(200)]
    service.kill()
    accepted += (await service.stdout.read()).splitlines(keepends=True)
    await service.wait()

    store = await Store.open(path)
    known = {task.id for task in await store.tasks.recent(None, 100_000)}
    queue = EmbeddedQueue(store, max_pending=1, now=Clock(), new_id=new_uuid7)
    await queue.recover()

    whole = {line.decode().strip() for line in accepted if line.endswith(b"\n")}
    assert len(whole) >= 200
    assert whole <= known
    assert await queue.size(QueueName.TASKS) == len(known)
    assert (await queue.claim(QueueName.TASKS)).task_id in known
    await store.close()


async def test_a_locked_database_is_unavailable_and_then_goes_on(
    store: Store, queue: EmbeddedQueue, path: Path
) -> None:
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN EXCLUSIVE")

    outcomes = await asyncio.gather(
        *(queue.submit(new_task()) for _ in range(3)), return_exceptions=True
    )
    with pytest.raises(StoreUnavailable) as refused:
        await store.check_writable()

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert refused.value.hint
    assert refused.value.retry_after is not None
    assert await queue.size(QueueName.TASKS) == 0
    backup.execute("ROLLBACK")
    backup.close()
    await queue.submit(new_task())
    assert await counts(store) == {TaskStatus.PENDING: 1}


@pytest.mark.parametrize("by", ["nothing", "a restored backup"])
async def test_a_database_file_that_is_gone_takes_no_more_promises(
    store: Store, queue: EmbeddedQueue, path: Path, by: str
) -> None:
    await queue.submit(new_task())
    taken_away = shutil.move(path, path.with_name("taken-away"))
    if by == "a restored backup":
        shutil.copy(taken_away, path)
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await queue.submit(new_task())
    with pytest.raises(StoreUnavailable, match="removed or replaced"):
        await store.check_writable()


async def test_a_full_disk_is_unavailable_and_then_goes_on(
    store: Store, queue: EmbeddedQueue
) -> None:
    await set_room(store, pages=1)

    outcomes = await asyncio.gather(
        *(queue.submit(new_task("x" * 50_000)) for _ in range(30)), return_exceptions=True
    )

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert await queue.size(QueueName.TASKS) == 0
    assert await counts(store) == {}
    await set_room(store, pages=1_000_000)
    await queue.submit(new_task())
    assert await queue.size(QueueName.TASKS) == 1


async def test_what_a_run_writes_waits_for_room(store: Store, queue: EmbeddedQueue) -> None:
    await set_room(store, pages=1)
    with patient():
        waiting = [asyncio.ensure_future(queue.submit(new_task("x" * 50_000))) for _ in range(3)]
    with pytest.raises(StoreUnavailable):
        await queue.submit(new_task("x" * 50_000))
    await set_room(store, pages=1_000_000)

    await asyncio.gather(*waiting)
    assert await counts(store) == {TaskStatus.PENDING: 3}


async def test_a_store_that_closes_waits_for_no_room(path: Path, clock: Clock) -> None:
    store = await Store.open(path)
    queue = EmbeddedQueue(store, max_pending=10, now=clock, new_id=new_uuid7)
    await set_room(store, pages=1)
    with patient():
        waiting = asyncio.ensure_future(queue.submit(new_task("x" * 50_000)))
    await asyncio.sleep(0)

    await store.close()

    with pytest.raises(StoreUnavailable):
        await waiting


async def set_room(store: Store, *, pages: int) -> None:
    """Let SQLite believe that the disk has room for so many pages, or just what it has now."""
    await store._writer.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))


# --- Texts --------------------------------------------------------------------------------------


async def test_no_secret_is_written_down(store: Store, queue: EmbeddedQueue, path: Path) -> None:
    await tell_a_secret(store, queue)
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"the password is ***" in written
    assert b"hunter2" not in written
