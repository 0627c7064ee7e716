import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.egress import AccessVerdict
from codebot.domain.event import Event, EventType
from codebot.domain.run import QueueName, Run
from codebot.domain.task import TaskId
from codebot.errors import ConfigError, NotFound, StoreUnavailable
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.egress import MOST_NAMED, MOST_TOLD, OTHER_HOSTS, AccessTotal, read_egress
from codebot.store.store import Store, new_uuid7
from fakes.clock import START, Clock
from fakes.tasks import COMPLETED, new_task

REFUSED, ALLOWED = AccessVerdict.REFUSED, AccessVerdict.ALLOWED
SOON = timedelta(seconds=1)
EVIL = AccessTotal("evil.example", 443, REFUSED, "not listed", 1, 0, 0, START, START)
GOOD = AccessTotal("files.example", 443, ALLOWED, "", 1, 100, 2000, START, START)

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "codebot.sqlite3"


@pytest.fixture
async def store(database: Path | str) -> AsyncIterator[Store]:
    store = await Store.open(
        database, redact=lambda text: text.replace("hunter2", "***"), now=Clock()
    )
    yield store
    await store.close()


@pytest.fixture
def queue(store: Store) -> EmbeddedQueue:
    return EmbeddedQueue(store, max_pending=100, now=Clock(), new_id=new_uuid7)


@pytest.fixture
async def run(queue: EmbeddedQueue) -> Run:
    await queue.submit(new_task())
    return await queue.claim(QueueName.TASKS)


async def told(store: Store, task_id: TaskId) -> list[Event]:
    happened = await store.events.after(task_id, 0, 1000)
    return [event for event in happened if event.type is EventType.EGRESS_REFUSED]


def many(count: int, like: AccessTotal = EVIL) -> list[AccessTotal]:
    return [replace(like, host=f"host-{number}.example") for number in range(count)]


async def test_alike_accesses_are_one_row_that_counts(store: Store, run: Run) -> None:
    late = replace(GOOD, count=2, sent=5, received=7, first_at=START + SOON, last_at=START + SOON)

    await store.egress.add({run.task_id: [GOOD, EVIL]})
    await store.egress.add({run.task_id: [late]})
    await store.egress.add({run.task_id: [EVIL, EVIL, replace(EVIL, reason="a private address")]})

    assert await store.egress.of_task(run.task_id) == [
        replace(EVIL, count=3),
        replace(EVIL, reason="a private address"),
        replace(GOOD, count=3, sent=105, received=2007, last_at=START + SOON),
    ]
    assert await store.egress.refused(run.task_id) == {"evil.example": 4}


async def test_nothing_is_lost_when_many_add_to_the_same_row_at_once(
    store: Store, run: Run
) -> None:
    await asyncio.gather(*(store.egress.add({run.task_id: [GOOD, EVIL]}) for _ in range(200)))

    assert [row.count for row in await store.egress.of_task(run.task_id)] == [200, 200]
    assert len(await told(store, run.task_id)) == 1


async def test_the_hosts_of_one_task_are_none_of_another(
    store: Store, queue: EmbeddedQueue
) -> None:
    first, second = new_task(), new_task()
    await queue.submit(first)
    await queue.submit(second)

    await store.egress.add({first.id: [EVIL], second.id: [GOOD]})

    assert await store.egress.of_task(first.id) == [EVIL]
    assert await store.egress.of_task(second.id) == [GOOD]
    assert await store.egress.refused(second.id) == {}


async def test_a_flood_of_hosts_is_a_bounded_number_of_rows_and_hides_nothing_allowed(
    store: Store, run: Run
) -> None:
    for _ in range(2):
        await store.egress.add({run.task_id: many(3 * MOST_NAMED)})
    await store.egress.add({run.task_id: [GOOD]})

    rows = await store.egress.of_task(run.task_id)

    assert len(rows) == MOST_NAMED + 2 <= 200
    assert sum(row.count for row in rows) == 6 * MOST_NAMED + 1
    assert rows[0] == replace(EVIL, host=OTHER_HOSTS, port=0, reason="", count=4 * MOST_NAMED)
    assert rows[-1] == GOOD
    assert list(await store.egress.refused(run.task_id))[-1] == OTHER_HOSTS


async def test_a_host_is_told_of_once_under_the_run_that_is_at_work(store: Store, run: Run) -> None:
    await store.egress.add({run.task_id: [EVIL, GOOD]})
    await store.egress.add({run.task_id: [EVIL, replace(EVIL, reason="another")]})
    await store.egress.add({run.task_id: [replace(EVIL, port=80)]})

    assert [(event.run_id, event.data) for event in await told(store, run.task_id)] == [
        (run.id, {"host": "evil.example", "port": 443, "reason": "not listed"}),
        (run.id, {"host": "evil.example", "port": 80, "reason": "not listed"}),
    ]


async def test_events_of_refused_hosts_are_bounded(store: Store, run: Run) -> None:
    for start in (0, MOST_TOLD - 1, MOST_NAMED):
        await store.egress.add({run.task_id: many(start + MOST_TOLD - 1)})

    assert len(await told(store, run.task_id)) == MOST_TOLD


async def test_nothing_is_told_after_the_event_that_a_task_has_ended(
    store: Store, queue: EmbeddedQueue, run: Run
) -> None:
    await queue.finish(run, COMPLETED)

    await store.egress.add({run.task_id: [EVIL]})

    assert await store.egress.of_task(run.task_id) == [EVIL]
    assert (await store.events.after(run.task_id, 0, 1000))[-1].type is EventType.TASK_FINISHED


@ON_SQLITE
async def test_a_task_goes_with_what_it_reached_and_leaves_nothing_to_add_to(
    store: Store, run: Run, path: Path
) -> None:
    await store.egress.add({run.task_id: [EVIL, GOOD]})
    await store.tasks.delete(run.task_id)
    await store.egress.add({run.task_id: [EVIL]})

    with sqlite3.connect(path) as connection:
        left = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("egress", "events")
        ]
    connection.close()
    assert left == [0, 0]


async def test_a_secret_in_a_hosts_name_is_masked_everywhere(store: Store, run: Run) -> None:
    spoken = replace(EVIL, host="hunter2.evil.example", reason="not hunter2")
    await store.egress.add({run.task_id: [spoken, replace(spoken, host="***.evil.example")]})

    assert await store.egress.refused(run.task_id) == {"***.evil.example": 2}
    assert "hunter2" not in repr(
        await store.egress.of_task(run.task_id) + await told(store, run.task_id)
    )


# --- Reading beside a service ----------------------------------------------------------------


@ON_SQLITE
async def test_another_process_reads_while_the_service_writes_and_changes_nothing(
    store: Store, run: Run, path: Path
) -> None:
    await store.egress.add({run.task_id: [EVIL]})
    files = {file.name: file.stat().st_mtime_ns for file in path.parent.iterdir()}

    assert await read_egress(path, run.task_id) == [EVIL]

    assert {file.name: file.stat().st_mtime_ns for file in path.parent.iterdir()} == files


async def test_a_database_that_nobody_serves_is_read_as_it_lies(path: Path) -> None:
    store = await Store.open(path, now=Clock())
    new = new_task()
    await EmbeddedQueue(store, max_pending=1, now=Clock(), new_id=new_uuid7).submit(new)
    await store.egress.add({new.id: [GOOD]})
    await store.close()

    assert await read_egress(path, new.id) == [GOOD]


@ON_SQLITE
async def test_an_unknown_task_and_a_missing_database_are_not_found(
    store: Store, path: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="no task nobody"):
        await read_egress(path, TaskId("nobody"))
    with pytest.raises(NotFound, match="no database"):
        await read_egress(tmp_path / "nowhere.sqlite3", TaskId("nobody"))

    assert not (tmp_path / "nowhere.sqlite3").exists()


async def test_a_database_of_another_version_is_not_read(path: Path, tmp_path: Path) -> None:
    await (await Store.open(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    (tmp_path / "text").write_text("no database at all" * 100)

    with pytest.raises(ConfigError, match="another version"):
        await read_egress(path, TaskId("any"))
    with pytest.raises(StoreUnavailable):
        await read_egress(tmp_path / "text", TaskId("any"))


async def test_the_database_of_a_service_is_read_beside_it(
    store: Store, run: Run, database: Path | str
) -> None:
    await store.egress.add({run.task_id: [EVIL]})

    assert await read_egress(database, run.task_id) == [EVIL]
    with pytest.raises(NotFound, match="no task nobody"):
        await read_egress(database, TaskId("nobody"))
