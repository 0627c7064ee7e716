"""Asks a running service to act on one of its tasks."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from codebot.domain.secret import Secret
from codebot.errors import (
    CodebotError,
    Conflict,
    NotFound,
    QueueFull,
    ServiceUnreachable,
    Unauthorized,
)

TIMEOUT_SECONDS = 30

_ERRORS: dict[int, type[CodebotError]] = {
    httpx.codes.UNAUTHORIZED: Unauthorized,
    httpx.codes.NOT_FOUND: NotFound,
    httpx.codes.CONFLICT: Conflict,
    httpx.codes.TOO_MANY_REQUESTS: QueueFull,
}

_OF_ANOTHER_KEY = {httpx.codes.NOT_FOUND, httpx.codes.UNAUTHORIZED}


class ServiceClient:
    """A client with every key of a service: a task may have been submitted with any of them."""

    def __init__(self, url: str, keys: Sequence[Secret]) -> None:
        """Talk to the service at `url`; there is at least one key."""
        self._url = url
        self._keys = keys

    def act(self, task_id: str, action: str) -> str:
        """Act on a task and give the service's words for what came of it.

        Raises `ServiceUnreachable`, and what the service refuses with: `NotFound`, `Conflict`,
        `Unauthorized`, `QueueFull`.
        """
        path = f"/api/v1/tasks/{quote(task_id, safe='')}/{action}"
        *others, last = self._keys
        for key in others:
            answer = self._post(path, key)
            if answer.status_code not in _OF_ANOTHER_KEY:
                return _words(answer)
        return _words(self._post(path, last))

    def _post(self, path: str, key: Secret) -> httpx.Response:
        headers = {b"Authorization": f"Bearer {key.reveal()}".encode()}
        try:
            with httpx.Client(base_url=self._url, trust_env=False) as http:
                return http.post(path, headers=headers, timeout=TIMEOUT_SECONDS)
        except httpx.TransportError as error:
            raise ServiceUnreachable(
                f"No service answers at {self._url}.",
                hint="Start `codebot serve`, or name where it is: CODEBOT_HOST, CODEBOT_PORT.",
            ) from error


def _words(answer: httpx.Response) -> str:
    """Give the message of an answer; raises the error that a refusal tells of."""
    try:
        body: dict[str, Any] = answer.json()
        message = str(body["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(
            f"What answers at {answer.url.copy_with(path='/')} is no Codebot.",
            hint="Check CODEBOT_HOST and CODEBOT_PORT.",
        ) from error
    if answer.is_success:
        return message
    raise _ERRORS.get(answer.status_code, CodebotError)(message, hint="")
