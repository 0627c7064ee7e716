"""How domain values lie in columns, and come back out of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codebot.domain.outcome import Failure, PullRequest, Usage
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.run import Run, RunId, RunKind, queue_of
from codebot.domain.status import Outcome, Phase, RunStatus, TaskStatus
from codebot.domain.task import NewTask, Task, TaskId, TaskRequest
from codebot.store.database import Row
from codebot.store.schema import runs, tasks

HEAD_LENGTH = 1001
"""How much of a description lies in the task's own row: one more than a list shows."""

TASK_COLUMNS = (
    *(column for column in tasks.c if column.name not in {"seq", "description_head"}),
    tasks.c.description_head,
)
RUN_COLUMNS = tuple(column for column in runs.c if column.name not in {"seq", "queue"})

NEW_RUN_COLUMNS = tuple(column.name for column in runs.c if column.name != "seq")
NEW_TASK_COLUMNS = (
    "id", "status", "forge", "host", "owner", "name", "repository_url", "repository_path",
    "branch_name", "ticket_id", "ticket_summary", "test_command", "base_branch", "setup_command",
    "key_fingerprint", "submitted_at", "description_head",
)  # fmt: skip


def time_text(moment: datetime) -> str:
    """Give a moment as it is stored: text that sorts by time.

    >>> time_text(datetime(2025, 11, 3, 12, tzinfo=UTC))
    '2025-11-03T12:00:00.000000+00:00'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(text: str | None) -> datetime | None:
    """Give the moment that `time_text` wrote down, None for none."""
    return None if text is None else datetime.fromisoformat(text)


def task_columns(new: NewTask) -> dict[str, Any]:
    """Give the columns of a task that was just submitted."""
    request = new.request
    repository = request.repository
    return {
        "id": new.id,
        "status": TaskStatus.PENDING.value,
        "forge": repository.forge.value,
        "host": repository.host,
        "owner": repository.owner,
        "name": repository.name,
        "repository_url": repository.url,
        "repository_path": None if repository.path is None else str(repository.path),
        "branch_name": new.branch_name,
        "ticket_id": request.ticket_id,
        "ticket_summary": request.ticket_summary,
        "test_command": request.test_command,
        "base_branch": request.base_branch,
        "setup_command": request.setup_command,
        "key_fingerprint": new.key_fingerprint,
        "submitted_at": time_text(new.submitted_at),
        "description_head": request.description[:HEAD_LENGTH],
    }


def run_columns(run: Run) -> dict[str, Any]:
    """Give the columns of a run."""
    return {
        "id": run.id,
        "task_id": run.task_id,
        "queue": queue_of(run.kind).value,
        "kind": run.kind.value,
        "status": run.status.value,
        "key": run.key,
        "created_at": time_text(run.created_at),
        "attempt": run.attempt,
        "crashes": run.crashes,
        "failures": run.failures,
        "not_before": None if run.not_before is None else time_text(run.not_before),
    }


def failure_columns(failure: Failure | None) -> dict[str, Any]:
    """Give the columns that say why a task failed; all empty when it did not."""
    return {
        "failure_code": None if failure is None else failure.code,
        "failure_detail": None if failure is None else failure.detail,
        "failure_hint": None if failure is None else failure.hint,
        "failure_retryable": None if failure is None else failure.retryable,
    }


def to_run(row: Row | Sequence[Any]) -> Run:
    """Give the run of a row of `RUN_COLUMNS`."""
    (id_, task_id, kind, status, key, created_at, attempt, crashes, failures, not_before) = row
    return Run(
        RunId(id_),
        TaskId(task_id),
        RunKind(kind),
        RunStatus(status),
        key,
        datetime.fromisoformat(created_at),
        attempt,
        crashes,
        failures,
        moment(not_before),
    )


def to_task(row: Row, description: str | None = None) -> Task:
    """Give the task of a row of `TASK_COLUMNS`, with its whole description where that is known."""
    (
        id_, status, phase, outcome,
        forge, host, owner, name, url, path,
        branch_name, ticket_id, ticket_summary, test_command, base_branch, key_fingerprint,
        submitted_at, started_at, completed_at,
        failure_code, failure_detail, failure_hint, failure_retryable,
        number, pull_request_url, pull_request_state, draft,
        branch_pushed, work_dir,
        turns, input_tokens, output_tokens, cost_usd,
        setup_command, verified, cancel_wished_by,
        head,
    ) = row  # fmt: skip
    repository = Repository(
        ForgeKind(forge), host, owner, name, url, None if path is None else Path(path)
    )
    request = TaskRequest(
        repository, head if description is None else description,
        ticket_id, ticket_summary, test_command, base_branch, setup_command,
    )  # fmt: skip
    return Task(
        TaskId(id_),
        request,
        branch_name,
        key_fingerprint,
        TaskStatus(status),
        datetime.fromisoformat(submitted_at),
        None if phase is None else Phase(phase),
        None if outcome is None else Outcome(outcome),
        moment(started_at),
        moment(completed_at),
        _failure(failure_code, failure_detail, failure_hint, failure_retryable),
        _pull_request(number, pull_request_url, pull_request_state, draft),
        bool(branch_pushed),
        work_dir,
        bool(verified),
        Usage(turns, input_tokens, output_tokens, cost_usd),
        cancel_wished_by,
    )


def _failure(code: str | None, detail: str, hint: str, retryable: int) -> Failure | None:
    """Give why the task failed, None when it did not."""
    return None if code is None else Failure(code, detail, hint, bool(retryable))


def _pull_request(number: int | None, url: str, state: str, draft: int) -> PullRequest | None:
    """Give the pull request of the task, None while there is none."""
    return None if number is None else PullRequest(number, url, state, bool(draft))
