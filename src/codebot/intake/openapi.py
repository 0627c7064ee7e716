"""The OpenAPI document of the service; `python -m codebot.intake.openapi FILE` writes it."""

import json
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from codebot.intake import frozen, v1
from codebot.intake.operations import API_KEY, BEARER
from codebot.intake.schemas import Problem, TaskSubmission, WholeTaskSubmission

DESCRIPTION = """A coding task goes in, a tested pull request comes out.

Submit a task, poll its status, read its events, log and diff. Every problem has the same body
(`application/problem+json`); every answer carries `X-Request-ID`, under which the service's log
tells more."""

_SECURITY = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "One of CODEBOT_API_KEYS"},
    API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


@cache
def openapi_document() -> dict[str, Any]:
    """Give the document: from the routes themselves, plus what only their answers speak of."""
    document = get_openapi(
        title="Codebot",
        version=version("codebot"),
        description=DESCRIPTION,
        routes=[*frozen.router.routes, *v1.router.routes],
    )
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted({**components["schemas"], **_further_schemas()}.items()))
    components["securitySchemes"] = _SECURITY
    return document


def _further_schemas() -> dict[str, Any]:
    """Give the schemas of bodies that no route declares as its model."""
    bodies = (Problem, TaskSubmission, WholeTaskSubmission)
    _, schemas = models_json_schema(
        [(body, "validation") for body in bodies],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def write_document(path: Path) -> None:
    """Write the document as it lies in `docs/reference`."""
    path.write_text(json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_document(Path(sys.argv[1]))
