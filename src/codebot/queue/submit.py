"""How a checked request becomes a queued task, whichever door it came in by."""

from collections.abc import Callable
from datetime import datetime

from codebot.domain.naming import branch_name
from codebot.domain.ports import Queue
from codebot.domain.task import NewTask, TaskId, TaskRequest
from codebot.errors import Conflict
from codebot.telemetry.token_shapes import mask_tokens

DRAWS = 5
"""How many ids are drawn for one task. Branch names hold 28 random bits of the id: even with
100,000 tasks of one title in one repository, a second clash in a row is one in ten million."""


async def submit_task(
    queue: Queue,
    request: TaskRequest,
    *,
    key_fingerprint: str,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
) -> NewTask:
    """Queue the task and give it with its id and branch; on disk when this returns.

    Raises `QueueFull`, `StoreUnavailable`, and `Conflict` if every drawn branch is taken.
    """
    for _ in range(DRAWS - 1):
        new = _draw(request, key_fingerprint, now(), TaskId(new_id()))
        try:
            await queue.submit(new)
        except Conflict:
            continue
        return new
    new = _draw(request, key_fingerprint, now(), TaskId(new_id()))
    await queue.submit(new)
    return new


def _draw(
    request: TaskRequest, key_fingerprint: str, submitted_at: datetime, task_id: TaskId
) -> NewTask:
    """Give the task as it is with that id; a token in its words is none in its branch."""
    ticket = request.ticket_id or ""
    branch = branch_name(
        ticket if mask_tokens(ticket) == ticket else None,
        mask_tokens(request.ticket_summary or ""),
        mask_tokens(request.description),
        task_id,
    )
    return NewTask(task_id, request, branch, key_fingerprint, submitted_at)
