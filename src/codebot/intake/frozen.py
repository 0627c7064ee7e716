"""The frozen HTTP surface: four routes that do not change."""

import asyncio
from dataclasses import asdict
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.errors import NotFound, StoreUnavailable
from codebot.intake.accepting import KEY_PARAMETER, PROBLEMS, accept_task
from codebot.intake.bodies import Json, json_response, task_state, task_summary
from codebot.intake.gate import key_fingerprint
from codebot.intake.operations import Operations, Told, number_parameter, word_parameter
from codebot.intake.queries import Query
from codebot.intake.service import Service, service_of
from codebot.intake.submission import FROZEN

STATUSES = {
    "pending": (TaskStatus.PENDING,),
    "running": (TaskStatus.RUNNING,),
    "completed": (TaskStatus.COMPLETED,),
    "failed": (TaskStatus.FAILED, TaskStatus.CANCELLED),
}
"""The words of this surface, and what they mean in the store."""

LIMIT = {"default": 100, "lowest": 1, "highest": 1000}

TASKS = ("tasks",)

_HEALTH_SECONDS = 5
_SIZE_SECONDS = 1

operations = Operations()


@operations.add(
    "POST",
    "/api/tasks/submit",
    Told(
        "TaskAccepted",
        HTTPStatus.ACCEPTED,
        TASKS,
        PROBLEMS,
        body="TaskSubmission",
        parameters=(KEY_PARAMETER,),
    ),
)
async def submit(request: Request) -> Response:
    """Submit a task. The answer is a promise: the task is on disk by then."""
    return await accept_task(request, optional=FROZEN, location="/api/tasks/{}/status")


@operations.add(
    "GET",
    "/api/tasks/{task_id}/status",
    Told("TaskState", tags=TASKS, problems=(HTTPStatus.NOT_FOUND,)),
)
async def status(request: Request, task_id: str) -> Response:
    """Check the status and results of a task."""
    task = await service_of(request).store.tasks.get(TaskId(task_id))
    if task is None:
        raise unknown_task()
    return json_response(task_state(task))


@operations.add(
    "GET",
    "/api/tasks",
    Told(
        "TaskList",
        tags=TASKS,
        problems=(HTTPStatus.BAD_REQUEST,),
        parameters=(
            word_parameter("status", "Filter by status", tuple(STATUSES)),
            number_parameter("limit", "How many at most", **LIMIT),
        ),
    ),
)
async def list_tasks(request: Request) -> Response:
    """List recent tasks, newest first."""
    query = Query(request.query_params, ("status", "limit"))
    word = query.word("status", tuple(STATUSES))
    limit = query.number("limit", **LIMIT)
    query.check()
    wanted = None if word is None else STATUSES[word]
    found = await service_of(request).store.tasks.recent(wanted, limit)
    return json_response({"tasks": [task_summary(task) for task in found], "count": len(found)})


@operations.add(
    "GET",
    "/health",
    Told(
        "Health",
        tags=("service",),
        also={HTTPStatus.SERVICE_UNAVAILABLE: "Health"},
        open_to_all=True,
    ),
)
async def health(request: Request) -> Response:
    """Check server health and queue status; 503 when the store cannot be written."""
    service = service_of(request)
    healthy = await _is_writable(service)
    body: Json = {
        "status": "healthy" if healthy else "unhealthy",
        "review_queue_size": await _size(service, QueueName.REVIEWS),
        "task_queue_size": await _size(service, QueueName.TASKS),
    }
    if key_fingerprint(request):
        body["version"] = service.version
        body["workers"] = service.workers
        body["checks"] = [asdict(finding) for finding in service.checks()]
    return json_response(body, HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE)


def unknown_task() -> NotFound:
    """Give the error for an id that no task has, or has any more."""
    return NotFound(
        "There is no task with this id.",
        hint="Finished tasks are deleted after CODEBOT_TASK_RETENTION seconds.",
    )


def _take_note(attempt: asyncio.Future[None]) -> None:
    """Let an attempt that nobody waited for end in silence, not as a loss that asyncio logs."""
    if not attempt.cancelled():
        attempt.exception()


async def _size(service: Service, queue: QueueName) -> int:
    """Say how many runs wait; 0 where nobody can tell, since the store itself must be asked."""
    try:
        async with asyncio.timeout(_SIZE_SECONDS):
            return await service.queue.size(queue)
    except (StoreUnavailable, TimeoutError):
        return 0


async def _is_writable(service: Service) -> bool:
    """Try a write; a store that is locked for seconds counts as broken, not as slow."""
    attempt = asyncio.ensure_future(service.store.check_writable())
    attempt.add_done_callback(_take_note)
    try:
        async with asyncio.timeout(_HEALTH_SECONDS):
            await asyncio.shield(attempt)
    except (StoreUnavailable, TimeoutError):
        return False
    return True
