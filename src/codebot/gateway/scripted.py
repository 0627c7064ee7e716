"""A model that plays a script: the demo and the tests need no account and no network.

Which turn comes next is read off the request alone, so that an agent that repeats a request,
or resumes its session after a crash, gets what it would have got.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from codebot.gateway.script import Script, as_events, load_script, message
from codebot.gateway.upstream import COUNT_TOKENS, Answer, Call, once, refusal

BYTES_PER_TOKEN = 4
"""A rule of thumb, good enough for a question that no scripted answer depends on."""
_CWD = re.compile(r"working directory: (\S.*)", re.IGNORECASE)
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ScriptedUpstream:
    """Answers with the turns of a file; free of charge, unless the file says otherwise."""

    name = "scripted"

    def __init__(self, path: Path) -> None:
        """Load the script at `path`; raises `ConfigError` naming everything wrong with it."""
        self._script = load_script(path)
        self.costs_money = self._script.costs_money

    async def close(self) -> None:
        """Do nothing: a script holds no connections."""

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        """Give the turn that follows on what the request says was said so far."""
        request = _parse(call.body)
        if request is None:
            yield refusal(400, "invalid_request_error", "This is not JSON.", retry=False)
        elif call.path == COUNT_TOKENS:
            yield _whole({"input_tokens": len(call.body) // BYTES_PER_TOKEN})
        else:
            yield await _play(self._script, request)


async def _play(script: Script, request: Mapping[str, Any]) -> Answer:
    number = next_turn(script, request)
    turn = script.turn(number)
    await asyncio.sleep(turn.delay_ms / 1000)
    if turn.status is not None:
        kind = _ERRORS.get(turn.status, "api_error")
        return refusal(turn.status, kind, "The script says so.", retry=_is_passing(turn.status))
    limit = request.get("max_tokens")
    told = message(
        turn,
        number,
        model=str(request.get("model")),
        cwd=working_directory(request),
        max_tokens=limit if isinstance(limit, int) else None,
    )
    return _stream(as_events(told)) if request.get("stream") else _whole(told)


def _is_passing(status: int) -> bool:
    """Say whether the API's clients are meant to try again after this status."""
    return status in {408, 409, 429} or status >= 500  # noqa: PLR2004 - HTTP's own border


def next_turn(script: Script, request: Mapping[str, Any]) -> int:
    """Say how far a conversation has come in the script.

    Only the script's own turns count: an agent that resumes a session puts words of its own
    into the model's mouth (Claude Code: "No response requested.").
    """
    number = 0
    for said in _messages(request):
        if said.get("role") == "assistant" and script.is_turn(number, said.get("content")):
            number += 1
    return number


def working_directory(request: Mapping[str, Any]) -> str:
    r"""Find the folder that the agent says it works in, or "." when it does not say.

    Claude Code tells it in the system prompt, or in a message of the role `system`.

    >>> working_directory({"system": [{"text": "Environment:\n - Working directory: /tree\n"}]})
    '/tree'
    """
    for text in _texts([request.get("system"), *_messages(request)]):
        if found := _CWD.search(text):
            return found[1].strip()
    return "."


def _messages(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    said = request.get("messages")
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Give every text in a JSON value, however deep."""
    match value:
        case str():
            yield value
        case list():
            for part in value:
                yield from _texts(part)
        case dict():
            for part in value.values():
                yield from _texts(part)


def _parse(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _whole(value: Mapping[str, Any]) -> Answer:
    return Answer(200, {"content-type": "application/json"}, once(json.dumps(value).encode()))


def _stream(events: Iterator[bytes]) -> Answer:
    return Answer(200, {"content-type": "text/event-stream; charset=utf-8"}, _each(events))


async def _each(events: Iterator[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
