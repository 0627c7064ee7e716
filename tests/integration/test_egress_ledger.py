import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.egress import Access, AccessVerdict
from codebot.domain.task import TaskId
from codebot.errors import StoreUnavailable
from codebot.gateway.egress import ledger
from codebot.gateway.egress.ledger import OVERLONG, EgressLedger
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.egress import MOST_NAMED, OTHER_HOSTS, AccessTotal, read_egress
from codebot.store.patience import LONGEST_OUTAGE, patience
from codebot.store.store import Store, new_uuid7
from fakes.at_once import at_once
from fakes.clock import Clock, until
from fakes.tasks import new_task

NEVER = timedelta(hours=1)
EVIL = Access("evil.example", 443, AccessVerdict.REFUSED, "not listed")
GOOD = Access("files.example", 443, AccessVerdict.ALLOWED, "", 10, 200)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "codebot.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path, now=Clock(), busy_timeout=timedelta(seconds=0.02))
    yield store
    await store.close()


@pytest.fixture
async def task_id(store: Store) -> TaskId:
    new = new_task()
    await EmbeddedQueue(store, max_pending=10, now=Clock(), new_id=new_uuid7).submit(new)
    return new.id


def counts(store: Store, task_id: TaskId) -> dict[str, int]:
    return {row.host: row.count for row in at_once(store.egress.of_task(task_id))}


async def test_what_was_recorded_is_written_soon_without_anybody_asking(
    store: Store, task_id: TaskId
) -> None:
    ledger = EgressLedger(store.egress, now=Clock(), pause=timedelta(seconds=0.02))
    for _ in range(3):
        ledger.record(task_id, EVIL)
    ledger.record(task_id, GOOD)

    assert await store.egress.of_task(task_id) == []
    await until(lambda: counts(store, task_id) == {"evil.example": 3, "files.example": 1})

    ledger.record(task_id, GOOD)
    await until(lambda: counts(store, task_id)["files.example"] == 2)
    assert [(row.sent, row.received) for row in await store.egress.of_task(task_id)] == [
        (0, 0),
        (20, 400),
    ]


async def test_a_flush_waits_for_everything_recorded_before_it(
    store: Store, task_id: TaskId
) -> None:
    ledger = EgressLedger(store.egress, now=Clock(), pause=NEVER)
    for number in range(1, 30):
        ledger.record(task_id, EVIL)
        others = asyncio.create_task(ledger.flush())
        await asyncio.sleep(0)
        await ledger.flush()
        assert counts(store, task_id) == {"evil.example": number}
        await others


async def test_a_flush_that_is_cancelled_while_it_waits_its_turn_is_made_all_the_same(
    store: Store, task_id: TaskId
) -> None:
    ledger = EgressLedger(store.egress, now=Clock(), pause=NEVER)
    ledger.record(task_id, EVIL)
    first = asyncio.create_task(ledger.flush())
    await until(lambda: not ledger._waiting)
    ledger.record(task_id, EVIL)
    second = asyncio.create_task(ledger.flush())
    await asyncio.sleep(0)
    second.cancel()

    await until(lambda: counts(store, task_id) == {"evil.example": 2})
    await first


async def test_closing_writes_the_rest_and_leaves_no_timer(store: Store, task_id: TaskId) -> None:
    ledger = EgressLedger(store.egress, now=Clock(), pause=NEVER)
    ledger.record(task_id, EVIL)
    await ledger.close()
    ledger.record(task_id, GOOD)

    assert counts(store, task_id) == {"evil.example": 1}
    assert ledger._timer is None


async def test_what_the_store_does_not_take_now_is_written_later(
    store: Store, task_id: TaskId, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PATIENCE", timedelta(seconds=0.05))
    kept = EgressLedger(store.egress, now=Clock(), pause=NEVER)
    backup = sqlite3.connect(path, isolation_level=None)
    backup.execute("BEGIN IMMEDIATE")
    kept.record(task_id, EVIL)
    await kept.flush()
    kept.record(task_id, EVIL)
    assert counts(store, task_id) == {}
    backup.close()

    await until(lambda: counts(store, task_id) == {"evil.example": 2})
    await kept.close()


class FullDisk:
    """A store that takes nothing, and remembers what it was given last."""

    def __init__(self) -> None:
        self.given: list[AccessTotal] = []
        self.patience = timedelta(0)

    async def add(self, totals: Mapping[TaskId, Iterable[AccessTotal]]) -> None:
        self.given = [each for added in totals.values() for each in added]
        self.patience = patience()
        raise StoreUnavailable("The disk is full.")


async def test_what_nobody_waits_for_is_written_as_patiently_as_for_a_run() -> None:
    disk = FullDisk()
    kept = EgressLedger(disk, now=Clock(), pause=timedelta(0))  # type: ignore[arg-type]
    kept.record(TaskId("task"), EVIL)
    await until(lambda: bool(disk.given))
    assert disk.patience == LONGEST_OUTAGE

    await kept.close()
    assert disk.patience == timedelta(0)


async def test_what_waits_is_bounded_however_many_hosts_are_tried() -> None:
    disk = FullDisk()
    ledger = EgressLedger(disk, now=Clock(), pause=NEVER)  # type: ignore[arg-type]
    for number in range(10 * MOST_NAMED):
        ledger.record(TaskId("t"), Access(f"{number}.example", 443, AccessVerdict.REFUSED, "no"))
        if number % MOST_NAMED == 0:
            await ledger.flush()
    ledger.record(TaskId("t"), GOOD)
    await ledger.close()

    assert len(disk.given) == MOST_NAMED + 2
    assert sum(each.count for each in disk.given) == 10 * MOST_NAMED + 1
    assert {OTHER_HOSTS, "files.example"} < {each.host for each in disk.given}


async def test_ten_thousand_accesses_are_two_rows_and_one_write(
    store: Store, task_id: TaskId
) -> None:
    writes: list[int] = []
    add = store.egress.add

    async def counted(totals: Mapping[TaskId, Iterable[AccessTotal]]) -> None:
        writes.append(len(totals))
        await add(totals)

    store.egress.add = counted  # type: ignore[method-assign]
    ledger = EgressLedger(store.egress, now=Clock(), pause=timedelta(seconds=0.01))
    for _ in range(5_000):
        ledger.record(task_id, EVIL)
        ledger.record(task_id, GOOD)
    await ledger.close()

    assert writes == [1]
    assert counts(store, task_id) == {"evil.example": 5_000, "files.example": 5_000}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a\n\x1b[31m\u202eb\ud800", "a??[31m?b?"),
        ("x" * 253, "x" * 253),
        ("x" * 254, OVERLONG),
        (OTHER_HOSTS, "(other?hosts)"),
    ],
)
async def test_a_hosts_name_can_be_shown_and_passes_for_nothing_else(
    store: Store, task_id: TaskId, name: str, kept: str
) -> None:
    ledger = EgressLedger(store.egress, now=Clock())
    ledger.record(task_id, Access(name, 443, AccessVerdict.REFUSED, f"no {name}"))
    await ledger.close()

    (row,) = await store.egress.of_task(task_id)
    assert row.host == kept
    assert row.reason.isprintable()
    assert len(row.reason) <= 200


def test_a_killed_service_keeps_what_was_flushed(path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path[:0] = {sys.path!r}
from codebot.gateway.egress.ledger import EgressLedger
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7, utc_now
from integration.test_egress_ledger import EVIL, GOOD, NEVER
from fakes.tasks import new_task

async def main():
    store = await Store.open(Path({str(path)!r}))
    new = new_task()
    await EmbeddedQueue(store, max_pending=10, now=utc_now, new_id=new_uuid7).submit(new)
    ledger = EgressLedger(store.egress, now=utc_now, pause=NEVER)
    for _ in range(1000):
        ledger.record(new.id, EVIL)
    await ledger.flush()
    ledger.record(new.id, GOOD)
    print(new.id, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        task_id = TaskId(service.stdout.readline().strip())
        service.send_signal(signal.SIGKILL)
    left = {file.name: file.read_bytes() for file in path.parent.glob("*sqlite3*[!m]")}

    assert [(row.host, row.count) for row in asyncio.run(read_egress(path, task_id))] == [
        ("evil.example", 1000)
    ]
    assert "codebot.sqlite3-wal" in left
    assert {file.name: file.read_bytes() for file in path.parent.glob("*sqlite3*[!m]")} == left
