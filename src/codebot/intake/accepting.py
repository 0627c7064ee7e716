"""Taking a task in over HTTP: the same checks and the same answer, whichever route it came by."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.request_key import Answered, RequestKey
from codebot.errors import NotJson
from codebot.intake.bodies import json_response
from codebot.intake.gate import key_fingerprint
from codebot.intake.operations import key_parameter
from codebot.intake.request_keys import HEADER, LONGEST_KEY, answer_once, request_key
from codebot.intake.service import service_of
from codebot.intake.submission import read_object, task_request
from codebot.queue.submit import submit_task

PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
"""What a task can be refused with, beside 401."""

KEY_PARAMETER = key_parameter(HEADER, LONGEST_KEY)


async def accept_task(request: Request, *, optional: Sequence[str], location: str) -> Response:
    """Store the task of a request and promise to work on it.

    `optional` are the fields that the route takes beside the required ones; `location` is where
    the task can be looked at, with `{}` for its id. Raises what `PROBLEMS` tells of.
    """
    body = await request.body()  # before the next check: 413 comes before 415
    if _media_type(request) != "application/json":
        raise NotJson("The body is not declared to be JSON.")
    service = service_of(request)

    async def submit(key: RequestKey | None) -> Answered:
        submitted = await submit_task(
            service.queue,
            task_request(read_object(body), service.rules, optional=optional),
            key_fingerprint=key_fingerprint(request) or "",
            now=service.now,
            new_id=service.new_id,
            key=key,
        )
        return submitted.answer

    def tell(accepted: Answered) -> Response:
        body = {
            "task_id": accepted.task_id,
            "status": accepted.status,
            "message": "Task queued successfully",
        }
        headers = {"Location": location.format(accepted.task_id)}
        return json_response(body, HTTPStatus.ACCEPTED, headers)

    key = request_key(request, "submit", body)
    return await answer_once(submit, tell, key, service.store.request_keys, service.turns)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
