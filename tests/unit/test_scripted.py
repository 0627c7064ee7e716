"""A script of model turns: its file, where a conversation stands in it, and how it is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from codebot.errors import ConfigError
from codebot.gateway.script import Script, as_events, load_script, message
from codebot.gateway.scripted import ScriptedUpstream, next_turn, working_directory
from codebot.gateway.upstream import COUNT_TOKENS, MESSAGES, Call

TURNS = [
    {"text": "I look.", "tools": [{"name": "Read", "input": {"file_path": "{cwd}/a", "n": [1]}}]},
    {"text": "Words alone."},
    {"structured": {"title": "T"}, "usage": {"input_tokens": 3, "output_tokens": 4}},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "turns.json"
    path.write_text(json.dumps({"turns": TURNS}))
    return path


@pytest.fixture
def script() -> Script:
    return Script.model_validate({"turns": TURNS})


async def ask(path: Path, request: Any, to: str = MESSAGES) -> tuple[int, str]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    async with ScriptedUpstream(path).send(Call(to, "", {}, body)) as answer:
        return answer.status, b"".join([piece async for piece in answer.body]).decode()


def said(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


# --- The file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "JSON"),
        ("[]", "object"),
        ('{"turns": []}', "turns: "),
        ('{"turns": [{"txt": "x"}]}', "turns.0.txt: "),
        ('{"turns": [{"status": 200}]}', "turns.0.status: "),
        ('{"turns": [{}, {"tools": [{"name": ""}]}]}', "turns.1.tools.0.name: "),
        ('{"turns": [{"delay_ms": -1}]}', "turns.0.delay_ms: "),
    ],
)
def test_a_bad_script_stops_the_start_and_names_the_place(
    tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "turns.json").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_script(tmp_path / "turns.json")
    assert words in caught.value.detail
    assert str(tmp_path / "turns.json") in caught.value.detail


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "turns.json").write_text('{"turns": [{"txt": 1, "status": 7}], "more": 1}')
    with pytest.raises(ConfigError) as caught:
        load_script(tmp_path / "turns.json")
    assert len(caught.value.problems) == 3


def test_a_script_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_script(tmp_path / "none.json")


# --- Where a conversation stands -------------------------------------------------------------


def test_only_the_script_s_own_turns_count(script: Script) -> None:
    user = {"role": "user", "content": "Go on"}
    first = said({"type": "text", "text": "I look."}, {"type": "tool_use", "id": "toolu_0000_0"})
    second = said({"type": "text", "text": "Words alone."})
    invented = said({"type": "text", "text": "No response requested."})
    third = said({"type": "tool_use", "id": "toolu_0002_0"})
    for conversation, number in (
        ([user], 0),
        ([user, first], 1),
        ([user, first, user, invented, user], 1),
        ([user, first, user, invented, user, second], 2),
        ([user, first, user, second, user, third, user, invented], 3),
    ):
        assert next_turn(script, {"messages": conversation}) == number


@pytest.mark.parametrize("messages", [None, 7, ["x"], [{"role": "assistant"}], [said({})]])
def test_a_strange_conversation_is_at_its_beginning(script: Script, messages: Any) -> None:
    assert next_turn(script, {"messages": messages}) == 0


async def test_past_its_end_a_script_says_so(path: Path) -> None:
    told = [
        said({"type": "tool_use", "id": "toolu_0000_0"}),
        said({"type": "text", "text": "Words alone."}),
        said({"type": "tool_use", "id": "toolu_0002_0"}),
    ]
    status, body = await ask(path, {"model": "m", "messages": told})
    assert status == 200
    assert "no further turn" in body
    assert json.loads(body)["stop_reason"] == "end_turn"


# --- How it is told --------------------------------------------------------------------------


def test_the_agent_s_folder_stands_in_its_tools(script: Script) -> None:
    told = message(script.turn(0), 0, model="m", cwd="/tree")
    assert told["content"][1]["input"] == {"file_path": "/tree/a", "n": [1]}
    assert told["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("request_", "folder"),
    [
        ({"system": "Working directory: /a"}, "/a"),
        ({"system": [{"text": "x"}, {"text": " - Primary working directory: /b c\n - y"}]}, "/b c"),
        ({"messages": [{"role": "system", "content": [{"text": "working directory: /d"}]}]}, "/d"),
        ({"messages": []}, "."),
    ],
)
def test_the_agent_tells_its_folder(request_: dict[str, Any], folder: str) -> None:
    assert working_directory(request_) == folder


def test_a_stream_tells_what_a_whole_message_tells(script: Script) -> None:
    for number in range(3):
        whole = message(script.turn(number), number, model="m", cwd="/")
        events = [json.loads(event.decode().partition("data: ")[2]) for event in as_events(whole)]
        assert retold(events) == whole


def retold(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Put a stream together as clients do."""
    assert events[0]["type"] == "message_start"
    assert events[-1] == {"type": "message_stop"}
    whole: dict[str, Any] = dict(events[0]["message"])
    for event in events:
        match event:
            case {"type": "content_block_start", "content_block": block}:
                whole["content"] = [*whole["content"], dict(block)]
            case {"delta": {"type": "text_delta", "text": text}}:
                whole["content"][-1]["text"] += text
            case {"delta": {"type": "input_json_delta", "partial_json": text}}:
                whole["content"][-1]["input"] = json.loads(text)
            case {"type": "message_delta"}:
                whole |= {**event["delta"], "usage": whole["usage"] | event["usage"]}
    return whole


async def test_it_streams_when_asked_to(path: Path) -> None:
    _, streamed = await ask(path, {"model": "m", "stream": True})
    assert streamed.startswith("event: message_start\n")
    assert streamed.endswith("\n\n")
    _, whole = await ask(path, {"model": "m"})
    assert json.loads(whole)["model"] == "m"


async def test_counting_tokens_gives_a_number(path: Path) -> None:
    _, body = await ask(path, {"messages": []}, COUNT_TOKENS)
    assert json.loads(body)["input_tokens"] > 0


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000])
async def test_what_is_no_request_is_refused(path: Path, body: bytes) -> None:
    status, text = await ask(path, body)
    assert (status, json.loads(text)["error"]["type"]) == (400, "invalid_request_error")


async def test_a_turn_can_be_an_error(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    path.write_text(json.dumps({"turns": [{"status": 529}]}))
    status, text = await ask(path, {"stream": True})
    assert (status, json.loads(text)["error"]["type"]) == (529, "overloaded_error")
