"""What Claude Code prints with `--output-format stream-json`, one line at a time; pure.

Its kinds of lines grow with every version, so whatever is unknown or broken gives nothing. Seen
with 2.1.330: `system/init`, `system/api_retry`, `assistant` (one per content block), `user`
(results of tools), `result`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codebot.agent.texts import clip, one_line, tail_of
from codebot.domain.agent_event import (
    AgentEvent,
    Ending,
    Finished,
    Retrying,
    Said,
    Started,
    Thought,
    ToolCall,
    ToolResult,
)

LONGEST_OUTPUT = 4000
"""Characters kept of what a tool printed: its end."""

ENDINGS = {
    # The work is done; the agent only failed to describe it in the form we asked for.
    "error_max_structured_output_retries": Ending.DONE,
}

TELLING_INPUTS = ("description", "file_path", "path", "command", "pattern", "url", "prompt")
"""The fields of a tool's input that say best what it is for, best first."""


def parse_line(line: bytes) -> Sequence[AgentEvent]:
    """Give what one line tells; nothing when it is no JSON object or of no kind we know."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return ()
    return tuple(_events(message))


def _events(message: Any) -> Iterator[AgentEvent]:  # noqa: ANN401 - JSON
    match message:
        case {"type": "assistant", "message": {"content": [*blocks]}}:
            yield from _said_or_called(blocks)
        case {"type": "user", "message": {"content": [*blocks]}}:
            yield from _tool_results(blocks)
        case {"type": "result"}:
            yield _finished(message)
        case {"type": "system", "subtype": "init", "session_id": str(session_id)}:
            yield Started(clip(session_id), _text(message, "model"))
        case {"type": "system", "subtype": "api_retry"}:
            yield _retrying(message)


def _said_or_called(blocks: Sequence[Any]) -> Iterator[AgentEvent]:
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                yield Said(clip(text))
            case {"type": "thinking", "thinking": str(text)}:
                yield Thought(clip(text))
            case {"type": "tool_use", "id": str(call_id), "name": str(tool), "input": given}:
                yield ToolCall(clip(call_id), one_line(tool), _summary(given))


def _summary(given: object) -> str:
    """Say in one line what a tool was called for."""
    if not isinstance(given, dict):
        return ""
    texts = (given.get(name) for name in TELLING_INPUTS)
    return one_line(next((text for text in texts if isinstance(text, str) and text), ""))


def _tool_results(blocks: Sequence[Any]) -> Iterator[AgentEvent]:
    for block in blocks:
        match block:
            case {"type": "tool_result", "tool_use_id": str(call_id)}:
                output = tail_of(_shown(block.get("content")), LONGEST_OUTPUT)
                yield ToolResult(clip(call_id), block.get("is_error") is True, output)


def _shown(content: object) -> str:
    """Give the text of a tool's result: a string, or blocks of which only texts can be shown."""
    match content:
        case str():
            return content
        case [*blocks]:
            return "\n".join(_text(block, "text") for block in blocks if isinstance(block, dict))
        case _:
            return ""


def _retrying(message: Mapping[str, Any]) -> Retrying:
    status = message.get("error_status")
    reason = _text(message, "error") or "unknown"
    shown = f"{status} {reason}" if isinstance(status, int) else reason
    return Retrying(_count(message, "attempt"), one_line(shown))


def _finished(message: Mapping[str, Any]) -> Finished:
    status = message.get("api_error_status")
    told = message.get("structured_output")
    described = told if isinstance(told, dict) else {}
    return Finished(
        ending=_ending(message),
        api_status=status if isinstance(status, int) else None,
        # With a structured result, `result` only repeats it as JSON.
        text="" if described else _text(message, "result"),
        title=one_line(_text(described, "title")),
        summary=_text(described, "summary"),
        commit_message=_text(described, "commit_message"),
    )


def _ending(message: Mapping[str, Any]) -> Ending:
    """Say how it ended. `subtype` alone misleads: an API error is "success" with `is_error`."""
    if message.get("is_error") is not True:
        return Ending.DONE
    if message.get("terminal_reason") == "api_error" or message.get("api_error_status"):
        return Ending.API_ERROR
    return ENDINGS.get(_text(message, "subtype"), Ending.ABORTED)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return clip(value) if isinstance(value, str) else ""


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0
