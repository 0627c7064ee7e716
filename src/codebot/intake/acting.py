"""Acting on a task over HTTP: cancel it or try it again, and say what came of that."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.request_key import Answered, RequestKey
from codebot.domain.status import TaskStatus
from codebot.domain.task import TaskId
from codebot.errors import FieldProblem, InvalidRequest, NotFound
from codebot.intake.bodies import json_response
from codebot.intake.frozen import unknown_task
from codebot.intake.gate import key_fingerprint
from codebot.intake.request_keys import answer_once, request_key
from codebot.intake.service import Service, service_of

PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What an action on a task can be refused with, beside 401."""

CANCELLING: Mapping[TaskStatus, str] = {
    TaskStatus.CANCELLED: "Task cancelled",
    TaskStatus.RUNNING: "Task is being cancelled",
}

RETRYING: Mapping[TaskStatus, str] = {TaskStatus.PENDING: "Task queued again"}

Act = Callable[[TaskId, str, RequestKey | None], Awaitable[Answered]]
"""Acts on a task, on behalf of whom the second says."""


async def cancel_task(request: Request, task_id: TaskId) -> Response:
    """Have the task end, on behalf of the request's API key; raises what `PROBLEMS` tells of."""
    service = service_of(request)

    async def cancel(task_id: TaskId, by: str, key: RequestKey | None) -> Answered:
        answered = await service.queue.cancel(task_id, by, key)
        service.sweep_soon()
        return answered

    return await _act(request, task_id, "cancel", cancel, CANCELLING)


async def retry_task(request: Request, task_id: TaskId) -> Response:
    """Have a task that failed worked on once more; raises what `PROBLEMS` tells of, and 429."""
    queue = service_of(request).queue
    return await _act(request, task_id, "retry", queue.retry, RETRYING)


async def _act(
    request: Request, task_id: TaskId, action: str, act: Act, words: Mapping[TaskStatus, str]
) -> Response:
    """Act on the caller's own task, and tell where it stands, in the word for that."""
    service, body = service_of(request), await request.body()
    if body.strip() not in {b"", b"{}"}:
        raise InvalidRequest((FieldProblem("body", "must be empty: there is nothing to say"),))
    fingerprint = key_fingerprint(request) or ""
    await _require_own(service, task_id, fingerprint)

    def tell(answered: Answered) -> Response:
        return json_response(
            {
                "task_id": answered.task_id,
                "status": answered.status,
                "message": words[answered.status],
            },
            HTTPStatus.ACCEPTED,
            {"Location": f"/api/v1/tasks/{answered.task_id}"},
        )

    return await answer_once(
        lambda key: act(task_id, f"the API key {fingerprint}", key),
        tell,
        request_key(request, f"{action} {task_id}", b""),
        service.store.request_keys,
        service.turns,
    )


async def _require_own(service: Service, task_id: TaskId, fingerprint: str) -> None:
    """Raise `NotFound` for a task that is unknown, or another caller's.

    One whose key is no longer in use belongs to every key: somebody must be able to end it.
    """
    task = await service.store.tasks.get(task_id)
    if task is None:
        raise unknown_task()
    owner = task.key_fingerprint
    if owner != fingerprint and service.keys.is_in_use(owner):
        raise NotFound(
            "There is no task with this id that was submitted with this API key.",
            hint="Send the key that it was submitted with.",
        )
