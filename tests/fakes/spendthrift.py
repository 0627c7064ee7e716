"""A run before the gateway, and a model that spends all it may: for tests and figures alike."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from codebot.domain.budget import Caps
from codebot.domain.event import EventData
from codebot.domain.outcome import Usage
from codebot.domain.ports import GatewayAccess
from codebot.domain.run import RunId
from codebot.domain.task import TaskId
from codebot.gateway.gateway import Gateway
from codebot.gateway.metering import Metered
from codebot.gateway.prices import Spent, price
from codebot.gateway.upstream import COUNT_TOKENS, MESSAGES, Answer, Call, Upstream, once, refusal
from codebot.telemetry.redaction import Redactor
from fakes.upstream import MODEL, event

TASK = TaskId("task-1")
CAPS = Caps(max_turns=100, max_budget_usd=10.0)


@dataclass
class Box:
    """One run's view of the gateway, and what the gateway told of it."""

    gateway: Gateway
    access: GatewayAccess
    client: httpx.AsyncClient
    told: list[tuple[Metered, Sequence[EventData]]] = field(default_factory=list)
    slowness: float = 0.0

    async def tell(self, metered: Metered, events: Sequence[EventData]) -> None:
        """Write down what is told, as slowly as a disk may."""
        await asyncio.sleep(self.slowness)
        self.told.append((metered, events))

    async def ask(
        self, words: str = "Hi", *, path: str = MESSAGES, headers: Any = None, **more: Any
    ) -> httpx.Response:
        body = {
            "model": MODEL,
            "max_tokens": 2000,
            "messages": [{"role": "user", "content": words}],
            **more,
        }
        return await self.client.post(path, json=body, headers=headers)

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [(kind.value, data) for _, events in self.told for kind, data in events]


@asynccontextmanager
async def a_box(
    upstream: Upstream, caps: Caps = CAPS, spent: Usage | None = None
) -> AsyncIterator[Box]:
    """Admit one run, and give it a client that goes through its own task's way in."""
    gateway = Gateway(upstream, redactor=Redactor(), boxed=True)
    heard: list[Box] = []

    async def tell(metered: Metered, events: Sequence[EventData]) -> None:
        await heard[0].tell(metered, events)

    access = gateway.admit(RunId("run-1"), TASK, caps, spent=spent, tell=tell)
    transport = httpx.ASGITransport(gateway.application(TASK))
    headers = {"x-api-key": access.token.reveal()}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers
    ) as client:
        heard.append(Box(gateway, access, client))
        yield heard[0]
    await gateway.close()


class Spendthrift:
    """A model that uses all it may and breaks in every way it can, and keeps its own books.

    Its tokens are as small as bytes at worst; what it says of them is true, when it says anything.
    """

    name = "spendthrift"
    costs_money = True

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._density = dice.uniform(0.15, 1.0)
        self._counts = dice.random() < 0.7
        self.billed = Usage()
        self.refusals = 0

    async def close(self) -> None:
        pass

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[Answer]:
        request = json.loads(call.body)
        entered = max(1, int(len(call.body) * self._density))
        if call.path == COUNT_TOKENS:
            told = {"input_tokens": entered} if self._counts else {"error": "not here"}
            yield answer_of(json.dumps(told).encode())
            return
        for _ in range(self._dice.randrange(3)):
            await asyncio.sleep(0)
        if self._dice.random() < 0.1:
            yield refusal(529, "overloaded_error", "Busy.", retry=True)
            return
        most = request["max_tokens"]
        made = most if self._dice.random() < 0.5 else self._dice.randrange(most + 1)
        spent = self._dice.choice(
            [
                Spent(fresh=entered, output=made),
                Spent(written=entered, output=made, surcharge=1.1),
                Spent(read=entered // 2, fresh=entered - entered // 2, output=made),
            ]
        )
        self._bill(request["model"], spent)
        yield self._answer(request["model"], spent)

    def _bill(self, model: str, spent: Spent) -> None:
        dollars, _ = price((model,), spent)
        self.billed += Usage(1, spent.input, spent.output, dollars)

    def _answer(self, model: str, spent: Spent) -> Answer:
        usage = {
            "input_tokens": spent.fresh,
            "cache_creation_input_tokens": spent.written,
            "cache_read_input_tokens": spent.read,
            "output_tokens": spent.output,
            "inference_geo": "us" if spent.surcharge > 1 else "global",
        }
        whole = {"id": "m", "type": "message", "model": model, "content": []}
        match self._dice.randrange(6):
            case 0:
                return answer_of(json.dumps(whole).encode())  # not a word of what it used
            case 1:
                said = [event("message_start", message=whole | {"usage": usage})]
                words = {"type": "text_delta", "text": "x" * spent.output}
                said.append(event("content_block_delta", index=0, delta=words))
                broken = event("error", error={"type": "overloaded_error"})
                return stream_of(*said, broken)
            case 2:
                start = event("message_start", message=whole | {"usage": usage})
                return stream_of(start, event("message_delta", usage=usage), event("message_stop"))
            case _:
                return answer_of(json.dumps(whole | {"usage": usage}).encode())


def answer_of(body: bytes) -> Answer:
    return Answer(200, {"content-type": "application/json"}, once(body))


def stream_of(*events: bytes) -> Answer:
    async def each() -> AsyncIterator[bytes]:
        for one in events:
            await asyncio.sleep(0)
            yield one

    return Answer(200, {"content-type": "text/event-stream"}, each())


MODELS = ("claude-sonnet-4-5", "claude-opus-4-1", "claude-haiku-4-5", "nobody-knows")


@dataclass(frozen=True)
class Spree:
    """How one overspender fared: its caps, what was metered, and what was really paid."""

    caps: Caps
    metered: Usage
    paid: Usage
    was_stopped: bool

    @property
    def kept_its_caps(self) -> bool:
        """Whether neither sum has passed a cap, but for the rounding of floats."""
        reached = self.caps.reached
        return not reached(self.metered, 1.000_000_001) and not reached(self.paid, 1.000_000_001)


async def go_on_a_spree(seed: int) -> Spree:
    """Let a few callers at once ask a spendthrift model for all they can get; all by chance."""
    dice = random.Random(seed)
    caps = Caps(
        max_turns=dice.randint(3, 40),
        max_budget_usd=10 ** dice.uniform(-2, 1),
        max_tokens=dice.choice([None, int(10 ** dice.uniform(3.5, 6))]),
    )
    spent = Usage(dice.randrange(3), dice.randrange(500), 0, caps.max_budget_usd * 0.1)
    model = Spendthrift(dice)
    async with a_box(model, caps, spent) as box:
        callers = (random.Random(seed * 10 + n) for n in range(dice.randint(1, 6)))
        await asyncio.gather(*(_overspend(box, each) for each in callers))
        stay = await box.gateway.dismiss(box.access)
    was_stopped = stay.stopped_by is not None
    return Spree(caps, spent + stay.metered.usage, spent + model.billed, was_stopped)


async def _overspend(box: Box, dice: random.Random) -> None:
    """Ask and ask, whatever the answer, until the gateway has said no ten times."""
    refused = 0
    while refused < 10:
        words = "x" * int(10 ** dice.uniform(0, 4.5))
        limit = int(10 ** dice.uniform(0, 5))
        answer = await box.ask(words, model=dice.choice(MODELS), max_tokens=limit)
        refused += answer.status_code in {402, 429}
