"""A task: what was asked for, and what has become of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

from codebot.domain.outcome import Failure, PullRequest, Usage
from codebot.domain.repository import Repository
from codebot.domain.status import Outcome, Phase, TaskStatus

TaskId = NewType("TaskId", str)
"""A UUIDv7 in its canonical text form."""


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """A task as a caller asked for it, every field checked."""

    repository: Repository
    description: str
    ticket_id: str | None = None
    ticket_summary: str | None = None
    test_command: str | None = None
    base_branch: str | None = None
    setup_command: str | None = None


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task about to be stored: the request, its id, its branch and who sent it.

    `key_fingerprint` is the first 16 hex digits of the SHA-256 of the API key, or "" for a
    task of the command line.
    """

    id: TaskId
    request: TaskRequest
    branch_name: str
    key_fingerprint: str
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it stands in the store. Times are aware UTC; None until known.

    `verified` says that tests truly ran on what it gave, and passed. `cancel_wished_by` names who
    wants it to end, until it has.
    """

    id: TaskId
    request: TaskRequest
    branch_name: str
    key_fingerprint: str
    status: TaskStatus
    submitted_at: datetime
    phase: Phase | None = None
    outcome: Outcome | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failure: Failure | None = None
    pull_request: PullRequest | None = None
    branch_pushed: bool = False
    work_dir: str | None = None
    verified: bool = False
    usage: Usage = field(default_factory=Usage)
    cancel_wished_by: str | None = None
