"""The bodies of the API as its OpenAPI document shows them.

Nothing is validated or serialized with these at run time: what the service sends is made of
checked values, and plain JSON of those is several times cheaper.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from codebot.domain.egress import AccessVerdict
from codebot.domain.event import EventType
from codebot.domain.naming import LONGEST_BRANCH
from codebot.domain.status import Outcome, Phase, TaskStatus
from codebot.intake.submission import LONGEST_COMMAND

FrozenStatus = Literal["pending", "running", "completed", "failed"]

_SUBMITTED = {
    "repository_url": "https://github.com/user/repo.git",
    "description": "Add dark mode support to the application",
    "ticket_id": "FEAT-123",
    "ticket_summary": "add-dark-mode",
}
_SET_UP = "pip install -e .[test]"
_TASK_ID = "0193a5d2-7b5e-7c3a-9f10-52d0babc1234"
_STATUS = {
    "task_id": _TASK_ID,
    "status": "completed",
    "submitted_at": "2025-11-03T12:00:00Z",
    "started_at": "2025-11-03T12:00:05Z",
    "completed_at": "2025-11-03T12:05:30Z",
}
_RESULT = {
    "pr_url": "https://github.com/user/repo/pull/123",
    "branch_name": "u/codebot/FEAT-123/abc1234/add-dark-mode",
    "work_dir": "/path/to/workspace",
    "verified": True,
}


def _optional(description: str, **rules: Any) -> Any:  # noqa: ANN401  any field may be absent
    """Declare a field that may be absent, but is never null where its type does not say so."""
    return Field(
        default=None,
        description=description,
        json_schema_extra=_without_default,
        **rules,
    )


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


def _shown(example: dict[str, Any], *, closed: bool = False) -> ConfigDict:
    return ConfigDict(
        extra="forbid" if closed else "ignore", json_schema_extra={"examples": [example]}
    )


class TaskSubmission(BaseModel):
    """A task to be worked on. Fields that are not listed here are refused.

    An optional field that is null or blank counts as not given.
    """

    model_config = _shown(_SUBMITTED, closed=True)

    repository_url: str = Field(min_length=1, description="Git URL to clone")
    description: str = Field(min_length=1, description="Task description for the coding agent")
    ticket_id: str | None = _optional(
        "External ticket or issue id; a part of the branch's name",
        pattern=r"^(\s*|[A-Za-z0-9][A-Za-z0-9._-]{0,63})$",
    )
    ticket_summary: str | None = _optional(
        "Short name for the ticket; the branch's name ends in it"
    )
    test_command: str | None = _optional(
        "Shell command that tests the change, in place of the detected one",
        max_length=LONGEST_COMMAND,
    )
    base_branch: str | None = _optional(
        "Branch to start from and to open the pull request against; "
        "unless given, the repository's default branch",
        max_length=LONGEST_BRANCH,
    )


class WholeTaskSubmission(TaskSubmission):
    """A task to be worked on, with all that it may say. Other fields are refused.

    An optional field that is null or blank counts as not given.
    """

    model_config = _shown({**_SUBMITTED, "setup_command": _SET_UP}, closed=True)

    setup_command: str | None = _optional(
        "Shell command that installs what the tests need, in place of the detected one; "
        "it runs in a box, before the agent works",
        max_length=LONGEST_COMMAND,
    )


class TaskAccepted(BaseModel):
    """The task is on disk and will be worked on."""

    model_config = _shown(
        {"task_id": _TASK_ID, "status": "pending", "message": "Task queued successfully"}
    )

    task_id: str
    status: Literal["pending"]
    message: str


class TaskActed(BaseModel):
    """What was asked for is on disk; `status` says where the task stands now."""

    model_config = _shown(
        {"task_id": _TASK_ID, "status": "running", "message": "Task is being cancelled"}
    )

    task_id: str
    status: TaskStatus
    message: str


class TaskResult(BaseModel):
    """What a task produced."""

    model_config = _shown(_RESULT)

    pr_url: str | None = Field(description="null when only a branch was pushed")
    branch_name: str
    work_dir: str | None
    verified: bool = Field(description="Whether tests truly ran on it, and passed")


class TaskState(BaseModel):
    """Where a task stands. Times are RFC 3339 UTC in whole seconds, null until known."""

    model_config = _shown({**_STATUS, "result": _RESULT})

    task_id: str
    status: FrozenStatus
    submitted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    result: TaskResult = _optional(
        "Present when completed, and when failed with a branch or draft to show"
    )
    error: str = _optional("Present when failed: what failed, why, and what to do")


class TaskSummary(BaseModel):
    """One task of the list."""

    task_id: str
    status: FrozenStatus
    submitted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    repository_url: str
    description: str = Field(description="At most 1,000 characters of it")
    description_truncated: bool = _optional("Present, and true, when the description goes on")


class TaskList(BaseModel):
    """The newest tasks, newest first."""

    model_config = _shown(
        {
            "tasks": [
                {
                    **_STATUS,
                    "repository_url": _SUBMITTED["repository_url"],
                    "description": _SUBMITTED["description"],
                }
            ],
            "count": 1,
        }
    )

    tasks: list[TaskSummary]
    count: int = Field(description="The length of `tasks`")


class HealthCheck(BaseModel):
    """One thing that was looked at when the service started."""

    name: str
    ok: bool
    detail: str
    remedy: str
    required: bool


class Health(BaseModel):
    """Whether the service can do its work, and how much of it waits."""

    model_config = _shown({"status": "healthy", "review_queue_size": 0, "task_queue_size": 2})

    status: Literal["healthy", "unhealthy"]
    review_queue_size: int
    task_queue_size: int
    version: str = _optional("With a valid key only")
    workers: int = _optional("With a valid key only")
    checks: list[HealthCheck] = _optional("With a valid key only")


class FailureBody(BaseModel):
    """Why a task failed."""

    code: str
    detail: str
    hint: str
    retryable: bool


class PullRequestBody(BaseModel):
    """The pull request of a task."""

    number: int
    url: str
    state: Literal["open", "closed", "merged"]
    draft: bool


class UsageBody(BaseModel):
    """What the model was asked for."""

    turns: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class TaskDetails(BaseModel):
    """A task, whole."""

    model_config = _shown(
        {
            "id": _TASK_ID,
            "status": "completed",
            "phase": None,
            "outcome": "pull_request",
            "submitted_at": _STATUS["submitted_at"],
            "started_at": _STATUS["started_at"],
            "completed_at": _STATUS["completed_at"],
            **_SUBMITTED,
            "test_command": None,
            "base_branch": None,
            "setup_command": None,
            "branch_name": _RESULT["branch_name"],
            "work_dir": _RESULT["work_dir"],
            "verified": True,
            "failure": None,
            "pull_request": {
                "number": 123,
                "url": _RESULT["pr_url"],
                "state": "open",
                "draft": False,
            },
            "usage": {"turns": 9, "input_tokens": 81234, "output_tokens": 4321, "cost_usd": 0.42},
            "key_fingerprint": "f52fbd32b2b3b86f",
        }
    )

    id: str
    status: TaskStatus
    phase: Phase | None
    outcome: Outcome | None
    submitted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    repository_url: str
    description: str
    ticket_id: str | None
    ticket_summary: str | None
    test_command: str | None
    base_branch: str | None
    setup_command: str | None
    branch_name: str
    work_dir: str | None
    verified: bool
    failure: FailureBody | None
    pull_request: PullRequestBody | None
    usage: UsageBody
    key_fingerprint: str = Field(description="16 hex digits of the SHA-256 of the submitter's key")


class EventBody(BaseModel):
    """One thing that happened to a task."""

    id: str
    seq: int
    type: EventType
    time: datetime
    task_id: str
    run_id: str | None
    data: dict[str, Any]


class EventList(BaseModel):
    """A page of what happened, oldest first."""

    model_config = _shown(
        {
            "items": [
                {
                    "id": "0193a5d2-7b60-7d11-8a55-1b2c3d4e5f60",
                    "seq": 41,
                    "type": "task.submitted",
                    "time": "2025-11-03T12:00:00.120Z",
                    "task_id": _TASK_ID,
                    "run_id": None,
                    "data": {},
                }
            ],
            "next_after": 41,
        }
    )

    items: list[EventBody]
    next_after: int = Field(description="The `after` to ask with for what comes next")


class AccessBody(BaseModel):
    """Accesses of a task's boxes that were alike, added up."""

    host: str = Field(
        description="`(other hosts)` stands for those beyond the first 99 of a verdict"
    )
    port: int = Field(description="0 when none was named")
    verdict: AccessVerdict
    reason: str = Field(description="Why it was refused; empty when it was allowed")
    count: int
    sent: int = Field(description="Bytes from the box")
    received: int = Field(description="Bytes to the box")
    first_at: datetime
    last_at: datetime


class AccessList(BaseModel):
    """What a task was refused and what it reached, the most frequent of each first."""

    model_config = _shown(
        {
            "items": [
                {
                    "host": "evil.example",
                    "port": 443,
                    "verdict": "refused",
                    "reason": "not in CODEBOT_EGRESS",
                    "count": 3,
                    "sent": 0,
                    "received": 0,
                    "first_at": "2025-11-03T12:01:07Z",
                    "last_at": "2025-11-03T12:01:09Z",
                }
            ]
        }
    )

    items: list[AccessBody]


class ProblemField(BaseModel):
    """One field or parameter and what is wrong with it."""

    field: str
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457). `error` and `message` repeat `title` and `detail`."""

    model_config = _shown(
        {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "description: is required",
            "code": "invalid_task",
            "request_id": "5f0c1d2e3a4b5c6d",
            "error": "Bad Request",
            "message": "description: is required",
            "errors": [{"field": "description", "message": "is required"}],
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; the one part that a program may branch on")
    request_id: str
    error: str
    message: str
    errors: list[ProblemField] = _optional("Present when fields are at fault")
