"""A store with a million tasks that have ended, and three events each: reads, claim and start."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

from sqlalchemy import Connection

from bench.measure import Figure, Figures, milliseconds
from codebot.domain.ports import Queue
from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.procrastinate import ProcrastinateQueue
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.postgres import run_postgres
from fakes.tasks import new_task

TASKS = 1_000_000
TIMES = 200
LONG_AGO = timedelta(days=10_000)

_PADDED = re.compile(r"printf\('(\w+-)%09d', ([^)]+)\)")

_NUMBERS_OF_FILE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
)
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
_TIME_OF_FILE = "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', '2026-01-01', printf('+%d seconds', i))"
_NUMBERS_OF_SERVER = "WITH n(i) AS (SELECT generate_series(1, {count})) "
_TIME_OF_SERVER = (
    "to_char(timestamp '2026-01-01' + i * interval '1 s', 'YYYY-MM-DD\"T\"HH24:MI:SS')"
    " || '.000000+00:00'"
)
_WORDS = (
    ("printf('branch-%d', i)", "'branch-' || i"),
    ("printf('%.300c', 'x')", "repeat('x', 300)"),
)


def measure(folder: Path) -> Figures:
    """Ask a store of a file what services ask it."""
    file = folder / "codebot.sqlite3"
    asyncio.run(_fill_file(file))
    yield from asyncio.run(_measure(file, f"{file.stat().st_size / (1 << 20):,.0f} MiB"))


def measure_postgres(folder: Path) -> Figures:
    """Ask a PostgreSQL database the same."""
    del folder
    with run_postgres(shared_buffers="256MB", max_wal_size="4GB") as server:
        database = server.make_database()
        asyncio.run(_make_tables(server.url(database)))
        for statement in _FILL:
            server.run(_of_server(statement), database=database)
        server.run("VACUUM ANALYZE", database=database)
        ((size,),) = server.run(f"SELECT pg_size_pretty(pg_database_size('{database}'))")
        yield from asyncio.run(_measure(server.url(database), str(size)))


async def _measure(database: Path | str, size: str) -> Sequence[Figure]:
    kind = "size" if isinstance(database, Path) else "size, PostgreSQL"
    began = time.perf_counter()
    store = await Store.open(database)
    queue = _queue(store)
    await queue.recover()
    start = milliseconds(time.perf_counter() - began)
    figures = [Figure(f"{kind}: start and recovery", [start], 3000, "ms", note=size)]
    for name, ask in _questions(store, queue).items():
        figures.append(await _timed(f"{kind}: {name}: p50", ask))
    await store.close()
    return figures


def _queue(store: Store) -> Queue:
    if store.nodes is None:
        return EmbeddedQueue(store, max_pending=TASKS, now=utc_now, new_id=new_uuid7)
    return ProcrastinateQueue(
        store, store.nodes, name="node", max_pending=TASKS, now=utc_now, new_id=new_uuid7
    )


def _questions(store: Store, queue: Queue) -> dict[str, Callable[[], Awaitable[object]]]:
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
    return Figure(name, [p50], 10, "ms", note=f"p99 {p99:.2f} ms")


async def _fill_file(file: Path) -> None:
    """Fill by SQL: through the queue it takes an hour."""

    def fill(connection: Connection) -> None:
        for statement in _FILL:
            filling = (_NUMBERS_OF_FILE + statement).format(count=TASKS, time=_TIME_OF_FILE)
            connection.exec_driver_sql(filling)

    store = await Store.open(file)
    await store._writer.write(fill)  # noqa: SLF001 - nothing else fills by SQL
    await store.close()


async def _make_tables(url: str) -> None:
    store = await Store.open(url)
    await store.close()


def _of_server(statement: str) -> str:
    """Give a statement in PostgreSQL's words, where `INSERT` comes after `WITH` as well."""
    for ours, theirs in _WORDS:
        statement = statement.replace(ours, theirs)
    statement = _PADDED.sub(r"'\1' || lpad((\2)::text, 9, '0')", statement)
    return (_NUMBERS_OF_SERVER + statement).format(count=TASKS, time=_TIME_OF_SERVER)
