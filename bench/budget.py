"""Whether a budget holds, and what holding it adds to a call."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import httpx

from bench.measure import ROUNDS, Figure, Figures, milliseconds
from codebot.domain.budget import Caps
from codebot.gateway.upstream import MESSAGES
from fakes.spendthrift import a_box, go_on_a_spree
from fakes.upstream import MODEL, PaidModel

SPREES = 100
CALLS = 50
TURN = {"role": "user", "content": [{"type": "tool_result", "content": "word " * 800}]}
"""What a conversation grows by: the output of a tool."""


def measure(folder: Path) -> Figures:
    """Let overspenders try, and time calls that pass."""
    del folder
    yield asyncio.run(_measure_sprees())
    for turns, target in ((4, 5), (250, 30)):
        yield asyncio.run(_measure_calls(turns, target))


async def _measure_sprees() -> Figure:
    sprees = [await go_on_a_spree(seed) for seed in range(1000, 1000 + SPREES)]
    kept = sum(spree.kept_its_caps and spree.was_stopped for spree in sprees)
    paid = sum(spree.paid.turns for spree in sprees)
    note = f"{paid} calls were paid for"
    return Figure("overspenders stopped before the cap", [kept], SPREES, at_least=True, note=note)


async def _measure_calls(turns: int, target: float) -> Figure:
    """Time whole calls to a model that answers at once: all that is left is the gateway."""
    body = json.dumps({"model": MODEL, "max_tokens": 32_000, "messages": [TURN] * turns}).encode()
    async with _callers() as client:
        rounds = [await _time(client, body) for _ in range(ROUNDS)]
    size = f"{len(body) / 1000:.0f} kB"
    return Figure(f"what the gateway adds to a call of {size}, p50", rounds, target, "ms")


@asynccontextmanager
async def _callers() -> AsyncIterator[httpx.AsyncClient]:
    endless = Caps(max_turns=10**6, max_budget_usd=10.0**6)
    async with a_box(PaidModel(), endless) as box:
        await box.ask()  # which reads the price list
        yield box.client


async def _time(client: httpx.AsyncClient, body: bytes) -> float:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        answer = await client.post(MESSAGES, content=body)
        took.append(time.perf_counter() - began)
        answer.raise_for_status()
    return milliseconds(median(took))
