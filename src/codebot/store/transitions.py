"""How runs and their tasks change state: rows of both, and the events that tell of it.

Nothing here commits. Callers wrap one of these in a transaction, behind the fence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from codebot.domain.conclusion import cancelled
from codebot.domain.event import EventType
from codebot.domain.outcome import Failure
from codebot.domain.run import QueueName, Run, RunResult, queue_of
from codebot.domain.status import (
    Phase,
    RunStatus,
    TaskStatus,
    check_run_transition,
    check_task_transition,
)
from codebot.store.events import EventRecord
from codebot.store.jobs import Jobs
from codebot.store.rows import failure_columns, time_text
from codebot.store.schema import parcels, runs, tasks

_TASK = select(tasks.c.status, tasks.c.started_at).where(tasks.c.id == bindparam("task"))
_WISH = select(tasks.c.cancel_wished_by).where(tasks.c.id == bindparam("task"))

OPENED = "Its pull request had been opened by then, and stays open."


@dataclass(frozen=True, slots=True)
class Poison:
    """How often a run may take its worker down, and how it ends then."""

    max_crashes: int
    result: RunResult


class Transitions:
    """The changes of state that exist, each along the table of legal ones in `domain.status`."""

    def __init__(self, record: EventRecord, redact: Callable[[str], str], jobs: Jobs) -> None:
        self._record = record
        self._redact = redact
        self._jobs = jobs

    def start(self, connection: Connection, run: Run, now: datetime) -> Run:
        """Mark the run running under a new attempt, and give it as it is now."""
        check_run_transition(run.status, RunStatus.RUNNING)
        claimed = replace(run, status=RunStatus.RUNNING, attempt=run.attempt + 1, not_before=None)
        _update_run(
            connection,
            run,
            status=RunStatus.RUNNING.value,
            attempt=claimed.attempt,
            not_before=None,
        )
        if _drives_task(run):
            _start_task(connection, run, now)
        told = {"kind": run.kind.value, "attempt": claimed.attempt}
        self._record.of_run(connection, run, [(EventType.RUN_STARTED, told)])
        return claimed

    def end(self, connection: Connection, run: Run, result: RunResult, now: datetime) -> None:
        """End the run, and its task with it where the task waits for this kind of run.

        A task that somebody cancelled before ends as cancelled, whatever came of it.
        """
        result = self._as_wished(connection, run, result)
        status = RunStatus(result.status.value)
        check_run_transition(run.status, status)
        _update_run(connection, run, status=status.value)
        told = {"status": status.value, "outcome": result.outcome.value}
        happened = [(EventType.RUN_FINISHED, told)]
        if _drives_task(run):
            failure = self._redacted(result.failure)
            _end_task(connection, run, replace(result, failure=failure), now)
            happened.append((EventType.TASK_FINISHED, told | _told_failure(failure)))
        self._record.of_run(connection, run, happened)
        self._jobs.remove(connection, run)

    def wish_cancel(self, connection: Connection, run: Run, by: str) -> None:
        """Write down who wants the task of a running run to end, and show that it will."""
        _update_task(connection, run, cancel_wished_by=by, phase=Phase.CANCELLING.value)
        self._record.of_run(connection, run, [(EventType.TASK_CANCEL_REQUESTED, {"by": by})])
        self._jobs.tell_wish(connection, run)

    def wish(self, connection: Connection, run: Run) -> str | None:
        """Say who wants the run's task to end, None for nobody."""
        if not _drives_task(run):
            return None
        by: str | None = connection.execute(_WISH, {"task": run.task_id}).scalar_one()
        return by

    def postpone(self, connection: Connection, run: Run, until: datetime, reason: str) -> None:
        """Put the run back for a later attempt."""
        check_run_transition(run.status, RunStatus.PENDING)
        _update_run(
            connection,
            run,
            status=RunStatus.PENDING.value,
            failures=run.failures + 1,
            not_before=time_text(until),
        )
        _let_task_wait(connection, run)
        told = {"until": time_text(until), "reason": reason}
        self._record.of_run(connection, run, [(EventType.RUN_POSTPONED, told)])
        self._let_wait(connection, run)

    def interrupt(self, connection: Connection, run: Run, *, crashes: int) -> None:
        """Put the run back to go on where it was; `crashes` is its new count."""
        check_run_transition(run.status, RunStatus.INTERRUPTED)
        _update_run(connection, run, status=RunStatus.INTERRUPTED.value, crashes=crashes)
        _let_task_wait(connection, run)
        told = {"attempt": run.attempt, "crashes": crashes}
        self._record.of_run(connection, run, [(EventType.RUN_INTERRUPTED, told)])
        self._let_wait(connection, run)

    def lose(self, connection: Connection, run: Run, poison: Poison, now: datetime) -> None:
        """Put back a run whose worker died; one that has taken too many down is given up."""
        crashes = run.crashes + 1
        self.interrupt(connection, run, crashes=crashes)
        if crashes >= poison.max_crashes:
            interrupted = replace(run, status=RunStatus.INTERRUPTED)
            self.end(connection, interrupted, poison.result, now)

    def _let_wait(self, connection: Connection, run: Run) -> None:
        """Give the run a new job in place of the one that its worker had."""
        self._jobs.remove(connection, run)
        self._jobs.add(connection, [run.id])

    def retry(self, connection: Connection, run: Run, by: str) -> None:
        """Have a task that failed wait for a further run, as if it had not been worked on yet."""
        status, _ = connection.execute(_TASK, {"task": run.task_id}).one()
        check_task_transition(TaskStatus(status), TaskStatus.PENDING)
        _update_task(
            connection,
            run,
            status=TaskStatus.PENDING.value,
            outcome=None,
            started_at=None,
            completed_at=None,
            verified=False,
            **failure_columns(None),
        )
        self._record.of_run(connection, run, [(EventType.TASK_RETRIED, {"by": by})])

    def _as_wished(self, connection: Connection, run: Run, result: RunResult) -> RunResult:
        if result.status is TaskStatus.CANCELLED:
            return result
        by = self.wish(connection, run)
        if by is None:
            return result
        return cancelled(by, OPENED if result.status is TaskStatus.COMPLETED else "")

    def _redacted(self, failure: Failure | None) -> Failure | None:
        """Give the failure without secrets in its texts."""
        if failure is None:
            return None
        detail, hint = self._redact(failure.detail), self._redact(failure.hint)
        return replace(failure, detail=detail, hint=hint)


def _drives_task(run: Run) -> bool:
    """Say whether the task's own status follows this run: a review leaves it as it is."""
    return queue_of(run.kind) is QueueName.TASKS


def _update_run(connection: Connection, run: Run, **columns: Any) -> None:  # noqa: ANN401
    """Change columns of the run's row."""
    connection.execute(update(runs).where(runs.c.id == run.id).values(**columns))


def _update_task(connection: Connection, run: Run, **columns: Any) -> None:  # noqa: ANN401
    """Change columns of the row of the run's task."""
    connection.execute(update(tasks).where(tasks.c.id == run.task_id).values(**columns))


def _start_task(connection: Connection, run: Run, now: datetime) -> None:
    """Mark the task running; when it started is written down once, whatever happens later."""
    status, started_at = connection.execute(_TASK, {"task": run.task_id}).one()
    if status != TaskStatus.RUNNING.value:
        check_task_transition(TaskStatus(status), TaskStatus.RUNNING)
    _update_task(
        connection,
        run,
        status=TaskStatus.RUNNING.value,
        phase=Phase.PREPARING.value,
        started_at=started_at or time_text(now),
    )


def _end_task(connection: Connection, run: Run, result: RunResult, now: datetime) -> None:
    """Write down how the task ended, and when; one that failed may go on at another node."""
    status, _ = connection.execute(_TASK, {"task": run.task_id}).one()
    check_task_transition(TaskStatus(status), result.status)
    _update_task(
        connection,
        run,
        status=result.status.value,
        phase=None,
        outcome=result.outcome.value,
        completed_at=time_text(now),
        cancel_wished_by=None,
        **failure_columns(result.failure),
    )
    if result.status is not TaskStatus.FAILED:
        connection.execute(delete(parcels).where(parcels.c.task_id == run.task_id))


def _let_task_wait(connection: Connection, run: Run) -> None:
    """Show that nobody works on the task now; its status stays what it is."""
    if _drives_task(run):
        _update_task(connection, run, phase=Phase.WAITING.value)


def _told_failure(failure: Failure | None) -> dict[str, str]:
    """Give what an event says about a failure."""
    return {} if failure is None else {"code": failure.code, "detail": failure.detail}
