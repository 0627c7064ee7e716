"""A run: one piece of work on a task, and the unit that is queued."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from codebot.domain.outcome import Failure
from codebot.domain.status import Outcome, RunStatus, TaskStatus
from codebot.domain.task import TaskId

RunId = NewType("RunId", str)
"""A UUIDv7 in its canonical text form."""


class RunKind(StrEnum):
    """Why a run exists. A review comment is a run on the task that opened the pull request."""

    PROMPT = "prompt"
    REVIEW = "review"
    RETRY = "retry"
    CI = "ci"


class QueueName(StrEnum):
    """The two queues: they scale apart from each other."""

    TASKS = "tasks"
    REVIEWS = "reviews"


def queue_of(kind: RunKind) -> QueueName:
    """Say which queue a run of this kind waits in.

    >>> queue_of(RunKind.RETRY), queue_of(RunKind.CI)
    (<QueueName.TASKS: 'tasks'>, <QueueName.REVIEWS: 'reviews'>)
    """
    return QueueName.TASKS if kind in {RunKind.PROMPT, RunKind.RETRY} else QueueName.REVIEWS


@dataclass(frozen=True, slots=True)
class Run:
    """One piece of work on a task.

    `key` is what only one running run may hold at a time (a database invariant). `attempt` counts
    the claims and fences every write: a worker whose attempt is not the stored one has lost the
    run. `crashes` counts the claims that ended with the worker's death, `failures` those that
    ended with an error worth retrying; they have separate budgets. `not_before` delays a retry.
    """

    id: RunId
    task_id: TaskId
    kind: RunKind
    status: RunStatus
    key: str
    created_at: datetime
    attempt: int = 0
    crashes: int = 0
    failures: int = 0
    not_before: datetime | None = None


def retry_run(run_id: RunId, task_id: TaskId, created_at: datetime) -> Run:
    """Give a further run of a task that failed; like the first, it waits for that task alone."""
    return Run(run_id, task_id, RunKind.RETRY, RunStatus.PENDING, task_id, created_at)


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended, and the task with it: `failure` is None only when it is completed."""

    status: TaskStatus
    outcome: Outcome
    failure: Failure | None = None
