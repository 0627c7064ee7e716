"""What a caller gets when something goes wrong: one body everywhere, RFC 9457.

https://www.rfc-editor.org/rfc/rfc9457. `error` and `message` repeat title and detail for clients
that look for the older names.
"""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from codebot import errors
from codebot.telemetry.token_shapes import mask_tokens

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "codebot.request_id"
"""Where the gate leaves the request's id in the ASGI scope."""

_STATUSES: Mapping[type[errors.CodebotError], HTTPStatus] = {
    errors.UserError: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NotJson: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    errors.StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.CodebotError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


_NEWER_WORDS: Mapping[int, str] = {413: "Content Too Large", 422: "Unprocessable Content"}


def http_status(kind: type[errors.CodebotError]) -> int:
    """Say which status an error is answered with, by the nearest of its kinds.

    >>> http_status(errors.InvalidTask), http_status(errors.QueueFull)
    (400, 429)
    """
    return next(_STATUSES[base] for base in kind.__mro__ if base in _STATUSES).value


def phrase(status: int) -> str:
    """Give the standard's words for a status; Python learnt some of them only lately.

    >>> phrase(413), phrase(404)
    ('Content Too Large', 'Not Found')
    """
    return _NEWER_WORDS.get(status) or HTTPStatus(status).phrase


def problem(
    scope: Scope,
    status: int,
    code: str,
    detail: str,
    *,
    problems: tuple[errors.FieldProblem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Give the answer that tells of one problem; what looks like a token is not said back."""
    title = phrase(status)
    detail = mask_tokens(detail)
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": scope.get(REQUEST_ID, ""),
        "error": title,
        "message": detail,
    }
    if problems:
        body["errors"] = [
            {"field": mask_tokens(each.field), "message": mask_tokens(each.message)}
            for each in problems
        ]
    # Field names are echoed, and may be anything that JSON can spell: keep to ASCII.
    return Response(json.dumps(body), status, headers, media_type=MEDIA_TYPE)


def problem_of(scope: Scope, error: errors.CodebotError) -> Response:
    """Give the answer for an error of ours; what is no fault of the caller shows no detail."""
    status = http_status(type(error))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return internal_problem(scope)
    problems = error.problems if isinstance(error, errors.InvalidRequest) else ()
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after.total_seconds())))
    return problem(scope, status, error.code, error.sentence, problems=problems, headers=headers)


def internal_problem(scope: Scope) -> Response:
    """Give the answer for a bug: everything about it is in the log, under the request's id."""
    return problem(
        scope,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.CodebotError.code,
        "The service failed on this request. Its log says why, under this request_id.",
    )


async def routing_problem(request: Request, error: Exception) -> Response:
    """Give the answer of the router itself: no such route, or not with this method."""
    status = getattr(error, "status_code", HTTPStatus.NOT_FOUND)
    headers = getattr(error, "headers", None)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"This resource does not know the method {request.method}."
        return problem(request.scope, status, "method_not_allowed", detail, headers=headers)
    detail = "There is nothing at this address; /docs shows what there is."
    return problem(request.scope, status, errors.NotFound.code, detail)
