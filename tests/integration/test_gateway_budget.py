"""No call that could pass a cap: the gateway between clients and models that cost money."""

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import structlog

from codebot.domain.box import MODEL_URL
from codebot.domain.budget import Cap, Caps
from codebot.domain.event import EventData
from codebot.domain.outcome import Usage
from codebot.domain.run import RunId
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.gateway import gateway as gateway_module
from codebot.gateway import pace
from codebot.gateway.anthropic import AnthropicUpstream
from codebot.gateway.gateway import Gateway
from codebot.gateway.metering import Metered
from codebot.gateway.upstream import COUNT_TOKENS, MESSAGES
from codebot.telemetry.redaction import Redactor
from fakes.clock import until
from fakes.spendthrift import CAPS, TASK, Box, a_box, go_on_a_spree
from fakes.upstream import MODEL, FakeUpstream, PaidModel, gives, json_answer

# --- Never past a cap ------------------------------------------------------------------------


@pytest.mark.parametrize("quarter", range(4))
async def test_an_overspender_is_stopped_before_the_call_that_passes_a_cap_100_of_100_times(
    quarter: int,
) -> None:
    for seed in range(25 * quarter, 25 * quarter + 25):
        spree = await go_on_a_spree(seed)
        assert spree.was_stopped, seed
        assert spree.kept_its_caps, (seed, spree)
        assert spree.metered.cost_usd >= spree.paid.cost_usd - 1e-6, (seed, "something was free")


async def test_the_room_that_is_left_goes_up_in_place_of_what_was_wished_for() -> None:
    model = PaidModel(input_tokens=200, output_tokens=10**6)
    async with a_box(model, Caps(max_turns=9, max_budget_usd=0.1)) as box:
        thinking = {"type": "enabled", "budget_tokens": 30_000}
        answer = await box.ask(max_tokens=64_000, thinking=thinking)
        spent = await box.gateway.dismiss(box.access)
    assert answer.status_code == 200
    [sent] = [json.loads(call.body) for call in model.calls if call.path == MESSAGES]
    assert 1024 <= sent["max_tokens"] < 64_000
    assert sent["thinking"]["budget_tokens"] < sent["max_tokens"]
    assert 0.05 < spent.metered.usage.cost_usd <= 0.1


async def test_the_api_is_asked_for_the_number_of_tokens_only_where_room_is_little() -> None:
    model = PaidModel(input_tokens=1000)
    words = "x" * 100_000
    async with a_box(model, Caps(max_turns=9, max_budget_usd=1.0)) as box:
        await box.ask(words)
        assert [call.path for call in model.calls] == [MESSAGES]
    async with a_box(model, Caps(max_turns=9, max_budget_usd=0.1)) as box:
        assert (await box.ask(words)).status_code == 200
        assert [call.path for call in model.calls[1:]] == [COUNT_TOKENS, MESSAGES]
        assert "max_tokens" not in json.loads(model.calls[1].body)


async def test_a_refusal_is_final_and_told_once() -> None:
    async with a_box(PaidModel(), Caps(max_turns=1, max_budget_usd=1.0)) as box:
        await box.ask()
        refusals = [await box.ask() for _ in range(3)]
        stay = await box.gateway.dismiss(box.access)
    for refused in refusals:
        assert (refused.status_code, refused.headers["x-should-retry"]) == (402, "false")
        assert refused.json()["error"]["type"] == "billing_error"
        assert "1 of 1 turns" in refused.json()["error"]["message"]
    assert stay.stopped_by is Cap.TURNS
    assert [kind for kind, _ in box.events] == ["budget.warned", "budget.exhausted"]
    assert box.events[1][1] == {"cap": "turns", "used": 1, "limit": 1}
    assert stay.metered.calls == 1, "what was refused was no call"


async def test_an_error_of_the_api_is_no_turn_and_costs_nothing() -> None:
    async with FakeUpstream() as api:
        api.behaviour = gives(529, b'{"type": "error"}')
        upstream = AnthropicUpstream(api.url, api_key=Secret("k" * 20))
        async with a_box(upstream, Caps(max_turns=1, max_budget_usd=1.0)) as box:
            for _ in range(3):
                assert (await box.ask()).status_code == 529
            assert box.gateway.usage(box.access) == Usage()
            assert box.gateway.metered(box.access).errors == {529: 3}


# --- The end is near -------------------------------------------------------------------------


async def test_from_four_fifths_on_every_request_says_so_and_the_task_hears_it_once() -> None:
    model = PaidModel()
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    async with a_box(model, Caps(max_turns=10, max_budget_usd=1.0)) as box:
        for _ in range(10):
            await box.ask("Go on.", system=system)
    sent = [json.loads(call.body) for call in model.calls]
    assert all(request["system"] == system for request in sent), "the cache would be lost"
    said = [json.dumps(request["messages"]) for request in sent]
    assert ["Finish now" in words for words in said] == [False] * 7 + [True] * 3
    assert "7 of 10 turns" in said[7]
    assert sent[7]["messages"][0]["content"][0]["text"] == "Go on."
    assert box.events == [("budget.warned", {"cap": "turns", "used": 7, "limit": 10})]


async def test_a_task_that_was_warned_in_an_earlier_round_is_not_warned_again() -> None:
    model = PaidModel()
    async with a_box(model, Caps(max_turns=10, max_budget_usd=1.0), Usage(turns=8)) as box:
        await box.ask()
    assert "Finish now" in model.calls[0].body.decode()
    assert box.events == []


# --- What is charged when nobody says ---------------------------------------------------------


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"input_tokens": -1000, "output_tokens": -1000},
        {"input_tokens": "many", "output_tokens": None},
        {"input_tokens": 1.5, "output_tokens": True},
    ],
)
async def test_an_answer_without_a_sane_usage_is_charged_what_was_set_aside(usage: Any) -> None:
    async with FakeUpstream() as api:
        whole = {"model": MODEL, "content": []} | ({} if usage is None else {"usage": usage})
        api.behaviour = json_answer(whole)
        async with a_box(AnthropicUpstream(api.url, api_key=Secret("k" * 20))) as box:
            await box.ask()
            charged = box.gateway.usage(box.access)
    assert (charged.turns, charged.output_tokens) == (1, 2000)
    assert charged.input_tokens > 2000
    assert charged.cost_usd > 0.03


async def test_a_call_that_is_cut_pays_for_what_it_may_have_used() -> None:
    async with FakeUpstream() as api:
        upstream = AnthropicUpstream(api.url, api_key=Secret("k" * 20))
        api.behaviour = api.hangs
        async with a_box(upstream) as box:
            asking = asyncio.create_task(box.ask())
            await api.has_been_asked(1)
            stay = await box.gateway.dismiss(box.access)
            assert (await asking).status_code == 401
            assert stay.metered.errors == {499: 1}
            assert stay.metered.usage.input_tokens > 2000
            assert stay.metered.usage.output_tokens < 2000
            assert box.told[-1][0] == stay.metered, "it is told before the run is gone"


async def test_what_a_cut_call_cost_is_written_to_the_end_although_it_is_cut() -> None:
    async with FakeUpstream() as api:
        api.behaviour = api.hangs
        upstream = AnthropicUpstream(api.url, api_key=Secret("k" * 20))
        async with a_box(upstream) as box:
            box.slowness = 0.05
            asking = asyncio.create_task(box.ask())
            await api.has_been_asked(1)
            stay = await box.gateway.dismiss(box.access)
            assert [metered for metered, _ in box.told] == [stay.metered]
            await asking


async def test_a_stream_that_is_cut_pays_for_its_input_and_what_it_said() -> None:
    async with FakeUpstream() as api:
        api.behaviour = api.streams
        async with a_box(AnthropicUpstream(api.url, api_key=Secret("k" * 20))) as box:
            asking = asyncio.create_task(box.ask())
            await api.has_been_asked(1)
            await asyncio.sleep(0.05)
            stay = await box.gateway.dismiss(box.access)
            await asking
    assert (stay.metered.usage.turns, stay.metered.usage.input_tokens) == (1, 1000)
    assert 0 < stay.metered.usage.output_tokens < 2000


async def test_silence_is_paid_for_and_a_closed_door_is_not(unused_tcp_port: int) -> None:
    nobody = f"http://127.0.0.1:{unused_tcp_port}"
    async with a_box(AnthropicUpstream(nobody, api_key=Secret("k" * 20))) as box:
        assert (await box.ask()).status_code == 502
        assert box.gateway.usage(box.access) == Usage()
    async with FakeUpstream() as api:
        api.behaviour = api.hangs
        impatient = AnthropicUpstream(api.url, api_key=Secret("k" * 20), limits=httpx.Timeout(0.2))
        async with a_box(impatient) as box:
            assert (await box.ask()).status_code == 504
            assert box.gateway.usage(box.access).turns == 1
            assert box.gateway.usage(box.access).cost_usd > 0


async def test_a_model_without_a_price_costs_what_the_dearest_does_and_is_named_once() -> None:
    async with FakeUpstream() as api:
        usage = {"input_tokens": 1000, "output_tokens": 1000}
        api.behaviour = json_answer({"model": "nobody-knows", "usage": usage})
        with structlog.testing.capture_logs() as logged:
            async with a_box(AnthropicUpstream(api.url, api_key=Secret("k" * 20))) as box:
                await box.ask(model="nobody-knows-either")
                await box.ask(model="nobody-knows-either")
                stay = await box.gateway.dismiss(box.access)
    assert stay.metered.usage.cost_usd == pytest.approx(2 * (0.015 + 0.075))
    assert stay.metered.unpriced == {"nobody-knows"}
    assert [line["names"] for line in logged if line["event"] == "gateway.unpriced"] == [
        ["nobody-knows"]
    ]


async def test_an_alias_without_a_price_costs_what_was_asked_for() -> None:
    async with FakeUpstream() as api:
        usage = {"input_tokens": 1000, "output_tokens": 1000}
        api.behaviour = json_answer({"model": "our-own-name-for-it", "usage": usage})
        async with a_box(AnthropicUpstream(api.url, api_key=Secret("k" * 20))) as box:
            await box.ask()
            stay = await box.gateway.dismiss(box.access)
    assert stay.metered.usage.cost_usd == pytest.approx(0.018)
    assert stay.metered.unpriced == frozenset()


# --- Requests that cannot be metered ---------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[" * 1_000_000, b'{"model": "m", "messages": []}', b"\x1f\x8b\x08"]
)
@pytest.mark.parametrize("path", [MESSAGES, COUNT_TOKENS])
async def test_a_request_that_cannot_be_metered_reaches_nobody(body: bytes, path: str) -> None:
    model = PaidModel()
    async with a_box(model) as box:
        answer = await box.client.post(path, content=body)
        if path == COUNT_TOKENS and body.startswith(b'{"m'):
            assert answer.status_code == 200
            return
    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert model.calls == []


async def test_what_may_cost_otherwise_is_left_out_and_named_once_in_the_log() -> None:
    model = PaidModel()
    with structlog.testing.capture_logs() as logged:
        async with a_box(model) as box:
            for _ in range(2):
                await box.ask(
                    service_tier="priority",
                    tools=[{"type": "web_search_20260318", "name": "web_search"}],
                )
    for call in model.calls:
        sent = json.loads(call.body)
        assert "service_tier" not in sent
        assert sent["tools"] == []
    assert [line["names"] for line in logged if line["event"] == "gateway.left_out"] == [
        ["service_tier", "tool web_search_20260318"]
    ]


async def test_questions_for_a_number_cost_nothing_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace.Pace.__init__, "__defaults__", (3,))
    async with a_box(PaidModel(), Caps(max_turns=1, max_budget_usd=1.0)) as box:
        answers = [await box.ask(path=COUNT_TOKENS) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert box.gateway.usage(box.access) == Usage()


async def test_calls_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "MOST_AT_ONCE", 2)
    async with FakeUpstream() as api:
        api.behaviour = api.hangs
        async with a_box(AnthropicUpstream(api.url, api_key=Secret("k" * 20))) as box:
            two = [asyncio.create_task(box.ask()) for _ in range(2)]
            await api.has_been_asked(2)
            refused = await box.ask()
            assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "true")
            await box.gateway.dismiss(box.access)
            await asyncio.gather(*two)


# --- Two ways in -----------------------------------------------------------------------------


async def test_a_token_opens_the_way_in_of_its_own_task_alone() -> None:
    model = PaidModel()
    gateway = Gateway(model, redactor=Redactor(), boxed=True)
    own = gateway.admit(RunId("run-1"), TASK, CAPS)
    for task, status in ((TASK, 200), (TaskId("task-2"), 401)):
        transport = httpx.ASGITransport(gateway.application(task))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            box = Box(gateway, own, client)
            answer = await box.ask(headers={"x-api-key": own.token.reveal()})
            assert answer.status_code == status
    assert len(model.calls) == 1
    await gateway.close()


async def test_with_boxes_nothing_listens_and_agents_are_told_the_address_in_the_box() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    gateway = Gateway(PaidModel(), redactor=Redactor(), boxed=True)
    await gateway.start()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert gateway.admit(RunId("run-1"), TASK, CAPS).url == MODEL_URL
    await gateway.close()


# --- Who hears of it -------------------------------------------------------------------------


async def test_an_answer_ends_only_when_its_price_is_written_down() -> None:
    written, told = asyncio.Event(), []

    async def tell(metered: Metered, events: Sequence[EventData]) -> None:
        told.append(metered.usage)
        await written.wait()

    gateway = Gateway(PaidModel(), redactor=Redactor())
    await gateway.start()
    access = gateway.admit(RunId("run-1"), TASK, CAPS, tell=tell)
    async with httpx.AsyncClient(base_url=access.url, trust_env=False) as client:
        box = Box(gateway, access, client)
        asking = asyncio.create_task(box.ask(headers={"x-api-key": access.token.reveal()}))
        await until(lambda: bool(told))
        await asyncio.sleep(0.05)
        assert not asking.done()
        written.set()
        assert (await asking).status_code == 200
    assert told == [Usage(1, 100, 10, 0.00045)]
    await gateway.close()
