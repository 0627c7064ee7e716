"""What a task may still use: set aside before a call, charged after it."""

import asyncio

import pytest

from codebot.domain.budget import Cap, Caps
from codebot.domain.outcome import Usage
from codebot.gateway.account import ROOMY, USEFUL, Account, Grant, Wish
from codebot.gateway.prices import FREE, Tariff

CAPS = Caps(max_turns=10, max_budget_usd=1.0, max_tokens=100_000)
CHEAP = Tariff(base=0.01, per_token=0.000_001)
WISH = Wish(input_tokens=1000, max_tokens=5000, tariff=CHEAP)


async def granted(account: Account, wish: Wish = WISH) -> Grant:
    grant = await account.reserve(wish)
    assert isinstance(grant, Grant)
    return grant


async def test_a_call_that_fits_gets_all_it_wishes() -> None:
    grant = await granted(Account(CAPS, Usage()))
    assert grant.max_tokens == 5000
    assert grant.most == Usage(1, 1000, 5000, 0.015)


@pytest.mark.parametrize(
    ("spent", "room"),
    [
        (Usage(turns=9), 5000),
        (Usage(input_tokens=90_000), 5000),
        (Usage(input_tokens=50_000, output_tokens=46_000), 3000),
        (Usage(cost_usd=0.988), 1999),
        (Usage(cost_usd=0.5), 5000),
    ],
)
async def test_a_call_gets_the_room_that_is_left(spent: Usage, room: int) -> None:
    assert (await granted(Account(CAPS, spent))).max_tokens == room


@pytest.mark.parametrize(
    ("spent", "cap"),
    [
        (Usage(turns=10), Cap.TURNS),
        (Usage(turns=99), Cap.TURNS),
        (Usage(input_tokens=98_000), Cap.TOKENS),
        (Usage(output_tokens=10**9), Cap.TOKENS),
        (Usage(cost_usd=0.989), Cap.DOLLARS),
        (Usage(cost_usd=0.995), Cap.DOLLARS),
        (Usage(cost_usd=7.0), Cap.DOLLARS),
    ],
)
async def test_a_call_with_too_little_room_is_refused_by_the_cap_that_says_so(
    spent: Usage, cap: Cap
) -> None:
    assert await Account(CAPS, spent).reserve(WISH) is cap


async def test_a_call_that_wants_little_may_have_little() -> None:
    little = Wish(input_tokens=0, max_tokens=3, tariff=FREE)
    account = Account(CAPS, Usage(input_tokens=99_997))
    assert (await granted(account, little)).max_tokens == 3
    assert little.enough == 3 < USEFUL


async def test_what_costs_nothing_has_turns_and_tokens_alone() -> None:
    free = Wish(input_tokens=1000, max_tokens=5000, tariff=FREE)
    assert await granted(Account(CAPS, Usage(cost_usd=99.0)), free)
    assert await Account(CAPS, Usage(turns=10)).reserve(free) is Cap.TURNS
    endless = Account(Caps(max_turns=1, max_budget_usd=1.0), Usage(input_tokens=10**12))
    assert (await granted(endless, free)).max_tokens == 5000


async def test_input_alone_may_cost_all_there_is() -> None:
    silent = Wish(input_tokens=1, max_tokens=5000, tariff=Tariff(base=0.5))
    assert (await granted(Account(CAPS, Usage(cost_usd=0.4)), silent)).max_tokens == 5000
    assert await Account(CAPS, Usage(cost_usd=0.6)).reserve(silent) is Cap.DOLLARS


async def test_what_a_call_did_not_use_is_free_again() -> None:
    account = Account(CAPS, Usage(turns=8))
    first = await granted(account)
    account.settle(first, Usage(1, 10, 20, 0.001))
    assert account.used == Usage(9, 10, 20, 0.001)
    assert (await granted(account)).max_tokens == 5000


@pytest.mark.parametrize(
    "spent", [Usage(turns=9), Usage(input_tokens=92_500), Usage(cost_usd=0.98)]
)
async def test_a_call_waits_for_one_under_way_rather_than_be_refused(spent: Usage) -> None:
    account = Account(CAPS, spent)
    first = await granted(account)
    second = asyncio.create_task(account.reserve(WISH))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    account.settle(first, Usage())
    assert isinstance(await asyncio.wait_for(second, 1), Grant)


async def test_a_call_that_waited_for_nothing_is_refused() -> None:
    account = Account(CAPS, Usage(turns=9))
    first = await granted(account)
    second = asyncio.create_task(account.reserve(WISH))
    await asyncio.sleep(0)
    account.settle(first, Usage(turns=1))
    assert await asyncio.wait_for(second, 1) is Cap.TURNS


async def test_a_call_does_not_wait_for_more_room_than_an_answer_needs() -> None:
    account = Account(Caps(max_turns=9, max_budget_usd=1.0, max_tokens=150_000), Usage())
    greedy = Wish(input_tokens=1000, max_tokens=128_000, tariff=FREE)
    first = await granted(account, greedy)
    second = await asyncio.wait_for(granted(account, greedy), 1)
    assert first.max_tokens == 128_000
    assert ROOMY <= second.max_tokens < 128_000


async def test_the_exact_number_of_tokens_matters_when_room_is_little() -> None:
    big = Wish(input_tokens=95_000, max_tokens=20_000)
    assert Account(CAPS, Usage()).is_tight(big)
    assert not Account(CAPS, Usage()).is_tight(WISH)
    assert not Account(CAPS, Usage(turns=10)).is_tight(WISH), "turns are not counted in tokens"


@pytest.mark.parametrize(
    ("spent", "cap"),
    [
        (Usage(turns=6), None),
        (Usage(turns=7), Cap.TURNS),
        (Usage(input_tokens=79_000), None),
        (Usage(input_tokens=80_000), Cap.TOKENS),
        (Usage(cost_usd=0.79), None),
        (Usage(cost_usd=0.8), Cap.DOLLARS),
    ],
)
def test_an_end_is_near_at_four_fifths_of_any_cap(spent: Usage, cap: Cap | None) -> None:
    assert Account(CAPS, spent).comes_to_its_end(WISH) is cap


def test_an_end_is_near_when_no_second_call_like_this_one_fits() -> None:
    account = Account(CAPS, Usage())
    assert account.comes_to_its_end(Wish(60_000, 20_000)) is Cap.TOKENS
    assert account.comes_to_its_end(Wish(45_000, 20_000)) is None
    dear = Tariff(base=0.6, per_token=0.0)
    assert account.comes_to_its_end(Wish(10, 2000, dear)) is Cap.DOLLARS
