"""What people want of tasks that are there: that they end, and that they are tried again."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from codebot.domain.conclusion import cancelled
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run
from codebot.domain.status import RunStatus, TaskStatus, is_final
from codebot.domain.task import TaskId
from codebot.errors import Conflict, NotFound
from codebot.store.database import Reader, Writer
from codebot.store.fence import lost
from codebot.store.jobs import Jobs
from codebot.store.query import Query
from codebot.store.request_keys import find_key, take_key
from codebot.store.rows import RUN_COLUMNS, run_columns, to_run
from codebot.store.schema import is_live, runs, tasks
from codebot.store.submissions import free_places
from codebot.store.transitions import Transitions

_WISH = Query(
    select(runs.c.attempt, runs.c.status, tasks.c.cancel_wished_by)
    .join(tasks, tasks.c.id == runs.c.task_id)
    .where(runs.c.id == bindparam("id"))
)

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


class Wishes:
    """Every wish; each is on disk, or has come true, when it is answered."""

    def __init__(
        self, writer: Writer, reader: Reader, transitions: Transitions, jobs: Jobs
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._transitions = transitions
        self._jobs = jobs

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

    async def of(self, run: Run) -> str | None:
        """Say who wants the task of a claimed run to end, None for nobody; raises `RunLost`."""
        row = await self._reader.first(_WISH, {"id": run.id})
        if row is None or row[:2] != (run.attempt, RunStatus.RUNNING.value):
            raise lost(run)
        by: str | None = row[2]
        return by

    def _cancel(self, connection: Connection, run: Run, by: str, now: datetime) -> TaskStatus:
        """End a run that waits, at once; have it written down that one at work shall end."""
        if run.status is not RunStatus.RUNNING:
            self._transitions.end(connection, run, cancelled(by), now)
            return TaskStatus.CANCELLED
        if self._transitions.wish(connection, run) is None:
            self._transitions.wish_cancel(connection, run, by)
        return TaskStatus.RUNNING


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
