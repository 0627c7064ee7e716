"""Runs: which one is next, and every change of one as a single transaction."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, insert, select, update

from codebot.domain.conclusion import cancelled
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunId, RunResult
from codebot.domain.status import RunStatus, TaskStatus, is_final
from codebot.domain.task import TaskId
from codebot.errors import Conflict, NotFound
from codebot.store.database import Reader, Writer
from codebot.store.fence import lost, require_run
from codebot.store.jobs import Jobs
from codebot.store.query import Query
from codebot.store.request_keys import find_key, take_key
from codebot.store.rows import RUN_COLUMNS, moment, run_columns, time_text, to_run
from codebot.store.schema import is_live, is_waiting, runs, tasks
from codebot.store.submissions import free_places
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
_WISH = Query(
    select(runs.c.attempt, runs.c.status, tasks.c.cancel_wished_by)
    .join(tasks, tasks.c.id == runs.c.task_id)
    .where(runs.c.id == bindparam("id"))
)
_RUNNING = select(*RUN_COLUMNS).where(runs.c.status == RunStatus.RUNNING.value).with_for_update()

_DRIVING = (
    select(*RUN_COLUMNS)
    .where(
        is_live(runs),
        runs.c.task_id == bindparam("task_id"),
        runs.c.queue == QueueName.TASKS.value,
    )
    .with_for_update()
)
_ANY = select(runs.c.seq).where(runs.c.task_id == bindparam("task_id")).limit(1)
_STATUS = select(tasks.c.status).where(tasks.c.id == bindparam("task_id")).with_for_update()


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

    async def cancel(
        self, task_id: TaskId, by: str, now: datetime, key: RequestKey | None = None
    ) -> Answered:
        """End a task whose run waits, or write down that it shall end; say where it stands now.

        Raises `NotFound`, `Conflict` for one that has ended, and `KeyReused`.
        """

        def cancel(connection: Connection) -> Answered:
            run = _driving_run(connection, task_id)
            status = _require_task(connection, task_id)
            before = None if key is None else find_key(connection, key)
            if before is not None:
                return before
            if run is None or is_final(status):
                raise Conflict(_ended(status))
            answered = Answered(task_id, self._cancel(connection, run, by, now))
            return answered if key is None else take_key(connection, key, answered)

        return await self._writer.write(cancel)

    async def retry(
        self, run: Run, by: str, key: RequestKey | None = None, *, most: int | None = None
    ) -> Answered | None:
        """Store a further run of a task that failed, and have the task wait for it.

        None, with nothing stored, where `most` tasks wait already. Raises `NotFound`, `Conflict`
        for a task that waits, is worked on or is completed, and `KeyReused`.
        """

        def retry(connection: Connection) -> Answered | None:
            is_full = most is not None and free_places(connection, most) <= 0
            live = _driving_run(connection, run.task_id)
            status = _require_task(connection, run.task_id)
            before = None if key is None else find_key(connection, key)
            if before is not None:
                return before
            if live is not None or status not in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
                raise Conflict(_not_failed(status))
            if connection.execute(_ANY, {"task_id": run.task_id}).one_or_none() is None:
                raise NotFound("The task is being deleted: its time is over.")
            if is_full:
                return None
            connection.execute(insert(runs), run_columns(run))
            self._jobs.add(connection, [run.id])
            self._transitions.retry(connection, run, by)
            answered = Answered(run.task_id, TaskStatus.PENDING)
            return answered if key is None else take_key(connection, key, answered)

        return await self._writer.write(retry)

    def _cancel(self, connection: Connection, run: Run, by: str, now: datetime) -> TaskStatus:
        """End a run that waits, at once; have it written down that one at work shall end."""
        if run.status is not RunStatus.RUNNING:
            self._transitions.end(connection, run, cancelled(by), now)
            return TaskStatus.CANCELLED
        if self._transitions.wish(connection, run) is None:
            self._transitions.wish_cancel(connection, run, by)
        return TaskStatus.RUNNING

    async def wish(self, run: Run) -> str | None:
        """Say who wants the task of a claimed run to end, None for nobody; raises `RunLost`."""
        row = await self._reader.first(_WISH, {"id": run.id})
        if row is None or row[:2] != (run.attempt, RunStatus.RUNNING.value):
            raise lost(run)
        by: str | None = row[2]
        return by

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


def _driving_run(connection: Connection, task_id: TaskId) -> Run | None:
    """Give the run that a task waits for, None where it has ended; nobody changes it meanwhile.

    Runs are locked before their tasks, as the fence does.
    """
    row = connection.execute(_DRIVING, {"task_id": task_id}).one_or_none()
    return None if row is None else to_run(row)


def _require_task(connection: Connection, task_id: TaskId) -> TaskStatus:
    """Give the status of a task, which nobody changes meanwhile; raises `NotFound`."""
    status = connection.execute(_STATUS, {"task_id": task_id}).scalar_one_or_none()
    if status is None:
        raise NotFound("There is no task with this id.")
    return TaskStatus(status)


def _not_failed(status: TaskStatus) -> str:
    """Say why a task in this status cannot be retried."""
    if status is TaskStatus.COMPLETED:
        return "The task is completed: there is nothing to retry. Submit what is still to be done."
    return f"The task is {status}: it can be retried when it has failed. Cancel it to begin anew."


def _ended(status: TaskStatus) -> str:
    return f"The task has ended already: it is {status}. There is nothing left to cancel."
