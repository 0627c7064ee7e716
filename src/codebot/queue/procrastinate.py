"""The queue of many machines: jobs of Procrastinate in the service's own PostgreSQL database."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunId, RunResult, retry_run
from codebot.domain.task import NewTask, TaskId
from codebot.errors import CodebotError
from codebot.queue.arrival import claim_due, first_run, queue_full
from codebot.queue.failures import POISON
from codebot.store.postgres.jobs import WISHES
from codebot.store.postgres.nodes import Nodes
from codebot.store.store import Store

log = structlog.get_logger(__name__)

LONGEST_NAP = 1.0
"""Seconds after which a worker looks by itself, at the latest: a wake-up may be lost."""

BEAT = 2.0
"""Seconds between two signs of life."""

DEAD_AFTER = timedelta(seconds=10)
"""A process that gave no sign of life for so long is dead, and its runs go to others."""

LEAVING = 2.0
"""Seconds for saying that this process goes; else the others notice."""

_CHANNEL = "procrastinate_queue_v1#"


class ProcrastinateQueue:
    """Implements `domain.ports.Queue` for any number of processes on one database.

    A run is claimed together with its job, in one transaction; what is true of it is in our own
    tables. Whoever makes a run due wakes those who wait for one, on every node; a wake-up that is
    lost costs a second. `name` is that of this process and of its successors, None for one that
    has none.
    """

    def __init__(
        self,
        store: Store,
        nodes: Nodes,
        *,
        name: str | None,
        max_pending: int,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._name = name
        self._max_pending = max_pending
        self._now = now
        self._new_id = new_id
        self._lines = {queue: _Line() for queue in QueueName}
        self._ears: dict[RunId, asyncio.Event] = {}
        self._held: set[RunId] = set()
        self._unheld: set[RunId] = set()
        self._pulse = _Pulse()

    async def submit(self, new: NewTask, key: RequestKey | None = None) -> TaskId:
        """Store the task with its first run, unless `key` has one already; give its id.

        Raises `QueueFull` with nothing stored, `Conflict`, `KeyReused` and `StoreUnavailable`.
        Places are counted in the transaction that takes them, in turn with every other node.
        """
        run = first_run(new, self._new_id())
        stored = self._store.submissions.add_within(self._max_pending, new, run, key)
        task_id = await asyncio.shield(stored)
        if task_id is None:
            raise queue_full(self._max_pending)
        return task_id

    async def enqueue(self, run: Run) -> None:
        """Store a further run of a task that is there: a review or a round for a red CI."""
        await self._store.submissions.add_run(run)

    async def claim(self, queue: QueueName) -> Run:
        """Wait for the next run that is due, oldest first, and mark it running."""
        line = self._lines[queue]
        async with line.turn:
            while True:
                line.awake.clear()
                run = await claim_due(self._store, queue, self._now())
                if run is not None:
                    self._held.add(run.id)
                    return run
                await self._wait_for_due(queue, line)

    async def finish(self, run: Run, result: RunResult) -> None:
        """End the run and, with it, the task; raises `RunLost`."""
        await self._store.runs.finish(run, result, self._now())
        self._held.discard(run.id)

    async def postpone(self, run: Run, until: datetime, reason: str) -> None:
        """Put the run back for a later attempt; raises `RunLost`."""
        await self._store.runs.postpone(run, until, reason, self._now())
        self._held.discard(run.id)

    async def interrupt(self, run: Run) -> None:
        """Put the run back at once, because its worker stops; raises `RunLost`."""
        await self._store.runs.interrupt(run)
        self._held.discard(run.id)

    async def cancel(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """End a task that waits, or have whoever works on it, on whichever node, end it.

        Raises `NotFound`, `Conflict`, `KeyReused` and `StoreUnavailable`.
        """
        return await self._store.wishes.cancel(task_id, by, self._now(), key)

    async def retry(self, task_id: TaskId, by: str, key: RequestKey | None = None) -> Answered:
        """Store a further run of a task that failed; its place is taken as for a submit.

        Raises `NotFound`, `Conflict`, `QueueFull`, `KeyReused` and `StoreUnavailable`.
        """
        run = retry_run(RunId(self._new_id()), task_id, self._now())
        answered = await self._store.wishes.retry(run, by, key, most=self._max_pending)
        if answered is None:
            raise queue_full(self._max_pending)
        return answered

    async def wait_for_cancel(self, run: Run) -> str:
        """Wait until somebody wants the task of a claimed run to end, and say who that is.

        Raises `RunLost` soon after the run was taken over.
        """
        ear = self._ears.setdefault(run.id, asyncio.Event())
        try:
            while True:
                ear.clear()
                by = await self._store.wishes.of(run)
                if by is not None:
                    return by
                with suppress(TimeoutError):
                    await asyncio.wait_for(ear.wait(), _jittered(LONGEST_NAP))
        finally:
            self._ears.pop(run.id, None)

    async def recover(self) -> int:
        """At start: put back what this process' predecessor left running; say how many."""
        return await self._nodes.arrive(self._name, POISON)

    async def size(self, queue: QueueName) -> int:
        """Say how many runs wait in this queue (running ones not counted)."""
        return (await self._store.runs.waiting()).get(queue, 0)

    async def keep_in_touch(self) -> None:
        """Listen for wake-ups, give signs of life, and put back what the dead left; till cancelled.

        A database that is away is waited for.
        """
        channels = {f"{_CHANNEL}{name}": line.wake for name, line in self._lines.items()}
        listener = self._nodes.listener({**channels, WISHES: self._hear_wish}, self._wake_all)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(listener.keep_listening())
                group.create_task(self._keep_beating())
        finally:
            with suppress(CodebotError, TimeoutError):
                async with asyncio.timeout(LEAVING):
                    await self._nodes.leave()

    async def _wait_for_due(self, queue: QueueName, line: "_Line") -> None:
        """Wait until somebody says that a run is due, or a look finds that one may be."""
        while not line.awake.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(line.awake.wait(), _jittered(LONGEST_NAP))
                return
            if await self._nodes.has_due(queue):
                return

    def _wake_all(self) -> None:
        """Let everybody look: nobody knows what was said while nobody listened."""
        for line in self._lines.values():
            line.wake()
        for ear in self._ears.values():
            ear.set()

    def _hear_wish(self, run_id: str) -> None:
        if RunId(run_id) in self._ears:
            self._ears[RunId(run_id)].set()

    async def _keep_beating(self) -> None:
        while True:
            try:
                await self._beat()
            except CodebotError as error:
                self._pulse.skip()
                log.warning("node.unseen", detail=error.detail)
            await asyncio.sleep(_jittered(BEAT))

    async def _beat(self) -> None:
        await self._put_unheld_back(await self._nodes.beat())
        self._pulse.beat()
        if self._pulse.steady_for(DEAD_AFTER) and await self._nodes.has_dead(DEAD_AFTER):
            rescued = await self._nodes.rescue(DEAD_AFTER, POISON)
            if rescued:
                log.warning("node.dead", runs_put_back=rescued)

    async def _put_unheld_back(self, mine: list[Run]) -> None:
        """Put back what is ours by the database, and nobody here knows of.

        The connection was lost while the claim was committed. One that is seen twice is no claim
        on its way.
        """
        unheld = {run.id: run for run in mine if run.id not in self._held}
        for run_id in self._unheld & unheld.keys():
            log.warning("run.unheld", run_id=run_id)
            await self._store.runs.interrupt(unheld[run_id])
        self._unheld = set(unheld)


@dataclass(slots=True)
class _Line:
    """The sleep of the one worker of a queue that looks next; only the holder of `turn` looks."""

    awake: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self, _: str = "") -> None:
        """Let it look again."""
        self.awake.set()


@dataclass(slots=True)
class _Pulse:
    """Since when this process has given its signs of life without a gap, by its own clock.

    Who was cut off, or stood still, is in no position to call others dead: when the database comes
    back, everybody has been silent.
    """

    since: float | None = None
    last: float = 0.0

    def beat(self) -> None:
        """Count a sign of life."""
        now = time.monotonic()
        if self.since is None or now - self.last > 3 * BEAT:
            self.since = now
        self.last = now

    def skip(self) -> None:
        """Count one that could not be given."""
        self.since = None

    def steady_for(self, duration: timedelta) -> bool:
        """Say whether there was no gap for so long."""
        return self.since is not None and self.last - self.since >= duration.total_seconds()


def _jittered(seconds: float) -> float:
    """Spread what many nodes do at once over a while."""
    return seconds * random.uniform(0.7, 1)  # noqa: S311  nobody has to be kept from guessing it
