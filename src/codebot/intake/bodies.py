"""How tasks, events and accesses look in JSON: plain dictionaries, ready to be written."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.responses import Response

from codebot.domain.event import Event
from codebot.domain.status import TaskStatus
from codebot.domain.task import Task
from codebot.store.egress import AccessTotal

LONGEST_LISTED_DESCRIPTION = 1000

Json = dict[str, Any]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_response(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Give the answer with this body."""
    content = _encode(body).encode(errors="replace")
    return Response(content, status, headers, media_type="application/json")


def time_text(moment: datetime | None) -> str | None:
    """Write an aware UTC time in whole seconds, as RFC 3339 does.

    >>> from datetime import UTC
    >>> time_text(datetime(2025, 11, 3, 12, 0, 5, 999_999, tzinfo=UTC))
    '2025-11-03T12:00:05Z'
    """
    return None if moment is None else f"{moment.replace(tzinfo=None).isoformat('T', 'seconds')}Z"


def task_state(task: Task) -> Json:
    """Show a task as the frozen status route does."""
    body = _frozen(task)
    if task.status is TaskStatus.COMPLETED or task.pull_request or task.branch_pushed:
        body["result"] = {
            "pr_url": task.pull_request.url if task.pull_request else None,
            "branch_name": task.branch_name,
            "work_dir": task.work_dir,
            "verified": task.verified,
        }
    if body["status"] == TaskStatus.FAILED:
        body["error"] = _error_sentence(task)
    return body


def task_summary(task: Task) -> Json:
    """Show a task as the frozen list does: its description cut, and said so."""
    description = task.request.description
    body = _frozen(task)
    body["repository_url"] = task.request.repository.url
    body["description"] = description[:LONGEST_LISTED_DESCRIPTION]
    if len(description) > LONGEST_LISTED_DESCRIPTION:
        body["description_truncated"] = True
    return body


def task_details(task: Task) -> Json:
    """Show a task whole, as `/api/v1` does."""
    request = task.request
    return {
        "id": task.id,
        "status": task.status,
        "phase": task.phase,
        "outcome": task.outcome,
        "submitted_at": time_text(task.submitted_at),
        "started_at": time_text(task.started_at),
        "completed_at": time_text(task.completed_at),
        "repository_url": request.repository.url,
        "description": request.description,
        "ticket_id": request.ticket_id,
        "ticket_summary": request.ticket_summary,
        "test_command": request.test_command,
        "base_branch": request.base_branch,
        "setup_command": request.setup_command,
        "branch_name": task.branch_name,
        "work_dir": task.work_dir,
        "verified": task.verified,
        "failure": asdict(task.failure) if task.failure else None,
        "pull_request": asdict(task.pull_request) if task.pull_request else None,
        "usage": asdict(task.usage),
        "key_fingerprint": task.key_fingerprint,
    }


def event_body(event: Event) -> Json:
    """Show an event; its time in milliseconds, since many fall into one second."""
    return {
        "id": event.id,
        "seq": event.seq,
        "type": event.type,
        "time": f"{event.time.replace(tzinfo=None).isoformat('T', 'milliseconds')}Z",
        "task_id": event.task_id,
        "run_id": event.run_id,
        "data": event.data,
    }


def access_body(total: AccessTotal) -> Json:
    """Show accesses of a task's boxes that were alike, added up."""
    return {
        **asdict(total),
        "first_at": time_text(total.first_at),
        "last_at": time_text(total.last_at),
    }


def _frozen(task: Task) -> Json:
    """Give what the frozen routes share. They know no `cancelled`: it shows as `failed`."""
    cancelled = task.status is TaskStatus.CANCELLED
    return {
        "task_id": task.id,
        "status": TaskStatus.FAILED if cancelled else task.status,
        "submitted_at": time_text(task.submitted_at),
        "started_at": time_text(task.started_at),
        "completed_at": time_text(task.completed_at),
    }


def _error_sentence(task: Task) -> str:
    if task.failure is not None:
        return f"{task.failure.detail} {task.failure.hint}".strip()
    return "The task was cancelled." if task.status is TaskStatus.CANCELLED else "The task failed."
