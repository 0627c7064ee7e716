"""What of an agent's request goes on to the model, and what is left out of it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.gateway.request import (
    MOST_PARTS,
    NOTICE,
    OVERHEAD,
    TOKENS_OF_A_PICTURE,
    ModelRequest,
    NotUnderstood,
    read_question,
    read_request,
)
from codebot.gateway.upstream import MESSAGES, Call

ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9000,
    "messages": [{"role": "user", "content": "Hi"}],
}


def a_body(**more: Any) -> bytes:
    return json.dumps(ASKED | more, indent=1).encode()


def vetted(**more: Any) -> dict[str, Any]:
    return read_request(a_body(**more)).fields


def sent(request: ModelRequest, body: bytes) -> bytes:
    return request.sent_by(Call(MESSAGES, "", {}, body)).body


# --- What passes -----------------------------------------------------------------------------


def test_what_needs_no_change_passes_byte_for_byte() -> None:
    body = a_body(
        system=[{"type": "text", "text": "é \\u00e9", "cache_control": {"type": "ephemeral"}}],
        tools=[
            {"name": "Bash", "input_schema": {}},
            {"name": "Later", "defer_loading": True},
            {"type": "custom", "name": "Own"},
            {"type": "bash_20250124", "name": "bash"},
        ],
        metadata={"user_id": "x"},
        thinking={"type": "adaptive", "display": "updates"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        stream=True,
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "system", "content": "So.", "output_config": {"effort": "low"}},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "Bash", "input": {"source": {}}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [
                            {"type": "text", "text": "out"},
                            {"type": "image", "source": {"type": "base64", "data": "AAAA"}},
                        ],
                    },
                    {"type": "document", "source": {"type": "text", "data": "words"}},
                ],
            },
        ],
    )
    request = read_request(body)
    assert request.left_out == frozenset()
    assert sent(request, body) == body


@pytest.mark.parametrize(
    "field",
    [
        *("service_tier", "speed", "inference_geo", "mcp_servers", "container", "fallbacks"),
        *("fallback_credit_token", "compaction", "thread", "betas", "of_the_future"),
    ],
)
def test_fields_that_may_cost_otherwise_or_are_not_known_are_left_out(field: str) -> None:
    request = read_request(a_body(**{field: "x"}))
    assert request.left_out == {field}
    assert json.loads(sent(request, a_body(**{field: "x"}))) == ASKED


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search_20260318", "web_fetch_20260318", "code_execution_20260521"),
        *("advisor_20260301", "tool_search_tool_bm25_20251119", "mcp_toolset", "of_the_future"),
        7,
    ],
)
def test_tools_that_run_at_the_api_are_left_out(kind: str) -> None:
    own = {"name": "Bash"}
    request = read_request(a_body(tools=[own, {"type": kind, "name": "x"}]))
    assert request.fields["tools"] == [own]
    assert request.left_out == {f"tool {kind}"}


def test_a_tool_is_not_smuggled_in_by_a_message() -> None:
    def adding(definition: dict[str, Any]) -> dict[str, Any]:
        tool = {"type": "tool_definition", "definition": definition}
        return {"role": "system", "content": [{"type": "tool_addition", "tool": tool}]}

    own, other = adding({"name": "Own"}), adding({"type": "web_search_20260318"})
    [first, second] = vetted(messages=[own, other])["messages"]
    assert first == own
    assert "web_search" not in json.dumps(second)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://elsewhere.example/?all=of-it"}},
        {"type": "document", "source": {"type": "url", "url": "https://elsewhere.example/"}},
        {"type": "document", "source": {"type": "base64", "data": "JVBERi0="}},
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        {"type": "container_upload", "file_id": "f"},
    ],
    ids=lambda block: json.dumps(block)[:60],
)
@pytest.mark.parametrize("inside", [False, True], ids=["", "in a tool's result"])
def test_what_the_api_would_fetch_or_unpack_is_left_out(
    block: dict[str, Any], *, inside: bool
) -> None:
    content = [{"type": "tool_result", "content": [block]}] if inside else [block]
    request = read_request(a_body(messages=[{"role": "user", "content": content}]))
    assert request.left_out == {block["type"]}
    told = json.dumps(request.fields)
    assert "elsewhere" not in told
    assert "text and pictures only" in told


def test_the_system_prompt_is_vetted_as_well() -> None:
    [block] = vetted(system=[{"type": "image", "source": {"type": "url", "url": "x"}}])["system"]
    assert block["type"] == "text"


def test_a_summary_on_the_way_is_left_out() -> None:
    edits = [{"type": "compact_20260112"}, {"type": "clear_tool_uses_20250919"}, 7]
    request = read_request(a_body(context_management={"edits": edits}))
    assert request.fields["context_management"] == {"edits": [edits[1]]}
    assert request.left_out == {"context_management"}


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps(ASKED).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(ASKED).encode(),
        a_body()[:-1] + b', "max_tokens": 1}',
        a_body(metadata=[{}]).replace(b"{}", b'{"a": 1, "a": 2}'),
        a_body(temperature=float("nan")),
        a_body().replace(b"9000", b"9" * 5000),
    ],
    ids=lambda body: body[:30].decode(errors="replace"),
)
def test_what_two_readers_could_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(NotUnderstood, match="JSON"):
        read_request(body)


@pytest.mark.parametrize("limit", [0, -1, None, "9000", 9e3, True, 10**8, [1]])
def test_a_request_without_a_sane_limit_is_refused(limit: Any) -> None:
    with pytest.raises(NotUnderstood, match="max_tokens"):
        read_request(a_body(max_tokens=limit))


def test_a_request_of_too_many_parts_is_refused_before_it_is_read() -> None:
    many = b'{"messages": [' + b"{}," * MOST_PARTS + b"{}]}"
    tracemalloc.start()
    with pytest.raises(NotUnderstood, match="more parts"):
        read_request(many)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000


@pytest.mark.parametrize("model", [None, "", 7, ["m"], "m" * 300])
def test_a_request_without_a_model_is_refused(model: Any) -> None:
    with pytest.raises(NotUnderstood, match="model"):
        read_request(a_body(model=model))


@pytest.mark.parametrize("messages", [None, "Hi", {}, ["Hi"]])
def test_a_request_without_messages_is_refused(messages: Any) -> None:
    with pytest.raises(NotUnderstood, match="messages"):
        read_request(a_body(messages=messages))


def test_a_question_for_a_number_needs_no_limit_and_no_more_than_is_counted() -> None:
    question = read_question(a_body(stream=True))
    assert set(question.fields) == {"model", "messages"}
    assert json.loads(read_request(a_body(stream=True)).question()) == question.fields


# --- How much goes in ------------------------------------------------------------------------


def test_no_more_tokens_than_bytes_go_in_but_for_pictures() -> None:
    body = a_body()
    assert read_request(body).most_input == len(body) + OVERHEAD + NOTICE
    picture = {"type": "image", "source": {"type": "base64", "data": "A" * 1_000_000}}
    shown = read_request(a_body(messages=[{"role": "user", "content": [picture] * 2}]))
    assert 2 * TOKENS_OF_A_PICTURE < shown.most_input < 2 * TOKENS_OF_A_PICTURE + 5000


def test_what_is_put_in_the_place_of_a_gap_is_counted() -> None:
    body = a_body(messages=[{"role": "user", "content": [{"file_id": 7}] * 500}])
    request = read_request(body)
    assert request.most_input >= len(json.dumps(request.fields["messages"]))


def test_an_hour_in_the_cache_is_seen_however_it_is_written() -> None:
    assert not read_request(a_body()).asks_for_a_long_cache
    long = a_body(cache_control={"type": "ephemeral", "ttl": "1h"})
    assert read_request(long).asks_for_a_long_cache
    assert read_request(long.replace(b'"1h"', b'"\\u0031h"')).asks_for_a_long_cache


# --- What is changed -------------------------------------------------------------------------


def test_less_room_for_an_answer_is_all_that_changes() -> None:
    request = read_request(a_body())
    assert request.saying_at_most(9000) is request
    assert request.saying_at_most(2000).fields == ASKED | {"max_tokens": 2000}


@pytest.mark.parametrize(
    ("budget", "room", "left"),
    [
        (5000, 9000, {"type": "enabled", "budget_tokens": 5000}),
        (5000, 4000, {"type": "enabled", "budget_tokens": 2000}),
        (5000, 1500, {"type": "enabled", "budget_tokens": 1024}),
        (5000, 1024, {"type": "disabled"}),
        ("many", 4000, {"type": "enabled", "budget_tokens": 2000}),
    ],
)
def test_thoughts_stay_below_the_room_for_the_answer(
    budget: Any, room: int, left: dict[str, Any]
) -> None:
    body = a_body(thinking={"type": "enabled", "budget_tokens": budget})
    assert read_request(body).saying_at_most(room).fields["thinking"] == left


def test_thoughts_longer_than_any_answer_are_bounded_from_the_start() -> None:
    """With interleaved thinking the API takes them, and they may fill the whole context."""
    thinking = vetted(thinking={"type": "enabled", "budget_tokens": 100_000})["thinking"]
    assert thinking["budget_tokens"] < ASKED["max_tokens"]


def test_a_notice_comes_last_in_what_the_user_said_and_nothing_before_it_changes() -> None:
    messages = [
        {"role": "user", "content": "Do it."},
        {"role": "assistant", "content": "I did."},
        {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
        {"role": "system", "content": "So."},
    ]
    request = read_request(a_body(messages=messages)).with_notice("Stop.")
    told = request.fields["messages"]
    assert told[:2] + told[3:] == messages[:2] + messages[3:]
    assert told[2]["content"] == [messages[2]["content"][0], {"type": "text", "text": "Stop."}]
    assert len(messages[2]["content"]) == 1, "the request itself is not touched"

    [only] = read_request(a_body()).with_notice("Stop.").fields["messages"]
    assert [block["text"] for block in only["content"]] == ["Hi", "Stop."]


def test_a_notice_for_nobody_changes_nothing() -> None:
    assert read_request(a_body(messages=[])).with_notice("Stop.").fields["messages"] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "source", "content", "role", "tool", "definition", "edits", "file_id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*ASKED, "tools", "thinking", "context_management"]), JSON))
def test_no_request_breaks_the_reader(fields: dict[str, Any]) -> None:
    body = json.dumps(ASKED | fields).encode()
    try:
        request = read_request(body)
    except NotUnderstood:
        return
    changed = request.saying_at_most(1).with_notice("Stop.")
    assert json.loads(sent(changed, body))["max_tokens"] == 1
