"""The states of a task and of a run, and the only ways between them."""

from enum import StrEnum

from codebot.errors import InvalidTransition


class TaskStatus(StrEnum):
    """Where a task stands. The frozen HTTP surface shows `cancelled` as `failed`."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunStatus(StrEnum):
    """Where one piece of work on a task stands.

    `interrupted` is a run that its worker lost (crash, restart, stop); it is claimed again like a
    pending one and goes on at its first unfinished step.
    """

    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a running task is doing now."""

    PREPARING = "preparing"
    SETTING_UP = "setting_up"
    AGENT = "agent"
    TESTING = "testing"
    PUBLISHING = "publishing"
    CANCELLING = "cancelling"
    WAITING = "waiting"


class Outcome(StrEnum):
    """How a task ended, finer than its status."""

    PULL_REQUEST = "pull_request"
    NO_CHANGES = "no_changes"
    TESTS_FAILED = "tests_failed"
    UNTESTED = "untested"
    BUDGET_EXHAUSTED = "budget_exhausted"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    ERROR = "error"


FINAL_TASK: frozenset[TaskStatus] = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}
)
FINAL_RUN: frozenset[RunStatus] = frozenset(
    {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
)

LEGAL_TASK: dict[TaskStatus, frozenset[TaskStatus]] = {
    TaskStatus.PENDING: frozenset({TaskStatus.RUNNING, TaskStatus.FAILED, TaskStatus.CANCELLED}),
    TaskStatus.RUNNING: FINAL_TASK,
    TaskStatus.COMPLETED: frozenset(),
    TaskStatus.FAILED: frozenset({TaskStatus.PENDING}),  # a retry run
    TaskStatus.CANCELLED: frozenset({TaskStatus.PENDING}),  # a retry run
}

LEGAL_RUN: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: FINAL_RUN | {RunStatus.INTERRUPTED, RunStatus.PENDING},
    RunStatus.INTERRUPTED: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}


def is_final(status: TaskStatus) -> bool:
    """Say whether a task in this status has ended.

    >>> is_final(TaskStatus.COMPLETED), is_final(TaskStatus.RUNNING)
    (True, False)
    """
    return status in FINAL_TASK


def check_task_transition(old: TaskStatus, new: TaskStatus) -> None:
    """Let a legal change pass; raise `InvalidTransition` for any other."""
    if new not in LEGAL_TASK[old]:
        raise InvalidTransition(f"A task cannot go from {old} to {new}.")


def check_run_transition(old: RunStatus, new: RunStatus) -> None:
    """Let a legal change pass; raise `InvalidTransition` for any other."""
    if new not in LEGAL_RUN[old]:
        raise InvalidTransition(f"A run cannot go from {old} to {new}.")
