"""What a 202 promises: the task, its first run and its first event, in one commit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from codebot.domain.event import EventType
from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.run import QueueName, Run, RunId
from codebot.domain.status import TaskStatus
from codebot.domain.task import NewTask, TaskId
from codebot.errors import Conflict
from codebot.store.database import Bulk, Writer
from codebot.store.dialect import submit_in_turn
from codebot.store.events import EventRecord, insert_events
from codebot.store.jobs import Jobs
from codebot.store.many import InsertMany
from codebot.store.request_keys import release_keys, take_key
from codebot.store.rows import (
    HEAD_LENGTH,
    NEW_RUN_COLUMNS,
    NEW_TASK_COLUMNS,
    run_columns,
    task_columns,
)
from codebot.store.schema import descriptions, is_waiting, runs, tasks

_insert_tasks = InsertMany(tasks, NEW_TASK_COLUMNS)
_insert_runs = InsertMany(runs, NEW_RUN_COLUMNS)
_insert_descriptions = InsertMany(descriptions, ("task_id", "text"))
_PLACES_TAKEN = select(func.count()).select_from(
    select(runs.c.seq)
    .where(is_waiting(runs), runs.c.queue == QueueName.TASKS.value)
    .limit(bindparam("most"))
    .subquery()
)


@dataclass(frozen=True, slots=True)
class _Submission:
    """The rows of one submitted task, made on the loop so that the transaction stays short.

    `most` is how many tasks may wait, where the database is asked for that.
    """

    task: dict[str, Any]
    description: dict[str, Any] | None
    run: dict[str, Any]
    event: dict[str, Any]
    key: RequestKey | None
    most: int

    @property
    def task_id(self) -> TaskId:
        """The id of the task, if there is none already for its key."""
        return TaskId(self.task["id"])


class Submissions:
    """Stores new tasks, those of many callers with a handful of statements."""

    def __init__(self, writer: Writer, record: EventRecord, jobs: Jobs) -> None:
        self._writer = writer
        self._record = record
        self._jobs = jobs
        self._insert: Bulk[_Submission, TaskId] = partial(_insert, jobs)
        self._insert_within: Bulk[_Submission, TaskId | None] = partial(_insert_within, jobs)

    def add(self, new: NewTask, run: Run, key: RequestKey | None = None) -> asyncio.Future[TaskId]:
        """Store a task and its first run; the future gives its id once both are on disk.

        Where `key` was used for the same request before, nothing is stored, and the future gives
        the id of the task of then. It fails with `Conflict` when the branch name is taken in that
        repository, with `KeyReused` for the key of another request.
        """
        return self._writer.write_bulk(self._insert, self._rows(new, run, key))

    def add_within(
        self, most: int, new: NewTask, run: Run, key: RequestKey | None = None
    ) -> asyncio.Future[TaskId | None]:
        """As `add`, unless `most` tasks wait already: then nothing is stored, and it gives None.

        Of processes that submit at the same time, none takes a place that another has taken.
        """
        return self._writer.write_bulk(self._insert_within, self._rows(new, run, key, most))

    def _rows(self, new: NewTask, run: Run, key: RequestKey | None, most: int = 0) -> _Submission:
        description = new.request.description
        told = {"branch_name": new.branch_name, "ticket_id": new.request.ticket_id}
        return _Submission(
            task_columns(new),
            {"task_id": new.id, "text": description} if len(description) >= HEAD_LENGTH else None,
            run_columns(run),
            self._record.row(new.id, run.id, EventType.TASK_SUBMITTED, told),
            key,
            most,
        )

    async def add_run(self, run: Run) -> None:
        """Store a further run of a task that is there already."""
        columns = run_columns(run)

        def add(connection: Connection) -> None:
            connection.execute(insert(runs), columns)
            self._jobs.add(connection, [run.id])

        await self._writer.write(add)


def free_places(connection: Connection, most: int) -> int:
    """Say how many more tasks may wait, of `most`; nobody else takes one until this is over."""
    submit_in_turn(connection)
    taken: int = connection.execute(_PLACES_TAKEN, {"most": most}).scalar_one()
    return most - taken


def _insert_within(
    jobs: Jobs, connection: Connection, submissions: Sequence[_Submission]
) -> Sequence[TaskId | None]:
    """As `_insert`, for as many as there are places; None for those that found none."""
    room = free_places(connection, submissions[0].most)
    earlier = _take_keys(connection, submissions)
    new = [one for one in submissions if one.task_id not in earlier]
    _insert_new(jobs, connection, new[:room])
    refused = {one.task_id: one.key for one in new[room:]}
    release_keys(connection, [key for key in refused.values() if key is not None])
    given = [earlier.get(one.task_id, one.task_id) for one in submissions]
    return [None if task_id in refused else task_id for task_id in given]


def _insert(
    jobs: Jobs, connection: Connection, submissions: Sequence[_Submission]
) -> Sequence[TaskId]:
    """Insert the tasks of many callers, one statement per table; give the id of each."""
    earlier = _take_keys(connection, submissions)
    _insert_new(jobs, connection, [one for one in submissions if one.task_id not in earlier])
    return [earlier.get(one.task_id, one.task_id) for one in submissions]


def _take_keys(connection: Connection, submissions: Sequence[_Submission]) -> dict[TaskId, TaskId]:
    """Bind keys to their tasks; give those of earlier ones, by the id that each would have had.

    In one order, so that no two transactions wait for each other.
    """
    earlier = {}
    by_key = {one.task_id: one.key for one in submissions if one.key is not None}
    for task_id, key in sorted(by_key.items(), key=lambda pair: pair[1].id):
        answered = take_key(connection, key, Answered(task_id, TaskStatus.PENDING))
        if answered.is_replay:
            earlier[task_id] = answered.task_id
    return earlier


def _insert_new(jobs: Jobs, connection: Connection, submissions: Sequence[_Submission]) -> None:
    try:
        _insert_tasks(connection, [one.task for one in submissions])
    except IntegrityError as error:
        taken = ", ".join(one.task["branch_name"] for one in submissions)
        raise Conflict(f"The branch {taken} belongs to another task.") from error
    _insert_runs(connection, [one.run for one in submissions])
    insert_events(connection, [one.event for one in submissions])
    long = [one.description for one in submissions if one.description is not None]
    if long:
        _insert_descriptions(connection, long)
    jobs.add(connection, [RunId(one.run["id"]) for one in submissions])
