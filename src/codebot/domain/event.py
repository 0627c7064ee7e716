"""What happened to a task, in order: the append-only record behind `/events`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from codebot.domain.run import RunId
from codebot.domain.task import TaskId


class EventType(StrEnum):
    """Past tense, dotted; the part before the dot is the thing it happened to."""

    TASK_SUBMITTED = "task.submitted"
    TASK_FINISHED = "task.finished"
    RUN_STARTED = "run.started"
    RUN_INTERRUPTED = "run.interrupted"
    RUN_POSTPONED = "run.postponed"
    RUN_FINISHED = "run.finished"
    STEP_STARTED = "step.started"
    STEP_FINISHED = "step.finished"
    STEP_FAILED = "step.failed"
    AGENT_STARTED = "agent.started"
    AGENT_SAID = "agent.said"
    AGENT_USED_TOOL = "agent.used_tool"
    AGENT_RETRIED = "agent.retried"
    AGENT_FINISHED = "agent.finished"
    CHANGE_COLLECTED = "change.collected"
    TESTS_FINISHED = "tests.finished"
    BRANCH_PUSHED = "branch.pushed"
    PULL_REQUEST_OPENED = "pull_request.opened"
    COMMENT_IGNORED = "comment.ignored"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `seq` grows without reuse over all tasks; `time` is aware UTC."""

    id: str
    seq: int
    type: EventType
    time: datetime
    task_id: TaskId
    run_id: RunId | None
    data: Mapping[str, Any]
