"""Turns, tokens and dollars, read off answers as they pass."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.event import EventType
from codebot.domain.outcome import Usage
from codebot.gateway.metering import FASTEST, AnswerReader, Bounds, Metered, Turn, charge
from codebot.gateway.prices import Spent, worst_input
from fakes.upstream import END, MODEL, START, event, whole_message

WORST = worst_input(7000, long_cache=False)
BOUNDS = Bounds(WORST, max_tokens=4000)
EVERYTHING = replace(WORST, output=4000)
"""What is charged when nobody knows better: all that was set aside."""


def read(*pieces: bytes) -> AnswerReader:
    reader = AnswerReader()
    for piece in pieces:
        reader.read(piece)
    return reader


def used(*pieces: bytes, seconds: float = 0.0, is_whole: bool = True) -> Spent:
    return read(*pieces).used(BOUNDS, seconds=seconds, is_whole=is_whole)


def as_body(**usage: Any) -> bytes:
    return json.dumps(whole_message(**usage)).encode()


# --- What an answer tells --------------------------------------------------------------------


def test_an_answer_in_one_piece_tells_what_it_used() -> None:
    told = as_body(
        input_tokens=10,
        output_tokens=5,
        cache_read_input_tokens=30,
        cache_creation_input_tokens=20,
        cache_creation={"ephemeral_1h_input_tokens": 15, "ephemeral_5m_input_tokens": 5},
    )
    assert used(told) == Spent(fresh=10, written=5, long_writes=15, read=30, output=5)


def test_the_last_word_of_a_stream_counts() -> None:
    late = event("message_delta", delta={}, usage={"input_tokens": None, "output_tokens": 70})
    assert used(START, END, late) == Spent(fresh=100, read=900, output=70)


def test_totals_only_grow_whatever_a_server_says_later() -> None:
    less = event("message_delta", delta={}, usage={"input_tokens": 1, "output_tokens": 2})
    assert used(START, END, less) == Spent(fresh=100, read=900, output=50)


def test_a_text_that_looks_like_usage_is_text() -> None:
    said = '"message_delta" {"usage": {"output_tokens": 9999}}'
    delta = event("content_block_delta", delta={"type": "text_delta", "text": said})
    assert used(START, delta, END).output == 50


def test_an_error_in_a_stream_is_seen() -> None:
    assert not read(START, END).broken
    assert read(START, event("error", error={"type": "overloaded_error"})).broken


# --- What it does not tell -------------------------------------------------------------------


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b'{"input_tokens": 12}',
        b'{"usage": 7}',
        b'{"usage": {"output_tokens": 3}}',
        b'{"usage": {"input_tokens": 3}}',
        b'{"usage": {"input_tokens": -3, "output_tokens": 3}}',
        b'{"usage": {"input_tokens": 3, "output_tokens": -3}}',
        b'{"usage": {"input_tokens": true, "output_tokens": 1.5}}',
        b"<html>",
        b'data: 1"message_',
        b"data: " + b"[" * 100_000 + b'"message_',
    ],
    ids=lambda piece: piece[:50].decode(),
)
def test_a_whole_answer_that_does_not_tell_is_charged_what_was_set_aside(piece: bytes) -> None:
    charged = used(piece)
    assert charged.output == EVERYTHING.output
    assert charged.input in {EVERYTHING.input, 3}


def test_a_stream_that_ends_without_its_last_word_is_charged_all_its_room() -> None:
    assert used(START) == Spent(fresh=100, read=900, output=4000)


def test_a_stream_that_is_cut_is_charged_for_what_passed_and_what_time_allows() -> None:
    words = event("content_block_delta", delta={"type": "text_delta", "text": "x" * 300})
    cut = used(START, words, words, is_whole=False)
    assert (cut.fresh, cut.read) == (100, 900)
    assert 600 <= cut.output < 800, "no tokenizer makes more tokens than there are bytes"
    assert used(START, words, seconds=3.0, is_whole=False).output == 3 * FASTEST
    assert used(START, words, seconds=3600, is_whole=False).output == 4000


def test_a_call_that_is_cut_before_its_answer_is_charged_the_input_that_was_set_aside() -> None:
    assert used(is_whole=False) == WORST


def test_a_stream_that_is_cut_after_its_last_word_is_charged_what_it_told() -> None:
    assert used(START, END, seconds=100, is_whole=False).output == 50


def test_a_stream_that_breaks_counts_as_cut() -> None:
    broken = event("error", error={"type": "overloaded_error"})
    assert used(START, broken, seconds=1.0).output == FASTEST


# --- What it adds up to ----------------------------------------------------------------------


def test_a_call_counts_as_a_turn_with_all_that_went_in() -> None:
    usage, priced = charge((MODEL,), Spent(1, 2, 3, 4, 5), costs_money=True)
    assert (usage.turns, usage.input_tokens, usage.output_tokens) == (1, 10, 5)
    assert usage.cost_usd > 0
    assert priced


def test_a_model_that_costs_nothing_is_not_unpriced() -> None:
    assert charge(("x",), Spent(fresh=10), costs_money=False) == (Usage(1, 10, 0, 0.0), True)


def test_calls_add_up() -> None:
    total = Metered()
    for status, waited in ((200, 0.5), (529, 0.1), (529, 0.2), (502, 2.0)):
        total = total.plus(Turn(status, waited, "", Usage(), priced=True))
    assert (total.calls, total.errors, total.slowest) == (4, {529: 2, 502: 1}, 2.0)


def test_a_round_is_told_with_all_that_was_metered() -> None:
    turn = Turn(200, 1.23456, "some-model", Usage(1, 10, 5, 0.5), priced=False)
    assert Metered().plus(turn).plus(Turn(429, 0.1, "m", Usage(), priced=True)).as_event() == (
        EventType.MODEL_METERED,
        {
            "calls": 2,
            "turns": 1,
            "input_tokens": 10,
            "output_tokens": 5,
            "cost_usd": 0.5,
            "errors": {"429": 1},
            "slowest_seconds": 1.235,
            "unpriced": ["some-model"],
        },
    )


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
USAGES = st.dictionaries(
    st.sampled_from(
        [
            *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation"),
            *("server_tool_use", "inference_geo", "x"),
        ]
    ),
    NUMBERS
    | st.lists(NUMBERS)
    | st.dictionaries(
        st.sampled_from(["ephemeral_1h_input_tokens", "web_search_requests"]), NUMBERS
    ),
)


@given(st.sampled_from([MODEL, "unknown", ""]), st.lists(USAGES, min_size=1, max_size=3))
def test_no_usage_a_server_tells_is_believed_to_be_sane(
    model: str, usages: list[dict[str, Any]]
) -> None:
    pieces = [event("message_delta", usage=usage) for usage in usages]
    usage, _ = charge((model,), used(START, *pieces), costs_money=True)
    least, _ = charge((model,), used(START, is_whole=False), costs_money=True)
    assert usage.turns == 1
    assert usage.input_tokens >= least.input_tokens
    assert usage.output_tokens >= 0
    assert 0 < usage.cost_usd < 1e9


@given(st.lists(st.binary()))
def test_no_bytes_raise(pieces: list[bytes]) -> None:
    used(*pieces)
