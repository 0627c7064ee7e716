"""GitHub's answers, read: a value of the asked kind, or the `ForgeError` that it means."""

from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from codebot.errors import (
    ForgeBroken,
    ForgeError,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
)
from codebot.forge.github.refusals import Refusal, read_refusal

T = TypeVar("T")

BROKEN_FOR = timedelta(minutes=1)
"""When to come back to a GitHub that is down: its own outages last minutes."""


def read_answer(response: httpx.Response, kind: type[T]) -> T:
    """Give the answer's content; raise what a failed or senseless one means."""
    if not response.is_success:
        raise fault_of(response)
    try:
        codec: TypeAdapter[T] = _codec(kind)  # type: ignore[arg-type]  # a class is hashable
        return codec.validate_json(response.content)
    except ValidationError as error:
        raise broken(response.request, "answered with something that is not its API's") from error


@cache
def _codec(kind: type[Any]) -> TypeAdapter[Any]:
    """Give what reads a kind of answer: 0.7 ms to make."""
    return TypeAdapter(kind)


def fault_of(response: httpx.Response) -> ForgeError:
    """Give the error that an answer outside 2xx means, by its HTTP family."""
    said = read_refusal(response.content)
    fact = f"{_call(response.request)} was answered with {response.status_code}"
    detail = f"{fact}: {_sentence(said)}" if said.words else f"{fact}."
    match response.status_code:
        case httpx.codes.UNAUTHORIZED:
            return ForgeUnauthorized(
                detail, hint="Check GITHUB_APP_ID and the App's private key, or GITHUB_TOKEN."
            )
        case httpx.codes.FORBIDDEN:
            return ForgeForbidden(
                detail,
                hint="Give the App or token write permission for contents and pull requests.",
            )
        case httpx.codes.NOT_FOUND | httpx.codes.GONE:
            return ForgeNotFound(
                detail, hint="Check the name, and that the App is installed on the repository."
            )
        case status if httpx.codes.is_client_error(status):
            return ForgeRefused(detail, problems=said.findings)
        case status:
            words = f": {said.words.rstrip('.')}" if said.words else ""
            return broken(response.request, f"answered with {status}{words}")


def broken(request: httpx.Request, what: str, *, hint: str | None = None) -> ForgeBroken:
    """Give the error for an exchange that failed and may go well another time."""
    return ForgeBroken(f"{_call(request)}: GitHub {what}.", hint=hint, retry_after=BROKEN_FOR)


def _call(request: httpx.Request) -> str:
    return f"{request.method} {request.url.host}{request.url.path}"


def _sentence(said: Refusal) -> str:
    """Give GitHub's words, and where it explains them."""
    see = f" See {said.explained_at} ." if said.explained_at.startswith("https://") else ""
    return f"{said.words.rstrip('.')}.{see}"
