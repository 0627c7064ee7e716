"""The routes of the API as values: what answers each, and what its OpenAPI document tells of it.

Serving needs nothing that the document is made with: that takes as long to import as half of all
else, and few ever ask for it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Answer = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Told:
    """What the document tells of an operation, beyond its path and its function.

    `problems` are what it answers with beside 401 and whatever `default` covers; `model`, `body`
    and those of `also`, which are answers that are no problems, are names of `intake.schemas`.
    Without a `model` the answer is plain text.
    """

    model: str | None = None
    status: HTTPStatus = HTTPStatus.OK
    tags: Sequence[str] = ()
    problems: Sequence[HTTPStatus] = ()
    body: str | None = None
    parameters: Sequence[Mapping[str, Any]] = ()
    also: Mapping[HTTPStatus, str] = field(default_factory=dict)
    open_to_all: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: `answer` takes the request and the path's parameters."""

    method: str
    path: str
    answer: Answer
    told: Told


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one surface, in the order of their functions."""

    all: list[Operation] = field(default_factory=list)

    def add(self, method: str, path: str, told: Told) -> Callable[[Answer], Answer]:
        """Give the decorator that makes a function the answer to this."""

        def decorate(answer: Answer) -> Answer:
            self.all.append(Operation(method, path, answer, told))
            return answer

        return decorate

    @property
    def routes(self) -> list[Route]:
        """The same as the server takes them."""
        return [PlainRoute(operation) for operation in self.all]


class PlainRoute(Route):
    """The route of one operation. HEAD is answered as GET is, and not told of."""

    def __init__(self, operation: Operation) -> None:
        """Let the operation's function answer, and nothing stand between."""
        super().__init__(operation.path, operation.answer, methods=[operation.method])
        self.methods = {operation.method}
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response: Response = await self.endpoint(request, **request.path_params)
        await response(scope, receive, send)


def key_parameter(name: str, longest: int) -> dict[str, Any]:
    """Document the header by which a request may be sent again."""
    words = "The caller's own name for this request: sent again with it, it is answered as before"
    schema = {"type": "string", "minLength": 1, "maxLength": longest}
    return {"name": name, "in": "header", "description": words, "schema": schema}


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
