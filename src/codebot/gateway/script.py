"""A file of model turns: its shape, and the messages that it plays as."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codebot.errors import ConfigError

STRUCTURED_OUTPUT = "StructuredOutput"
"""The tool by which Claude Code takes a result of the shape that `--json-schema` asks for."""
WORKING_DIRECTORY = "{cwd}"

_Strict = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ScriptedTool(BaseModel):
    """A tool the model calls; `{cwd}` in a text of its input becomes the agent's folder."""

    model_config = _Strict
    name: Annotated[str, Field(min_length=1)]
    input: dict[str, Any] = {}


class ScriptedUsage(BaseModel):
    """The tokens that a turn says it used; agents compute a price from them, so zero is honest."""

    model_config = _Strict
    input_tokens: Annotated[int, Field(ge=0)] = 0
    output_tokens: Annotated[int, Field(ge=0)] = 0


class ScriptedTurn(BaseModel):
    """One answer of the model: words, tool calls, the structured result; or an error status."""

    model_config = _Strict
    text: str = ""
    tools: tuple[ScriptedTool, ...] = ()
    structured: dict[str, Any] | None = None
    usage: ScriptedUsage = ScriptedUsage()
    delay_ms: Annotated[int, Field(ge=0)] = 0
    status: Annotated[int, Field(ge=400, le=599)] | None = None


class Script(BaseModel):
    """The turns of a scripted model, in order.

    `costs_money` says that they count as if they were paid for, at the list price of the model
    that was asked for: to see what happens when a budget runs out.
    """

    model_config = _Strict
    costs_money: bool = False
    turns: Annotated[list[ScriptedTurn], Field(min_length=1)]

    def turn(self, number: int) -> ScriptedTurn:
        """Give the turn with this number, from 0; past the end, one that says it is over."""
        return self.turns[number] if number < len(self.turns) else THE_END

    def is_turn(self, number: int, content: Any) -> bool:  # noqa: ANN401 - JSON
        """Say whether an assistant message with this content is the turn with this number."""
        return any(
            block.get("id") == _call_id(number, 0) or block.get("text") == self.turn(number).text
            for block in (content if isinstance(content, list) else [{"text": content}])
            if isinstance(block, dict)
        )


THE_END = ScriptedTurn(text="The script has no further turn: this is the end of it.")


def load_script(path: Path) -> Script:
    """Read a script from its file; raises `ConfigError` naming everything that is wrong."""
    try:
        return Script.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise ConfigError((f"the script {path} cannot be read: {exc.strerror}",)) from exc
    except ValidationError as exc:
        raise ConfigError(tuple(_problem(path, error) for error in exc.errors())) from exc


def _problem(path: Path, error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"the script {path}: {where + ': ' if where else ''}{error['msg']}"


def message(
    turn: ScriptedTurn, number: int, *, model: str, cwd: str, max_tokens: int | None = None
) -> dict[str, Any]:
    """Give the turn as a message of the Messages API; its ids follow from its number.

    A turn that claims more output than `max_tokens` is told as one that was cut off there.
    https://docs.anthropic.com/en/api/messages
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
    content += [
        {"type": "tool_use", "id": _call_id(number, index), "name": name, "input": put}
        for index, (name, put) in enumerate(_tools(turn, cwd))
    ]
    stop_reason = "tool_use" if content and content[-1]["type"] == "tool_use" else "end_turn"
    usage = turn.usage.model_dump()
    if max_tokens is not None and turn.usage.output_tokens > max_tokens:
        stop_reason, usage["output_tokens"] = "max_tokens", max_tokens
    return {
        "id": f"msg_scripted_{number:04}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _call_id(number: int, index: int) -> str:
    return f"toolu_{number:04}_{index}"


def _tools(turn: ScriptedTurn, cwd: str) -> Iterator[tuple[str, Any]]:
    for tool in turn.tools:
        yield tool.name, _filled(tool.input, cwd)
    if turn.structured is not None:
        yield STRUCTURED_OUTPUT, turn.structured


def _filled(value: Any, cwd: str) -> Any:  # noqa: ANN401 - JSON
    """Put the agent's folder into every text of a JSON value."""
    match value:
        case str():
            return value.replace(WORKING_DIRECTORY, cwd)
        case dict():
            return {key: _filled(part, cwd) for key, part in value.items()}
        case list():
            return [_filled(part, cwd) for part in value]
        case _:
            return value


def as_events(whole: Mapping[str, Any]) -> Iterator[bytes]:
    """Give a message as the server-sent events of a stream.

    https://docs.anthropic.com/en/docs/build-with-claude/streaming
    """
    usage = whole["usage"]
    start: dict[str, Any] = {
        "content": [],
        "stop_reason": None,
        "usage": {**usage, "output_tokens": 0},
    }
    yield _event("message_start", message={**whole, **start})
    for index, block in enumerate(whole["content"]):
        empty, delta = _opened(block)
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=ending, usage=usage)
    yield _event("message_stop")


def _opened(block: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a block into how it starts, empty, and the one delta that fills it."""
    if block["type"] == "text":
        return {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
    partial = json.dumps(block["input"])
    return {**block, "input": {}}, {"type": "input_json_delta", "partial_json": partial}


def _event(kind: str, **data: Any) -> bytes:  # noqa: ANN401 - JSON
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()
