"""The backends that every test of this folder runs against, on both databases: one line each."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from codebot.domain.ports import Queue
from codebot.domain.run import Run
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock

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


@asynccontextmanager
async def open_embedded(database: Path | str, clock: Clock) -> AsyncIterator[Backend]:
    store = await Store.open(database, now=clock)
    queue = EmbeddedQueue(store, max_pending=MAX_PENDING, now=clock, new_id=new_uuid7)
    yield Backend(queue, store, clock, queue.enqueue, lambda: open_embedded(database, clock))
    await store.close()


BACKENDS = {"embedded": open_embedded}


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, database: Path | str) -> AsyncIterator[Backend]:
    async with BACKENDS[request.param](database, Clock()) as backend:
        yield backend
