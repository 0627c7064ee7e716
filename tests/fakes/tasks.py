"""Tasks and runs for tests that care about the queue, not about what is asked for."""

from datetime import datetime

from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.run import Run, RunId, RunKind, RunResult
from codebot.domain.status import Outcome, RunStatus, TaskStatus
from codebot.domain.task import NewTask, TaskId, TaskRequest
from codebot.store.store import new_uuid7
from fakes.clock import START

REPOSITORY = Repository(
    ForgeKind.GITHUB, "github.com", "user", "repo", "https://github.com/user/repo.git"
)
COMPLETED = RunResult(TaskStatus.COMPLETED, Outcome.PULL_REQUEST)


def new_task(
    description: str = "Add dark mode", *, branch: str | None = None, at: datetime = START
) -> NewTask:
    """Give a task that nothing else clashes with, unless its branch is given."""
    task_id = TaskId(new_uuid7())
    return NewTask(
        task_id,
        TaskRequest(REPOSITORY, description),
        branch or f"u/codebot/{task_id}/dark-mode",
        "0123456789abcdef",
        at,
    )


def review_of(task: NewTask, key: str) -> Run:
    """Give a further run of a task, on the queue of reviews."""
    return Run(RunId(new_uuid7()), task.id, RunKind.REVIEW, RunStatus.PENDING, key, START)
