"""Runs: which one is next, and every change of one as a single transaction."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, update

from codebot.domain.conclusion import cancelled
from codebot.domain.run import QueueName, Run, RunId, RunResult
from codebot.domain.status import RunStatus
from codebot.domain.task import TaskId
from codebot.store.database import Reader, Writer
from codebot.store.fence import require_run
from codebot.store.jobs import Jobs
from codebot.store.query import Query
from codebot.store.rows import RUN_COLUMNS, moment, time_text, to_run
from codebot.store.schema import is_waiting, runs
from codebot.store.transitions import Poison, Transitions

_GET = Query(select(*RUN_COLUMNS).where(runs.c.id == bindparam("id")))
_OF_TASK = Query(
    select(*RUN_COLUMNS).where(runs.c.task_id == bindparam("task_id")).order_by(runs.c.seq)
)
_WAITING = Query(select(runs.c.queue, func.count()).where(is_waiting(runs)).group_by(runs.c.queue))
_NEXT_TIME = Query(
    select(func.min(runs.c.not_before)).where(
        is_waiting(runs),
        runs.c.queue == bindparam("queue"),
        runs.c.not_before > bindparam("now"),
    )
)
_POSTPONED = select(runs.c.seq, runs.c.not_before).where(
    is_waiting(runs),
    runs.c.queue == bindparam("queue"),
    runs.c.not_before > "",
)
_RUNNING = select(*RUN_COLUMNS).where(runs.c.status == RunStatus.RUNNING.value).with_for_update()


class Runs:
    """Every run; what changes one is fenced by its attempt number and raises `RunLost`."""

    def __init__(
        self, writer: Writer, reader: Reader, transitions: Transitions, jobs: Jobs
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._transitions = transitions
        self._jobs = jobs

    async def get(self, run_id: RunId) -> Run | None:
        """Give one run, or None."""
        row = await self._reader.first(_GET, {"id": run_id})
        return None if row is None else to_run(row)

    async def of_task(self, task_id: TaskId) -> list[Run]:
        """Give the runs of a task, oldest first."""
        return [to_run(row) for row in await self._reader.all(_OF_TASK, {"task_id": task_id})]

    async def waiting(self) -> dict[QueueName, int]:
        """Say how many runs wait in each queue; queues where none does are left out."""
        return {QueueName(queue): count for queue, count in await self._reader.all(_WAITING, {})}

    async def next_time(self, queue: QueueName, now: datetime) -> datetime | None:
        """Say when the next postponed run of the queue is due, None when none is postponed."""
        row = await self._reader.first(_NEXT_TIME, {"queue": queue.value, "now": time_text(now)})
        return None if row is None else moment(row[0])

    async def move_waits(self, by: timedelta) -> None:
        """Have every postponed run wait for a moment that is so much later, or earlier."""

        def move(connection: Connection) -> None:
            for queue in QueueName:
                found = connection.execute(_POSTPONED, {"queue": queue.value}).all()
                for seq, until in found:
                    moved = time_text(datetime.fromisoformat(until) + by)
                    connection.execute(
                        update(runs).where(runs.c.seq == seq).values(not_before=moved)
                    )

        await self._writer.write(move)

    async def claim(self, queue: QueueName, now: datetime) -> Run | None:
        """Mark the oldest run that is due as running and give it, None when none is due."""

        def claim(connection: Connection) -> Run | None:
            run = self._jobs.take_next(connection, queue, now)
            return None if run is None else self._transitions.start(connection, run, now)

        return await self._writer.write(claim)

    async def finish(self, run: Run, result: RunResult, now: datetime) -> None:
        """End the run and, with it, the task."""

        def finish(connection: Connection) -> None:
            require_run(connection, run)
            self._transitions.end(connection, run, result, now)

        await self._writer.write(finish)

    async def postpone(self, run: Run, until: datetime, reason: str, now: datetime) -> bool:
        """Put the run back until then, which counts as a failure; say whether it waits.

        One whose task somebody cancelled ends instead.
        """

        def postpone(connection: Connection) -> bool:
            require_run(connection, run)
            by = self._transitions.wish(connection, run)
            if by is not None:
                self._transitions.end(connection, run, cancelled(by), now)
                return False
            self._transitions.postpone(connection, run, until, reason)
            return True

        return await self._writer.write(postpone)

    async def interrupt(self, run: Run) -> None:
        """Put the run back at once; counts as nothing."""

        def interrupt(connection: Connection) -> None:
            require_run(connection, run)
            self._transitions.interrupt(connection, run, crashes=run.crashes)

        await self._writer.write(interrupt)

    async def recover(self, poison: Poison, now: datetime) -> int:
        """Put back every run that a dead worker left running; give their number."""

        def recover(connection: Connection) -> int:
            left = [to_run(row) for row in connection.execute(_RUNNING)]
            for run in left:
                self._transitions.lose(connection, run, poison, now)
            return len(left)

        return await self._writer.write(recover)
