"""The OpenAPI document of the service; `python -m codebot.intake.openapi FILE` writes it."""

import json
import sys
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema
from starlette.responses import JSONResponse, PlainTextResponse

from codebot.intake import frozen, schemas, v1
from codebot.intake.operations import Operation, Told
from codebot.intake.problems import MEDIA_TYPE, phrase

BEARER = "bearer"
API_KEY = "api_key"

DESCRIPTION = """A coding task goes in, a tested pull request comes out.

Submit a task, poll its status, read its events, log and diff. Every problem has the same body
(`application/problem+json`); every answer carries `X-Request-ID`, under which the service's log
tells more."""

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SECURITY = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "One of CODEBOT_API_KEYS"},
    API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


@cache
def openapi_document() -> dict[str, Any]:
    """Give the document: from the routes themselves, plus what only their answers speak of."""
    router = APIRouter(generate_unique_id_function=_operation_id)
    for operation in (*frozen.operations.all, *v1.operations.all):
        _describe(operation, router)
    document = get_openapi(
        title="Codebot",
        version=version("codebot"),
        description=DESCRIPTION,
        routes=router.routes,
    )
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted({**components["schemas"], **_further_schemas()}.items()))
    components["securitySchemes"] = _SECURITY
    return document


def _describe(operation: Operation, router: APIRouter) -> None:
    """Let FastAPI know an operation: it reads the path's parameters and the words of it itself."""
    told = operation.told
    router.add_api_route(
        operation.path,
        operation.answer,
        methods=[operation.method],
        status_code=told.status,
        tags=list(told.tags),
        response_model=None if told.model is None else getattr(schemas, told.model),
        response_class=PlainTextResponse if told.model is None else JSONResponse,
        responses=_responses(told),
        openapi_extra=_extra(told),
    )


def _responses(told: Told) -> dict[int | str, Any]:
    """Give the answers beside the usual one.

    Naming a `default` keeps FastAPI from promising 422, which this service never sends.
    """
    known = told.problems if told.open_to_all else (HTTPStatus.UNAUTHORIZED, *told.problems)
    responses: dict[int | str, Any] = {
        status.value: {"description": phrase(status), "content": _PROBLEM} for status in known
    }
    for status, model in told.also.items():
        described = {"description": phrase(status), "model": getattr(schemas, model)}
        responses[status.value] = described
    return {**responses, "default": {"description": "Any other problem", "content": _PROBLEM}}


def _extra(told: Told) -> dict[str, Any]:
    """Give what FastAPI cannot see: keys are the gate's, and bodies are read by plain functions."""
    extra: dict[str, Any] = {"security": [] if told.open_to_all else [{BEARER: []}, {API_KEY: []}]}
    if told.body:
        schema = {"$ref": f"#/components/schemas/{told.body}"}
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return {**extra, "parameters": list(told.parameters)} if told.parameters else extra


def _operation_id(route: APIRoute) -> str:
    """Name an operation as its function is named."""
    return route.name


def _further_schemas() -> dict[str, Any]:
    """Give the schemas of bodies that no route declares as its model."""
    bodies = (schemas.Problem, schemas.TaskSubmission, schemas.WholeTaskSubmission)
    _, described = models_json_schema(
        [(body, "validation") for body in bodies],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = described["$defs"]
    return definitions


def write_document(path: Path) -> None:
    """Write the document as it lies in `docs/reference`."""
    path.write_text(json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_document(Path(sys.argv[1]))
