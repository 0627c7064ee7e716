"""The richer surface, `/api/v1`: submit, cancel, retry, and all that is known of a task."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from codebot.domain.task import Task, TaskId
from codebot.intake import acting
from codebot.intake.accepting import KEY_PARAMETER, PROBLEMS, accept_task
from codebot.intake.bodies import access_body, event_body, json_response, task_details
from codebot.intake.frozen import LIMIT, unknown_task
from codebot.intake.operations import Operations, Told, number_parameter
from codebot.intake.queries import Query
from codebot.intake.service import service_of
from codebot.intake.submission import OPTIONAL

AFTER = {"default": 0, "lowest": 0, "highest": 10**18}

TASKS = "/api/v1/tasks"
TASK = f"{TASKS}/{{task_id}}"
WHOLE = ("tasks, whole",)
UNKNOWN = (HTTPStatus.NOT_FOUND,)

operations = Operations()


@operations.add(
    "POST",
    TASKS,
    Told(
        "TaskAccepted",
        HTTPStatus.ACCEPTED,
        WHOLE,
        PROBLEMS,
        body="WholeTaskSubmission",
        parameters=(KEY_PARAMETER,),
    ),
)
async def submit_whole_task(request: Request) -> Response:
    """Submit a task with all that it may say. The task is on disk by the time of the answer."""
    return await accept_task(request, optional=OPTIONAL, location="/api/v1/tasks/{}")


@operations.add("GET", TASK, Told("TaskDetails", tags=WHOLE, problems=UNKNOWN))
async def read_task(request: Request, task_id: str) -> Response:
    """Read a task with its phase, outcome, failure, pull request and usage."""
    return json_response(task_details(await _task(request, task_id)))


@operations.add(
    "POST",
    f"{TASK}/cancel",
    Told("TaskActed", HTTPStatus.ACCEPTED, WHOLE, acting.PROBLEMS, parameters=(KEY_PARAMETER,)),
)
async def cancel_task(request: Request, task_id: str) -> Response:
    """Cancel a task: at once while it waits; what works on it is ended, and its work kept."""
    return await acting.cancel_task(request, TaskId(task_id))


@operations.add(
    "POST",
    f"{TASK}/retry",
    Told(
        "TaskActed",
        HTTPStatus.ACCEPTED,
        WHOLE,
        (*acting.PROBLEMS, HTTPStatus.TOO_MANY_REQUESTS),
        parameters=(KEY_PARAMETER,),
    ),
)
async def retry_task(request: Request, task_id: str) -> Response:
    """Retry a task that failed: it goes on where it can, else it begins anew."""
    return await acting.retry_task(request, TaskId(task_id))


@operations.add(
    "GET",
    f"{TASK}/events",
    Told(
        "EventList",
        tags=WHOLE,
        problems=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
        parameters=(
            number_parameter("after", "Only what followed this `seq`", **AFTER),
            number_parameter("limit", "How many at most", **LIMIT),
        ),
    ),
)
async def read_events(request: Request, task_id: str) -> Response:
    """Read what happened to a task, oldest first; go on with `after=<next_after>`."""
    query = Query(request.query_params, ("after", "limit"))
    after = query.number("after", **AFTER)
    limit = query.number("limit", **LIMIT)
    query.check()
    task = await _task(request, task_id)
    found = await service_of(request).store.events.after(task.id, after, limit)
    next_after = found[-1].seq if found else after
    return json_response({"items": [event_body(each) for each in found], "next_after": next_after})


@operations.add("GET", f"{TASK}/log", Told(tags=WHOLE, problems=UNKNOWN))
async def read_log(request: Request, task_id: str) -> Response:
    """Read what the agent printed so far: empty until it prints."""
    task = await _task(request, task_id)
    return PlainTextResponse(await service_of(request).store.logs.text(task.id))


@operations.add("GET", f"{TASK}/diff", Told(tags=WHOLE, problems=UNKNOWN))
async def read_diff(request: Request, task_id: str) -> Response:
    """Read what the task changed, as a unified diff: empty until it changed something."""
    task = await _task(request, task_id)
    found = await service_of(request).store.diffs.get(task.id)
    return PlainTextResponse(found or "")


@operations.add("GET", f"{TASK}/egress", Told("AccessList", tags=WHOLE, problems=UNKNOWN))
async def read_egress(request: Request, task_id: str) -> Response:
    """Read what a task's boxes reached and were refused; the last second may still be missing."""
    task = await _task(request, task_id)
    found = await service_of(request).store.egress.of_task(task.id)
    return json_response({"items": [access_body(each) for each in found]})


async def _task(request: Request, task_id: str) -> Task:
    found = await service_of(request).store.tasks.get(TaskId(task_id))
    if found is None:
        raise unknown_task()
    return found
