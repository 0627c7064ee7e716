"""The steps of a run: what finished is kept with its result, and never done again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from codebot.domain.event import EventData, EventType
from codebot.domain.outcome import PullRequest, Usage
from codebot.domain.resumption import StepRecord
from codebot.domain.run import Run, RunId
from codebot.domain.status import Phase
from codebot.errors import CodebotError
from codebot.store.database import Reader, Writer
from codebot.store.dialect import upsert
from codebot.store.events import EventRecord
from codebot.store.fence import require_run
from codebot.store.query import Query
from codebot.store.rows import time_text
from codebot.store.schema import parcels, steps, tasks

_RESULT = Query(
    select(steps.c.result).where(
        steps.c.run_id == bindparam("run_id"),
        steps.c.step == bindparam("step"),
        steps.c.round == bindparam("round"),
    )
)
_OF_RUN = Query(
    select(steps.c.step, steps.c.round, steps.c.result.is_not(None), steps.c.failure_code).where(
        steps.c.run_id == bindparam("run_id")
    )
)


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """What a finished step changes on its task. None leaves as is; `usage` is added up."""

    usage: Usage | None = None
    pull_request: PullRequest | None = None
    branch_pushed: bool | None = None
    work_dir: str | None = None
    verified: bool | None = None
    phase: Phase | None = None

    def columns(self) -> dict[Any, Any]:
        """Give the columns that change."""
        columns: dict[Any, Any] = {
            tasks.c.branch_pushed: self.branch_pushed,
            tasks.c.work_dir: self.work_dir,
            tasks.c.verified: self.verified,
            tasks.c.phase: None if self.phase is None else self.phase.value,
        }
        if self.pull_request is not None:
            columns |= {
                tasks.c.pull_request_number: self.pull_request.number,
                tasks.c.pull_request_url: self.pull_request.url,
                tasks.c.pull_request_state: self.pull_request.state,
                tasks.c.pull_request_draft: self.pull_request.draft,
            }
        if self.usage is not None:
            columns |= {
                tasks.c.turns: tasks.c.turns + self.usage.turns,
                tasks.c.input_tokens: tasks.c.input_tokens + self.usage.input_tokens,
                tasks.c.output_tokens: tasks.c.output_tokens + self.usage.output_tokens,
                tasks.c.cost_usd: tasks.c.cost_usd + self.usage.cost_usd,
            }
        return {column: value for column, value in columns.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Noted:
    """What a finished step, or an effect, changes on its task, and the events that tell of it."""

    changes: TaskChanges = field(default_factory=TaskChanges)
    events: Sequence[EventData] = ()


class Steps:
    """Every step of every run; writes are fenced and raise `RunLost`."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        record: EventRecord,
        *,
        now: Callable[[], datetime],
        redact: Callable[[str], str],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._record = record
        self._now = now
        self._redact = redact

    async def result(self, run_id: RunId, step: str, round: int) -> str | None:  # noqa: A002
        """Give what a finished step has left (JSON), None when it has not finished."""
        row = await self._reader.first(_RESULT, {"run_id": run_id, "step": step, "round": round})
        return None if row is None else row[0]

    async def of_run(self, run_id: RunId) -> list[StepRecord]:
        """Give what became of every step that a run began."""
        rows = await self._reader.all(_OF_RUN, {"run_id": run_id})
        return [StepRecord(step, round_, bool(done), code) for step, round_, done, code in rows]

    async def inherit(self, run: Run, earlier: RunId) -> None:
        """Take the steps over that an earlier run of the task finished, with their results.

        What it kept for other nodes is this one's, too.
        """

        def inherit(connection: Connection) -> None:
            require_run(connection, run)
            finished = select(steps).where(steps.c.run_id == earlier, steps.c.result.is_not(None))
            rows = [{**row, "run_id": run.id} for row in connection.execute(finished).mappings()]
            if rows:
                connection.execute(insert(steps), rows)
            theirs = update(parcels).where(
                parcels.c.task_id == run.task_id, parcels.c.run_id == earlier
            )
            connection.execute(theirs.values(run_id=run.id))
            self._record.of_run(connection, run, [(EventType.RUN_RESUMED, {"from": earlier})])

        await self._writer.write(inherit)

    async def start(self, run: Run, step: str, round: int, phase: Phase) -> None:  # noqa: A002
        """Record that the step begins (again), and show its phase on the task."""

        def start(connection: Connection) -> None:
            require_run(connection, run)
            self._put(connection, run, step, round, started_at=time_text(self._now()))
            change_task(connection, run, TaskChanges(phase=phase))
            told = _name(step, round) | {"phase": phase.value}
            self._record.of_run(connection, run, [(EventType.STEP_STARTED, told)])

        await self._writer.write(start)

    async def finish(
        self,
        run: Run,
        step: str,
        round: int,  # noqa: A002
        result: str,
        changes: TaskChanges,
        events: Sequence[EventData] = (),
    ) -> None:
        """Record in one transaction what the step gave, what it changes, and what to tell."""

        def finish(connection: Connection) -> None:
            require_run(connection, run)
            ended_at = time_text(self._now())
            self._put(connection, run, step, round, ended_at=ended_at, result=result)
            change_task(connection, run, changes)
            told = (EventType.STEP_FINISHED, _name(step, round))
            self._record.of_run(connection, run, [*events, told])

        await self._writer.write(finish)

    async def forget(self, run: Run, after: int) -> None:
        """Let what followed a round be done again; with 0, all that stands on the workspace."""

        def forget(connection: Connection) -> None:
            require_run(connection, run)
            of_run = delete(steps).where(steps.c.run_id == run.id)
            connection.execute(of_run.where(steps.c.round > after))
            if after == 0:
                connection.execute(of_run.where(steps.c.step == "set_up"))

        await self._writer.write(forget)

    async def note(self, run: Run, changes: TaskChanges, events: Sequence[EventData] = ()) -> None:
        """Record, in the middle of a step, what has changed already and what to tell."""

        def note(connection: Connection) -> None:
            require_run(connection, run)
            change_task(connection, run, changes)
            self._record.of_run(connection, run, events)

        await self._writer.write(note)

    async def fail(self, run: Run, step: str, round: int, error: CodebotError) -> None:  # noqa: A002
        """Record what the step failed with."""
        detail = self._redact(error.detail)

        def fail(connection: Connection) -> None:
            require_run(connection, run)
            columns = {"failure_code": error.code, "failure_detail": detail}
            self._put(connection, run, step, round, ended_at=time_text(self._now()), **columns)
            told = _name(step, round) | {"code": error.code, "detail": detail}
            self._record.of_run(connection, run, [(EventType.STEP_FAILED, told)])

        await self._writer.write(fail)

    def _put(
        self, connection: Connection, run: Run, step: str, round_: int, **columns: str
    ) -> None:
        """Write the step's row anew: a step that is done again forgets how it failed before."""
        row = {"run_id": run.id, "task_id": run.task_id, "step": step, "round": round_}
        fresh = {"ended_at": None, "failure_code": None, "failure_detail": None}
        values = fresh | {"attempt": run.attempt} | columns
        started = {"started_at": time_text(self._now())}
        upsert(connection, steps, row | started | values, values)


def change_task(connection: Connection, run: Run, changes: TaskChanges) -> None:
    """Change the run's task, where there is anything to change."""
    columns = changes.columns()
    if columns:
        connection.execute(update(tasks).where(tasks.c.id == run.task_id).values(columns))


def _name(step: str, round_: int) -> dict[str, Any]:
    """Give what an event says about which step it was."""
    return {"step": step, "round": round_}
