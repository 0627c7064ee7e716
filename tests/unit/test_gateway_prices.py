"""What calls cost, and what they can cost at most."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.gateway.prices import (
    FREE,
    MOST_TOKENS,
    Spent,
    find_tariff,
    price,
    read_usage,
    worst_input,
)
from fakes.upstream import MODEL

KNOWN = ("claude-sonnet-4-5", "claude-opus-4-1", "claude-haiku-4-5", "claude-3-haiku", "claude-2")
TOKENS = st.integers(min_value=0, max_value=400_000)
SPLITS = st.builds(
    Spent,
    fresh=TOKENS,
    written=TOKENS,
    long_writes=TOKENS,
    read=TOKENS,
    output=TOKENS,
    surcharge=st.sampled_from([1.0, 1.1]),
)


def dollars(spent: Spent, model: str = MODEL) -> float:
    return price((model,), spent)[0]


def test_a_turn_costs_more_the_more_tokens_it_uses() -> None:
    assert 0 < dollars(Spent(fresh=1000)) < dollars(Spent(fresh=2000))
    assert dollars(Spent(fresh=1000)) < dollars(Spent(fresh=1000, output=1))


def test_a_cached_token_is_cheaper_to_read_than_to_send_and_dearer_to_write() -> None:
    sent, read = dollars(Spent(fresh=1000)), dollars(Spent(read=1000))
    written, for_an_hour = dollars(Spent(written=1000)), dollars(Spent(long_writes=1000))
    assert read < sent < written < for_an_hour


def test_a_place_of_ones_own_costs_more() -> None:
    told = {"input_tokens": 1000, "output_tokens": 0}
    at_home = read_usage(told | {"inference_geo": "us"})
    assert dollars(at_home) == pytest.approx(1.1 * dollars(read_usage(told)))
    for anywhere in ("", "global", "not_available", None, ["us"]):
        assert read_usage(told | {"inference_geo": anywhere}).surcharge == 1.0


def test_an_unknown_model_costs_what_the_dearest_does() -> None:
    spent = Spent(fresh=1000, output=1000)
    cost, is_known = price(("nobody-knows",), spent)
    assert not is_known
    assert cost == max(dollars(spent, model) for model in KNOWN)
    assert price(("nobody-knows", MODEL), spent) == (dollars(spent), True)


def test_numbers_beyond_all_measure_are_cut() -> None:
    told = read_usage({"input_tokens": 10**30, "output_tokens": 10**30})
    assert (told.fresh, told.output) == (MOST_TOKENS, MOST_TOKENS)


@given(st.sampled_from([*KNOWN, "nobody-knows"]), SPLITS)
def test_no_way_to_spend_so_many_tokens_costs_more_than_the_tariff_says(
    model: str, spent: Spent
) -> None:
    tariff = find_tariff(model, spent.input, long_cache=True)
    assert dollars(spent, model) <= tariff.cost(spent.output) + 1e-9


@given(st.sampled_from(KNOWN), SPLITS)
def test_without_an_hour_in_the_cache_the_tariff_is_lower_and_holds(
    model: str, spent: Spent
) -> None:
    spent = replace(spent, long_writes=0)
    tariff = find_tariff(model, spent.input, long_cache=False)
    assert dollars(spent, model) <= tariff.cost(spent.output) + 1e-9
    assert tariff.base <= find_tariff(model, spent.input, long_cache=True).base


@pytest.mark.parametrize("long_cache", [False, True])
def test_the_dearest_way_in_costs_what_the_tariff_says(*, long_cache: bool) -> None:
    worst = worst_input(5000, long_cache=long_cache)
    tariff = find_tariff(MODEL, 5000, long_cache=long_cache)
    assert dollars(replace(worst, output=70)) == pytest.approx(tariff.cost(70))


def test_the_tariff_knows_that_long_prompts_make_every_token_dearer() -> None:
    short = find_tariff("claude-sonnet-4-5", 100_000, long_cache=False)
    long = find_tariff("claude-sonnet-4-5", 300_000, long_cache=False)
    assert long.per_token > short.per_token
    assert long.base > 3 * short.base
    assert FREE.cost(10**9) == 0
