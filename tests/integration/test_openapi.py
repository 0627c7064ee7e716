"""The OpenAPI document: committed, true, and free of what the service never does."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openapi_core import Config, OpenAPI
from openapi_core.contrib.starlette import StarletteOpenAPIRequest, StarletteOpenAPIResponse
from openapi_spec_validator import validate
from starlette.requests import Request
from starlette.responses import Response

from codebot.domain.egress import AccessVerdict
from codebot.intake.openapi import openapi_document, write_document
from codebot.store.egress import AccessTotal
from fakes.api import AUTH, TASK, Api, open_api
from fakes.clock import START

COMMITTED = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"

CONFIG = Config(extra_media_type_deserializers={"application/problem+json": json.loads})


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_api(tmp_path) as api:
        yield api


def test_the_committed_document_is_the_one_that_is_served(tmp_path: Path) -> None:
    write_document(tmp_path / "openapi.json")
    assert (tmp_path / "openapi.json").read_text() == COMMITTED.read_text(), (
        "run: python -m codebot.intake.openapi docs/reference/openapi.json"
    )


async def test_the_service_gives_the_document_away(api: Api) -> None:
    async with api.anonymous() as anyone:
        answer = await anyone.get("/openapi.json")
    assert answer.json() == openapi_document()


def test_the_document_is_valid_and_knows_no_422() -> None:
    document = openapi_document()
    validate(document)
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    assert "422" not in text
    assert "ValidationError" not in text


def test_every_operation_but_health_wants_a_key() -> None:
    for path, item in openapi_document()["paths"].items():
        for operation in item.values():
            assert bool(operation["security"]) == (path != "/health")
            assert ("401" in operation["responses"]) == (path != "/health")


def test_only_the_richer_door_documents_a_setup_command() -> None:
    schemas = openapi_document()["components"]["schemas"]
    fields = {name: set(schemas[name]["properties"]) for name in schemas if "Submission" in name}
    assert len(fields["TaskSubmission"]) == 6
    assert fields["WholeTaskSubmission"] - fields["TaskSubmission"] == {"setup_command"}
    operation = openapi_document()["paths"]["/api/v1/tasks"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/WholeTaskSubmission"}


async def test_real_answers_are_what_the_document_says(api: Api) -> None:
    spec = OpenAPI.from_dict(openapi_document(), config=CONFIG)
    submitted = await api.client.post("/api/tasks/submit", json=TASK)
    task_id = submitted.json()["task_id"]
    refused = AccessTotal("e.example", 443, AccessVerdict.REFUSED, "why", 1, 0, 0, START, START)
    await api.store.egress.add({task_id: [refused]})
    for method, path, query in (
        ("GET", f"/api/tasks/{task_id}/status", ""),
        ("GET", "/api/tasks/unknown/status", ""),
        ("GET", "/api/tasks", "limit=5&status=pending"),
        ("GET", "/api/tasks", "limit=0"),
        ("GET", "/health", ""),
        ("GET", f"/api/v1/tasks/{task_id}", ""),
        ("GET", f"/api/v1/tasks/{task_id}/events", "after=0"),
        ("GET", f"/api/v1/tasks/{task_id}/egress", ""),
    ):
        answer = await api.client.request(method, f"{path}?{query}" if query else path)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in AUTH.items()],
            "server": ("codebot", 80),
            "scheme": "http",
        }
        response = Response(answer.content, answer.status_code, dict(answer.headers))
        spec.validate_response(
            StarletteOpenAPIRequest(Request(scope), b""), StarletteOpenAPIResponse(response)
        )
