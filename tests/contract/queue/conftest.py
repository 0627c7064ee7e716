"""The queues that every test of this folder runs against: one line each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from codebot.domain.ports import Queue
from codebot.domain.run import Run
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.procrastinate import ProcrastinateQueue
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock
from fakes.plans import Plans

MAX_PENDING = 5


@dataclass(frozen=True)
class Backend:
    """A queue with the store that it keeps its tasks in; `enqueue` adds a further run of a task.

    `restarted` gives the same queue as another process would find it after this one died.
    """

    queue: Queue
    store: Store
    clock: Clock
    enqueue: Callable[[Run], Awaitable[None]]
    restarted: Callable[[], AbstractAsyncContextManager["Backend"]]


LET_PASS = """
    UPDATE procrastinate_jobs SET scheduled_at = scheduled_at - %s
    WHERE id IN (SELECT id FROM procrastinate_jobs FOR UPDATE SKIP LOCKED)
"""
"""Who holds a job may be this very loop, which waits for the answer."""


class ServersClock(Clock):
    """A clock that a server goes by, whose own cannot be set: what is due later is so earlier."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def pass_by(self, duration: timedelta) -> None:
        super().pass_by(duration)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(LET_PASS, [duration])


@asynccontextmanager
async def open_embedded(database: Path, clock: Clock) -> AsyncIterator[Backend]:
    store = await Store.open(database, now=clock)
    queue = EmbeddedQueue(store, max_pending=MAX_PENDING, now=clock, new_id=new_uuid7)
    yield Backend(queue, store, clock, queue.enqueue, lambda: open_embedded(database, clock))
    await store.close()


@asynccontextmanager
async def open_procrastinate(url: str, clock: Clock) -> AsyncIterator[Backend]:
    store = await Store.open(url, now=clock)
    assert store.nodes is not None
    queue = ProcrastinateQueue(
        store,
        store.nodes,
        name="node",
        max_pending=MAX_PENDING,
        now=clock,
        new_id=new_uuid7,
    )
    yield Backend(queue, store, clock, queue.enqueue, lambda: open_procrastinate(url, clock))
    await store.close()


BACKENDS: dict[str, Callable[[Any, Any], AbstractAsyncContextManager[Backend]]] = {
    "embedded": open_embedded,
    "procrastinate": open_procrastinate,
}


@pytest.fixture(autouse=True)
def _nothing_scans(plans: Plans) -> Iterator[None]:
    """Let no statement read a whole table of SQLite; for PostgreSQL `postgres_url` does so."""
    yield
    assert plans.scans_of_file() == []


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path | str, Clock]:
    """Which queue, on which database of one test's own, and by which clock."""
    if request.param == "embedded":
        return request.param, tmp_path / "data" / "codebot.sqlite3", Clock()
    url: str = request.getfixturevalue("postgres_url")
    return request.param, url, ServersClock(url)


@pytest.fixture
async def backend(place: tuple[str, Path | str, Clock]) -> AsyncIterator[Backend]:
    name, database, clock = place
    async with BACKENDS[name](database, clock) as backend:
        await backend.queue.recover()
        yield backend
