"""A store with a million tasks that have ended, and three events each: reads, claim and start."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

from sqlalchemy import Connection

from bench.measure import Figure, Figures, milliseconds
from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.tasks import new_task

TASKS = 1_000_000
TIMES = 200
LONG_AGO = timedelta(days=10_000)

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
_FILL = (
    """INSERT INTO tasks (id, status, outcome, forge, host, owner, name, repository_url,
        branch_name, key_fingerprint, submitted_at, started_at, completed_at, description_head)
    SELECT printf('task-%09d', i), CASE i % 4 WHEN 0 THEN 'failed' ELSE 'completed' END,
        CASE i % 4 WHEN 0 THEN 'error' ELSE 'pull_request' END, 'github', 'github.com', 'octo',
        'shop', 'https://github.com/octo/shop.git', printf('branch-%d', i), '', {time},
        {time}, {time}, printf('%.300c', 'x') FROM n""",
    """INSERT INTO runs (id, task_id, queue, kind, status, key, created_at)
    SELECT printf('run-%09d', i), printf('task-%09d', i), 'tasks', 'prompt',
        CASE i % 4 WHEN 0 THEN 'failed' ELSE 'completed' END, 'octo/shop', {time} FROM n""",
    """INSERT INTO events (id, type, time, task_id, data)
    SELECT printf('event-%09d', i), 'task.submitted', {time}, printf('task-%09d', i % {count} + 1),
        '{{"status": "completed"}}' FROM n, (VALUES (1), (2), (3))""",
)
_TIME = "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', '2026-01-01', printf('+%d seconds', i))"


def measure(folder: Path) -> Figures:
    """Ask a store of a file what services ask it."""
    yield from asyncio.run(_measure(folder / "codebot.sqlite3"))


async def _measure(file: Path) -> Sequence[Figure]:
    store = await Store.open(file)
    await store._writer.write(_fill)  # noqa: SLF001 - through the queue it takes an hour
    await store.close()
    began = time.perf_counter()
    store = await Store.open(file)
    queue = EmbeddedQueue(store, max_pending=TASKS, now=utc_now, new_id=new_uuid7)
    await queue.recover()
    start = milliseconds(time.perf_counter() - began)
    figures = [Figure("size: start and recovery", [start], 3000, "ms", note=_size(file))]
    for name, ask in _questions(store, queue).items():
        figures.append(await _timed(name, ask))
    await store.close()
    return figures


def _questions(store: Store, queue: EmbeddedQueue) -> dict[str, Callable[[], Awaitable[object]]]:
    """Give what is asked, by name; pages in the middle and at the end, too."""
    middle, last = TaskId(f"task-{TASKS // 2:09d}"), TaskId("task-000000101")
    failed = {TaskStatus.FAILED}
    none = {TaskStatus.RUNNING}

    async def claim() -> None:
        await queue.submit(new_task())
        await store.runs.claim(QueueName.TASKS, utc_now())

    return {
        "status": lambda: store.tasks.get(middle),
        "first page": lambda: store.tasks.recent(None, 100),
        "page in the middle": lambda: store.tasks.recent(None, 100, middle),
        "last page": lambda: store.tasks.recent(None, 100, last),
        "page of the failed": lambda: store.tasks.recent(failed, 100, middle),
        "page of a status that none has": lambda: store.tasks.recent(none, 100),
        "page of two statuses": lambda: store.tasks.recent(failed | none, 100, middle),
        "events of a task": lambda: store.events.after(middle, 0, 100),
        "what is due for removal, none": lambda: store.tasks.expired(utc_now() - LONG_AGO),
        "queue lengths": store.runs.waiting,
        "submit and claim": claim,
    }


async def _timed(name: str, ask: Callable[[], Awaitable[object]]) -> Figure:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        await ask()
        times.append(milliseconds(time.perf_counter() - began))
    p50, p99 = (quantiles(times, n=100)[percent - 1] for percent in (50, 99))
    return Figure(f"size: {name}: p50", [p50], 10, "ms", note=f"p99 {p99:.2f} ms")


def _fill(connection: Connection) -> None:
    for statement in _FILL:
        connection.exec_driver_sql((_NUMBERS + statement).format(count=TASKS, time=_TIME))


def _size(file: Path) -> str:
    return f"{file.stat().st_size / (1 << 20):,.0f} MiB"
