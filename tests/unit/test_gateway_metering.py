"""Turns, tokens and dollars, read off answers as they pass."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.outcome import Usage
from codebot.gateway.metering import AnswerReader, Metered, Turn, price
from fakes.upstream import END, MODEL, START, event, whole_message


def read(*pieces: bytes) -> AnswerReader:
    reader = AnswerReader()
    for piece in pieces:
        reader.read(piece)
    return reader


def test_a_turn_costs_more_the_more_tokens_it_uses() -> None:
    one = price(MODEL, {"input_tokens": 1000, "output_tokens": 10})
    more_in = price(MODEL, {"input_tokens": 2000, "output_tokens": 10})
    more_out = price(MODEL, {"input_tokens": 1000, "output_tokens": 20})
    assert one is not None
    assert more_in is not None
    assert more_out is not None
    assert 0 < one < more_in
    assert one < more_out


def test_a_cached_token_is_cheaper_to_read_than_to_send_and_dearer_to_write() -> None:
    sent = price(MODEL, {"input_tokens": 1000})
    written = price(MODEL, {"cache_creation_input_tokens": 1000})
    cached = price(MODEL, {"cache_read_input_tokens": 1000})
    assert sent is not None
    assert written is not None
    assert cached is not None
    assert cached < sent < written


def test_an_unknown_model_is_counted_at_no_cost_and_named() -> None:
    told = whole_message("some-model", input_tokens=10, output_tokens=5)
    usage, priced = read(json.dumps(told).encode()).usage(costs_money=True)
    assert (usage, priced) == (Usage(1, 10, 5, 0.0), False)
    total = Metered().plus(Turn(200, 0.5, "some-model", usage, priced))
    assert total.unpriced == {"some-model"}


def test_a_model_that_costs_nothing_is_not_unpriced() -> None:
    told = whole_message("some-model", input_tokens=10, output_tokens=5)
    assert read(json.dumps(told).encode()).usage(costs_money=False) == (Usage(1, 10, 5, 0.0), True)


def test_the_last_word_of_a_stream_counts() -> None:
    late = event("message_delta", delta={}, usage={"input_tokens": None, "output_tokens": 70})
    usage, _ = read(START, END, late).usage(costs_money=False)
    assert usage == Usage(1, 1000, 70, 0.0)


def test_a_text_that_looks_like_usage_is_text() -> None:
    said = '"message_delta" {"usage": {"output_tokens": 9999}}'
    delta = event("content_block_delta", delta={"type": "text_delta", "text": said})
    usage, _ = read(START, delta, END).usage(costs_money=False)
    assert usage.output_tokens == 50


def test_an_answer_without_usage_is_no_turn() -> None:
    for piece in (b"", b'{"input_tokens": 12}', b'{"type": "error"}', b"<html>"):
        assert read(piece).usage(costs_money=True) == (Usage(), True)


def test_an_error_in_a_stream_is_seen() -> None:
    assert not read(START, END).broken
    assert read(START, event("error", error={"type": "overloaded_error"})).broken


def test_calls_add_up() -> None:
    total = Metered()
    for status, waited in ((200, 0.5), (529, 0.1), (529, 0.2), (502, 2.0)):
        total = total.plus(Turn(status, waited, "", Usage(), priced=True))
    assert (total.calls, total.errors, total.slowest) == (4, {529: 2, 502: 1}, 2.0)


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
USAGES = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation", "x"]
    ),
    NUMBERS | st.lists(NUMBERS),
)


@given(st.sampled_from([MODEL, "unknown", ""]), USAGES)
def test_no_usage_a_server_tells_is_believed_to_be_sane(model: str, usage: dict[str, Any]) -> None:
    told = {"model": model, "usage": usage}
    counted, _ = read(json.dumps(told).encode()).usage(costs_money=True)
    assert counted.input_tokens >= 0
    assert counted.output_tokens >= 0
    assert counted.cost_usd >= 0


@given(st.lists(st.binary()))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    read(*pieces).usage(costs_money=True)


@pytest.mark.parametrize("line", [b"data: " + b"[" * 100_000, b"data: 1", b'{"usage": 7}'])
def test_nonsense_says_nothing(line: bytes) -> None:
    assert read(line + b'"message_').usage(costs_money=True) == (Usage(), True)
