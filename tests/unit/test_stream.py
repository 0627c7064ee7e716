"""What Claude Code prints is read to the last known field and survives anything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.agent.stream import LONGEST_OUTPUT, parse_line
from codebot.domain.agent_event import (
    Ending,
    Finished,
    Retrying,
    Said,
    Started,
    Thought,
    ToolCall,
    ToolResult,
)


def line(**message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def said(*blocks: Any) -> bytes:
    return line(type="assistant", message={"content": list(blocks)})


def answered(**result: Any) -> bytes:
    block = {"type": "tool_result", "tool_use_id": "t1", **result}
    return line(type="user", message={"content": [block]})


def result(**fields: Any) -> Finished:
    (event,) = parse_line(line(type="result", **fields))
    assert isinstance(event, Finished)
    return event


def test_a_session_starts_with_its_id_and_model() -> None:
    message = line(type="system", subtype="init", session_id="s", model="opus")
    assert parse_line(message) == (Started("s", "opus"),)


def test_words_thoughts_and_tools_come_in_the_order_of_the_blocks() -> None:
    blocks = (
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls\n-l"}},
        {"type": "something_new", "text": "?"},
    )
    assert parse_line(said(*blocks)) == (
        Thought("hm"),
        Said("I look."),
        ToolCall("t1", "Bash", "ls -l"),
    )


@pytest.mark.parametrize(
    ("given_input", "summary"),
    [
        ({"command": "make", "description": "Build it"}, "Build it"),
        ({"file_path": "/a/b.py", "new_string": "x"}, "/a/b.py"),
        ({"description": 7, "command": "ls"}, "ls"),
        ({"something": "else"}, ""),
        ("no object", ""),
    ],
)
def test_a_tool_call_is_told_by_what_says_most(given_input: Any, summary: str) -> None:
    block = {"type": "tool_use", "id": "t1", "name": "Bash", "input": given_input}
    assert parse_line(said(block)) == (ToolCall("t1", "Bash", summary),)


def test_a_tool_result_keeps_the_end_of_a_long_output() -> None:
    (event,) = parse_line(answered(content="x" * 100_000 + "the end", is_error=True))
    assert isinstance(event, ToolResult)
    assert event.is_error
    assert event.output.endswith("the end")
    assert len(event.output) < LONGEST_OUTPUT + 10


def test_a_tool_result_of_blocks_shows_their_texts() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    (event,) = parse_line(answered(content=blocks))
    assert event == ToolResult("t1", is_error=False, output="one\n\ntwo")


def test_a_retry_names_attempt_and_reason() -> None:
    message = line(
        type="system", subtype="api_retry", attempt=2, error_status=529, error="overloaded"
    )
    assert parse_line(message) == (Retrying(2, "529 overloaded"),)


def test_a_retry_without_an_answer_has_no_status() -> None:
    message = line(type="system", subtype="api_retry", attempt=1, error_status=None, error="x")
    assert parse_line(message) == (Retrying(1, "x"),)


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({"subtype": "success", "is_error": False}, Ending.DONE),
        ({"subtype": "success", "is_error": True, "api_error_status": 529}, Ending.API_ERROR),
        (
            {"subtype": "success", "is_error": True, "terminal_reason": "api_error"},
            Ending.API_ERROR,
        ),
        ({"subtype": "error_max_structured_output_retries", "is_error": True}, Ending.DONE),
        ({"subtype": "error_during_execution", "is_error": True}, Ending.ABORTED),
        ({"subtype": "error_of_the_future", "is_error": True}, Ending.ABORTED),
        ({"subtype": ["nonsense"], "is_error": True}, Ending.ABORTED),
    ],
)
def test_an_ending_is_told_by_all_of_its_fields(fields: dict[str, Any], ending: Ending) -> None:
    assert result(**fields).ending is ending


def test_a_structured_result_gives_the_words_of_the_pull_request() -> None:
    told = {"title": "Add\nhello", "summary": "- why", "commit_message": "Add hello\n\nBecause."}
    event = result(is_error=False, structured_output=told, result=json.dumps(told))
    assert (event.title, event.summary, event.commit_message) == (
        "Add hello",
        "- why",
        "Add hello\n\nBecause.",
    )
    assert event.text == ""


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\n",
        b"not json",
        b'{"type":"assistant"',
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"type":"assistant","message":{"content":"a text"}}',
        b'{"type":"assistant","message":{"content":[null,1,"x",[]]}}',
        b'{"type":"user","message":null}',
        b'{"type":"stream_event","event":{}}',
        b'{"type":"system","subtype":"compact_boundary"}',
        b'{"type":"system","subtype":"init","session_id":7}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 100_000,
    ],
    ids=lambda line: line[:40].decode(errors="replace"),
)
def test_what_is_broken_or_unknown_gives_nothing(broken: bytes) -> None:
    assert parse_line(broken) == ()


def test_half_a_surrogate_pair_can_be_stored_afterwards() -> None:
    (event,) = parse_line(
        b'{"type":"assistant","message":{"content":[{"type":"text","text":"\\ud83d"}]}}'
    )
    assert event == Said("?")


def test_a_line_of_many_megabytes_is_read_and_cut() -> None:
    (event,) = parse_line(answered(content="x" * 20_000_000))
    assert isinstance(event, ToolResult)
    assert len(event.output) < LONGEST_OUTPUT + 10


def test_a_very_long_speech_is_cut_and_says_so() -> None:
    (event,) = parse_line(said({"type": "text", "text": "x" * 1_000_000}))
    assert isinstance(event, Said)
    assert event.text.endswith("more characters)")
    assert len(event.text) < 100_000


@given(st.binary(max_size=200))
def test_no_bytes_ever_raise(data: bytes) -> None:
    parse_line(data)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_known = st.sampled_from(
    [
        *("type", "subtype", "message", "content", "session_id", "model", "text", "thinking"),
        *("id", "name", "input", "tool_use_id", "is_error", "result"),
        *("structured_output", "title", "api_error_status", "error", "attempt"),
    ]
)
_kinds = st.sampled_from(
    [
        "system",
        "assistant",
        "user",
        "result",
        "init",
        "api_retry",
        "text",
        "tool_use",
        "tool_result",
    ]
)
_blocks = st.lists(st.dictionaries(_known, _anything | _kinds, max_size=6) | _anything, max_size=4)
_messages = st.fixed_dictionaries(
    {"type": _kinds, "subtype": _kinds | _anything},
    optional={"message": st.fixed_dictionaries({"content": _blocks | _anything})},
)


@given(_messages, st.dictionaries(_known, _anything, max_size=8))
def test_no_shape_of_a_known_message_ever_raises(
    message: dict[str, Any], more: dict[str, Any]
) -> None:
    for event in parse_line(json.dumps({**more, **message}).encode()):
        repr(event).encode()  # nothing that cannot be written down
