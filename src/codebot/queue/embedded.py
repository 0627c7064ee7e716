"""The queue of one machine: rows of the service's own SQLite database, wake-ups in its process."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunId, RunResult, queue_of, retry_run
from codebot.domain.status import TaskStatus
from codebot.domain.task import NewTask, TaskId
from codebot.queue.arrival import claim_due, first_run, queue_full
from codebot.queue.clock import LEAST, NEVER, never_set
from codebot.queue.failures import POISON
from codebot.store.store import Store

T = TypeVar("T")

log = structlog.get_logger(__name__)

LONGEST_NAP = timedelta(minutes=1)
"""How long a postponed run is slept for at once: the machine's clock may be set meanwhile."""


class EmbeddedQueue:
    """Implements `domain.ports.Queue` for one process that owns its database.

    Claims are compare-and-set in the same database as the tasks, so a task and its place in the
    queue cannot come apart. Nobody polls: whoever makes a run due wakes the one worker of that
    queue that looks for the next, and a postponed run is waited for by its time. It counts from
    none: on a database with runs in it, `recover` goes first.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_pending: int,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        set_by: Callable[[], timedelta] = never_set,
    ) -> None:
        """Claim from `store`; `set_by` says by how much `now` was set since it was asked last."""
        self._store = store
        self._set_by = set_by
        self._max_pending = max_pending
        self._now = now
        self._new_id = new_id
        self._lines = {name: _Line() for name in QueueName}
        self._wishes: dict[TaskId, asyncio.Event] = {}

    async def submit(self, new: NewTask, key: RequestKey | None = None) -> TaskId:
        """Store the task with its first run, unless `key` has one already; give its id.

        Raises `QueueFull` with nothing stored, `Conflict`, `KeyReused` and `StoreUnavailable`. The
        place is taken before the write begins, so two callers never get the last one.
        """
        line = self._take_place()
        stored = self._store.submissions.add(new, first_run(new, self._new_id()), key)
        stored.add_done_callback(partial(line.settle_arrival, new.id))
        return await asyncio.shield(stored)

    async def enqueue(self, run: Run) -> None:
        """Store a further run of a task that is there: a review or a round for a red CI."""
        await _in_full(self._enqueue(run))

    async def claim(self, queue: QueueName) -> Run:
        """Wait for the next run that is due, oldest first, and mark it running."""
        line = self._lines[queue]
        async with line.turn:
            while True:
                line.awake.clear()
                await self._heed_clock()
                now = self._now()
                run = await self._claim_due(queue, now)
                if run is not None:
                    return run
                await self._wait(queue, now)

    async def finish(self, run: Run, result: RunResult) -> None:
        """End the run and, with it, the task; raises `RunLost`."""
        await _in_full(self._finish(run, result))

    async def postpone(self, run: Run, until: datetime, reason: str) -> None:
        """Put the run back for a later attempt; raises `RunLost`."""
        await _in_full(self._postpone(run, until, reason))

    async def interrupt(self, run: Run) -> None:
        """Put the run back at once, because its worker stops; raises `RunLost`."""
        await _in_full(self._interrupt(run))

    async def cancel(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """End a task that waits, or have whoever works on it end it.

        Raises `NotFound`, `Conflict`, `KeyReused` and `StoreUnavailable`.
        """
        return await _in_full(self._cancel(task_id, by, key))

    async def retry(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """Store a further run of a task that failed; its place is taken before, as for a submit.

        Raises `NotFound`, `Conflict`, `QueueFull`, `KeyReused` and `StoreUnavailable`.
        """
        return await _in_full(self._retry(task_id, by, key))

    async def wait_for_cancel(self, run: Run) -> str:
        """Wait until somebody wants the task of a claimed run to end, and say who that is."""
        wish = self._wishes.setdefault(run.task_id, asyncio.Event())
        try:
            while True:
                wish.clear()
                task = await self._store.tasks.get(run.task_id)
                if task is not None and task.cancel_wished_by is not None:
                    return task.cancel_wished_by
                await wish.wait()
        finally:
            self._wishes.pop(run.task_id, None)

    async def recover(self) -> int:
        """At start: put back what a dead worker left running and count what waits; say how many."""
        await self._heed_clock_before()
        recovered = await self._store.runs.recover(POISON, self._now())
        waiting = await self._store.runs.waiting()
        for name, line in self._lines.items():
            line.size = waiting.get(name, 0)
        self._wake_all()
        return recovered

    async def size(self, queue: QueueName) -> int:
        """Say how many runs wait in this queue (running ones not counted)."""
        return self._lines[queue].size

    async def keep_in_touch(self) -> None:
        """Do nothing: there is nobody else."""

    def _take_place(self) -> "_Line":
        """Take a place among the tasks that wait; raises `QueueFull`."""
        line = self._lines[QueueName.TASKS]
        if line.size >= self._max_pending:
            raise queue_full(line.size)
        line.size += 1
        return line

    async def _retry(self, task_id: TaskId, by: str, key: RequestKey | None) -> Answered:
        line, is_stored = self._take_place(), False
        try:
            run = retry_run(RunId(self._new_id()), task_id, self._now())
            answered = await self._store.wishes.retry(run, by, key)
            if answered is None:
                raise queue_full(line.size)
            is_stored = not answered.is_replay
        finally:
            line.size -= not is_stored
        self._wake_all()
        return answered

    async def _enqueue(self, run: Run) -> None:
        """Store the run, then count it."""
        await self._store.submissions.add_run(run)
        self._lines[queue_of(run.kind)].arrive()

    async def _claim_due(self, queue: QueueName, now: datetime) -> Run | None:
        """Claim what is due, None if nothing is, and count one less."""
        if self._lines[queue].size == 0:
            return None
        run = await claim_due(self._store, queue, now)
        if run is not None:
            self._lines[queue].size -= 1
        return run

    async def _wait(self, queue: QueueName, now: datetime) -> None:
        """Sleep until something changes in the queue or its next postponed run is due.

        `now` is the moment at which nothing was due: a run that became due since must count.
        """
        due = await self._store.runs.next_time(queue, now)
        nap = None if due is None else min(due - now, LONGEST_NAP).total_seconds()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._lines[queue].awake.wait(), nap)

    async def _finish(self, run: Run, result: RunResult) -> None:
        """End the run, then let whoever waits for its key look again."""
        await self._store.runs.finish(run, result, self._now())
        self._wake_all()

    async def _heed_clock(self) -> None:
        """Have postponed runs wait for as long as they would have, when the clock was set."""
        by = self._set_by()
        if by:
            log.warning("clock.set", seconds=round(by.total_seconds()))
            await self._store.runs.move_waits(by)

    async def _heed_clock_before(self) -> None:
        """Do so for a clock that was set back while nobody worked: it is behind what happened.

        One that was set forwards looks like a long rest.
        """
        last = await self._store.events.newest_time()
        ahead = NEVER if last is None else last - self._now()
        if ahead >= LEAST:
            log.warning("clock.set", seconds=-round(ahead.total_seconds()))
            await self._store.runs.move_waits(-ahead)

    async def _postpone(self, run: Run, until: datetime, reason: str) -> None:
        """Put the run back until then, and count it if it waits."""
        await self._heed_clock()
        if await self._store.runs.postpone(run, until, reason, self._now()):
            self._lines[queue_of(run.kind)].size += 1
        self._wake_all()

    async def _interrupt(self, run: Run) -> None:
        """Put the run back at once, then count it."""
        await self._store.runs.interrupt(run)
        self._lines[queue_of(run.kind)].size += 1
        self._wake_all()

    async def _cancel(self, task_id: TaskId, by: str, key: RequestKey | None) -> Answered:
        """Write the wish; count one less that waits, or tell whoever works on it."""
        answered = await self._store.wishes.cancel(task_id, by, self._now(), key)
        if not answered.is_replay and answered.status is TaskStatus.CANCELLED:
            self._lines[QueueName.TASKS].size -= 1
            self._wake_all()
        elif task_id in self._wishes:
            self._wishes[task_id].set()
        return answered

    def _wake_all(self) -> None:
        """Let both queues look again: a key may be shared between them."""
        for line in self._lines.values():
            line.awake.set()


@dataclass(slots=True)
class _Line:
    """One queue in memory: how many wait, and the sleep of the one worker that looks next.

    Only the holder of `turn` looks; so a submit wakes one worker, not all of them.
    """

    size: int = 0
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def arrive(self) -> None:
        """Count one more that waits."""
        self.size += 1
        self.awake.set()

    def settle_arrival(self, task_id: TaskId, stored: asyncio.Future[TaskId]) -> None:
        """Keep the place that was taken in advance if the task was stored, give it back if not."""
        if stored.cancelled() or stored.exception() is not None or stored.result() != task_id:
            self.size -= 1
        else:
            self.awake.set()


async def _in_full(work: Coroutine[Any, Any, T]) -> T:
    """Await what must not be left half done: a cancellation comes through when it is over.

    What is on disk has to be counted in memory, whoever stops waiting for it.
    """
    whole = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(whole)
    except asyncio.CancelledError:
        await asyncio.wait([whole])
        raise
