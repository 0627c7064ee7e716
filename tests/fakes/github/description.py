"""GitHub's own description of its API: what a request and an answer must look like."""

import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

DATA = Path(__file__).parents[2] / "data" / "github"
ORIGIN = "http://github.test"
_MISSING = object()
_SAMPLES = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": False,
}
_FORMATS = {
    "uri": "https://github.test/somewhere",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "somebody@github.test",
    "repo.nwo": "octo/repo",
}


@dataclass(frozen=True)
class Exchange:
    """A request and, once there is one, its answer, in the form that openapi-core reads."""

    method: str
    target: str
    request_headers: Mapping[str, str]
    body: bytes
    status_code: int = 0
    headers: Any = None
    data: bytes = b""

    @property
    def host_url(self) -> str:
        return ORIGIN

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @cached_property  # openapi-core adds the path's parameters to it
    def parameters(self) -> RequestParameters:
        query = parse_qsl(urlsplit(self.target).query, keep_blank_values=True)
        return RequestParameters(
            query=ImmutableMultiDict(query), header=Headers(dict(self.request_headers))
        )

    @property
    def content_type(self) -> str:
        headers = self.headers if self.status_code else self.request_headers
        return str(headers.get("content-type", "")).partition(";")[0]


class Description:
    """One flavour of the API, with the path that it is served under."""

    def __init__(self, flavour: str, prefix: str) -> None:
        self.prefix = prefix
        self.spec = json.loads((DATA / f"{flavour}.json").read_text())
        self._api = OpenAPI.from_dict({**self.spec, "servers": [{"url": ORIGIN + prefix}]})
        self._good: set[Hashable] = set()
        self._templates = [
            (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)), template)
            for template in self.spec["paths"]
        ]

    @property
    def operations(self) -> Iterator[tuple[str, str]]:
        """Every method and path template there is."""
        for template, methods in self.spec["paths"].items():
            yield from ((method.upper(), template) for method in methods)

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """Give the template that a path below the prefix is of, and its parameters."""
        for pattern, template in self._templates:
            found = pattern.fullmatch(path)
            if found and method.lower() in self.spec["paths"][template]:
                return template, found.groupdict()
        return None

    def describes(self, method: str, template: str, status: int) -> bool:
        """Say whether an answer with this status is described; GitHub leaves out most of 4xx."""
        return str(status) in self.spec["paths"][template][method.lower()]["responses"]

    def request_violation(self, exchange: Exchange) -> str | None:
        """Say what is wrong with a request."""
        key = (exchange.method, exchange.target, exchange.body, exchange.content_type)
        return self._checked(key, lambda: self._api.validate_request(exchange))

    def answer_violation(self, exchange: Exchange) -> str | None:
        """Say what is wrong with an answer."""
        key = (exchange.method, exchange.path, exchange.status_code, exchange.data)
        return self._checked(key, lambda: self._api.validate_response(exchange, exchange))

    def _checked(self, key: Hashable, check: Callable[[], object]) -> str | None:
        """Check what was not found good before: a check takes 4 ms, and most are repeated."""
        if key in self._good:
            return None
        problem = _violation(check)
        if problem is None:
            self._good.add(key)
        return problem

    def complete(self, method: str, template: str, status: int, given: Any) -> Any:
        """Fill in what an answer must have and the test does not care about."""
        responses = self.spec["paths"][template][method.lower()]["responses"]
        response = self._resolved(responses.get(str(status), {}))
        content = response.get("content", {}).get("application/json")
        return given if content is None else self._filled(content["schema"], given)

    def _filled(self, schema: dict[str, Any], given: Any) -> Any:
        if "discriminator" in schema and given is not _MISSING:
            choice = schema["discriminator"]
            schema = {"$ref": choice["mapping"][given[choice["propertyName"]]]}
        schema = self._one(schema)
        if given is _MISSING or given is None:
            if schema.get("nullable"):
                return None
            if "enum" in schema:
                return schema["enum"][0]
        if "properties" in schema or schema.get("type") == "object":
            return self._object(schema, {} if given is _MISSING else given)
        if schema.get("type") == "array":
            items = () if given is _MISSING else given
            return [self._filled(schema["items"], item) for item in items]
        if given is not _MISSING:
            return given
        return _FORMATS.get(schema.get("format", ""), _SAMPLES.get(schema.get("type", ""), "text"))

    def _object(self, schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties", {})
        names = dict.fromkeys([*schema.get("required", ()), *given])
        return {
            name: self._filled(properties.get(name, {}), given.get(name, _MISSING))
            for name in names
        }

    def _one(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Resolve references and alternatives to one plain schema."""
        schema = self._resolved(schema)
        if "allOf" in schema:
            merged: dict[str, Any] = {**schema, "properties": {}, "required": []}
            for part in map(self._one, merged.pop("allOf")):
                merged["properties"] |= part.get("properties", {})
                merged["required"] += part.get("required", [])
            return merged
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return {**self._one(schema[choice][0]), "nullable": schema.get("nullable", False)}
        return schema

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            _, _, kind, name = node["$ref"].split("/")
            node = self.spec["components"][kind][name]
        return node


@cache
def describe(flavour: str, prefix: str) -> Description:
    """Give a description, read once: checking that it is valid itself takes 0.2 s."""
    return Description(flavour, prefix)


def _violation(check: Callable[[], object]) -> str | None:
    try:
        check()
    except OpenAPIError as error:
        return f"{error}: {error.__cause__ or ''}"[:2000]
    return None
