"""GitHub's answers, read: a value of the asked kind, or the `ForgeError` that it means."""

from datetime import timedelta
from typing import TypeVar

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
from codebot.forge.github.models import Refusal

T = TypeVar("T")

BROKEN_FOR = timedelta(minutes=1)
"""When to come back to a GitHub that is down: its own outages last minutes."""

_LONGEST_QUOTE = 300


def read_answer(response: httpx.Response, kind: type[T]) -> T:
    """Give the answer's content; raise what a failed or senseless one means."""
    if not response.is_success:
        raise fault_of(response)
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as error:
        raise broken(response.request, "answered with something that is not its API's") from error


def fault_of(response: httpx.Response) -> ForgeError:
    """Give the error that an answer outside 2xx means, by its HTTP family."""
    said = _refusal(response)
    fact = f"{_call(response.request)} was answered with {response.status_code}"
    detail = f"{fact}: {_one_line(said.message)}" if said.message else f"{fact}."
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
            problems = tuple(str(problem) for problem in said.errors)
            return ForgeRefused(_with(detail, problems), problems=problems)
        case status:
            return broken(response.request, f"answered with {status}")


def broken(request: httpx.Request, what: str, *, hint: str | None = None) -> ForgeBroken:
    """Give the error for an exchange that failed and may go well another time."""
    return ForgeBroken(f"{_call(request)}: GitHub {what}.", hint=hint, retry_after=BROKEN_FOR)


def _call(request: httpx.Request) -> str:
    return f"{request.method} {request.url.host}{request.url.path}"


def _refusal(response: httpx.Response) -> Refusal:
    """Read what GitHub says about the failure, if it is GitHub who says it."""
    try:
        return Refusal.model_validate_json(response.content)
    except ValidationError:
        return Refusal()


def _with(detail: str, problems: tuple[str, ...]) -> str:
    return _one_line(f"{detail.rstrip('.')} ({', '.join(problems)}).") if problems else detail


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}..."
