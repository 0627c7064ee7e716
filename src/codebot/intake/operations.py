"""How a route tells the OpenAPI document what it takes and gives, beyond its path and model."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from codebot.intake.problems import MEDIA_TYPE, phrase

BEARER = "bearer"
API_KEY = "api_key"

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class PlainRoute(APIRoute):
    """A route that FastAPI documents and otherwise leaves alone.

    Its function takes the request and the path's parameters, and gives the response itself.
    FastAPI's own way there (dependencies, validation, three exit stacks) costs more than all that
    the functions do.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  whatever a route takes
        """Take what every route takes."""
        super().__init__(*args, **kwargs)
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response: Response = await self.endpoint(request, **request.path_params)
        await response(scope, receive, send)


def operation(
    *statuses: HTTPStatus,
    body: str | None = None,
    query: tuple[dict[str, Any], ...] = (),
    also: Mapping[HTTPStatus, type[BaseModel]] | None = None,
    open_to_all: bool = False,
) -> dict[str, Any]:
    """Give the arguments of a route's decorator that document it.

    `statuses` are the problems it answers with, beside 401 and whatever `default` covers; `body`
    names the schema of its request; `also` are answers that are no problems. Naming a `default`
    answer keeps FastAPI from promising 422, which this service never sends.
    """
    known = statuses if open_to_all else (HTTPStatus.UNAUTHORIZED, *statuses)
    responses: dict[int | str, Any] = {
        status.value: {"description": phrase(status), "content": _PROBLEM} for status in known
    }
    for status, model in (also or {}).items():
        responses[status.value] = {"description": phrase(status), "model": model}
    responses["default"] = {"description": "Any other problem", "content": _PROBLEM}
    extra: dict[str, Any] = {"security": [] if open_to_all else [{BEARER: []}, {API_KEY: []}]}
    if body:
        schema = {"$ref": f"#/components/schemas/{body}"}
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if query:
        extra["parameters"] = list(query)
    return {"responses": responses, "openapi_extra": extra}


def operation_id(route: APIRoute) -> str:
    """Name an operation as its function is named."""
    return route.name


def number_parameter(
    name: str, description: str, *, default: int, lowest: int, highest: int
) -> dict[str, Any]:
    """Document a query parameter that is a number."""
    schema = {"type": "integer", "minimum": lowest, "maximum": highest, "default": default}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def word_parameter(name: str, description: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Document a query parameter that is one of a few words."""
    schema = {"type": "string", "enum": list(words)}
    return {"name": name, "in": "query", "description": description, "schema": schema}
