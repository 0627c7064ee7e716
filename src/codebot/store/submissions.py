"""What a 202 promises: the task, its first run and its first event, in one commit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from codebot.domain.event import EventType
from codebot.domain.run import Run
from codebot.domain.task import NewTask
from codebot.errors import Conflict
from codebot.store.database import Writer
from codebot.store.events import EventRecord, insert_events
from codebot.store.many import InsertMany
from codebot.store.rows import (
    HEAD_LENGTH,
    NEW_RUN_COLUMNS,
    NEW_TASK_COLUMNS,
    run_columns,
    task_columns,
)
from codebot.store.schema import descriptions, runs, tasks

_insert_tasks = InsertMany(tasks, NEW_TASK_COLUMNS)
_insert_runs = InsertMany(runs, NEW_RUN_COLUMNS)
_insert_descriptions = InsertMany(descriptions, ("task_id", "text"))


@dataclass(frozen=True, slots=True)
class _Submission:
    """The rows of one submitted task, made on the loop so that the transaction stays short."""

    task: dict[str, Any]
    description: dict[str, Any] | None
    run: dict[str, Any]
    event: dict[str, Any]


class Submissions:
    """Stores new tasks, those of many callers with a handful of statements."""

    def __init__(self, writer: Writer, record: EventRecord) -> None:
        self._writer = writer
        self._record = record

    def add(self, new: NewTask, run: Run) -> asyncio.Future[None]:
        """Store a task and its first run; the future is done once both are on disk.

        It fails with `Conflict` when the branch name is taken in that repository.
        """
        description = new.request.description
        told = {"branch_name": new.branch_name, "ticket_id": new.request.ticket_id}
        submission = _Submission(
            task_columns(new),
            {"task_id": new.id, "text": description} if len(description) >= HEAD_LENGTH else None,
            run_columns(run),
            self._record.row(new.id, run.id, EventType.TASK_SUBMITTED, told),
        )
        return self._writer.write_bulk(_insert, submission)

    async def add_run(self, run: Run) -> None:
        """Store a further run of a task that is there already."""
        columns = run_columns(run)
        await self._writer.write(lambda connection: connection.execute(insert(runs), columns))


def _insert(connection: Connection, submissions: Sequence[_Submission]) -> Sequence[None]:
    """Insert the tasks of many callers, one statement per table."""
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
    return [None] * len(submissions)
