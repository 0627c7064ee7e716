"""Runs of a few keys, done by several nodes: whether each key's are in order, without a pause."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

from bench.measure import Figure, Figures
from codebot.domain.run import QueueName
from codebot.queue.procrastinate import ProcrastinateQueue
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.postgres import Postgres
from fakes.tasks import COMPLETED, new_task, review_of

KEYS, EACH, NODES = 8, 50, 4
WORK_SECONDS = 0.01


@dataclass(frozen=True)
class Claimed:
    """Which run of which key was claimed, and when."""

    key: str
    number: int
    at: float


def measure(server: Postgres) -> Figures:
    """Let four nodes do 50 runs of each of 8 keys."""
    claimed = asyncio.run(_work(server.url(server.make_database())))
    name = f"PostgreSQL: {KEYS} keys x {EACH} runs, {NODES} nodes"
    yield Figure(f"{name}: inversions", [_inversions(claimed)], 0)
    pause = max(after.at - before.at for before, after in pairwise(claimed))
    note = f"all of them: {claimed[-1].at - claimed[0].at:.1f} s"
    yield Figure(f"{name}: longest pause", [pause], 1, "s", note=note)


async def _work(url: str) -> Sequence[Claimed]:
    claimed: list[Claimed] = []
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(_node(url, f"{n}")) for n in range(NODES)]
        numbers = await _enqueue(nodes[0])
        async with asyncio.timeout(120):
            await asyncio.gather(*(_serve(node, numbers, claimed) for node in nodes))
    return claimed


async def _enqueue(node: ProcrastinateQueue) -> dict[str, int]:
    """Let runs wait, those of the keys one after the other; give the place of each in its key."""
    numbers = {}
    task = new_task()
    await node.submit(task)
    for number in range(EACH):
        for key in range(KEYS):
            run = review_of(task, f"octo/shop#{key}")
            numbers[run.id] = number
            await node.enqueue(run)
    return numbers


async def _serve(node: ProcrastinateQueue, numbers: dict[str, int], claimed: list[Claimed]) -> None:
    """Do what there is, one run after the other."""
    while len(claimed) < len(numbers):
        try:
            run = await asyncio.wait_for(node.claim(QueueName.REVIEWS), 2)
        except TimeoutError:
            continue
        claimed.append(Claimed(run.key, numbers[run.id], time.monotonic()))
        await asyncio.sleep(WORK_SECONDS)
        await node.finish(run, COMPLETED)


def _inversions(claimed: Sequence[Claimed]) -> int:
    """Count the runs that came before an earlier one of their key, or a second time."""
    due: Counter[str] = Counter()
    wrong = 0
    for one in claimed:
        wrong += one.number != due[one.key]
        due[one.key] += 1
    return wrong


@asynccontextmanager
async def _node(url: str, name: str) -> AsyncIterator[ProcrastinateQueue]:
    store = await Store.open(url)
    assert store.nodes is not None
    queue = ProcrastinateQueue(
        store, store.nodes, name=name, max_pending=1000, now=utc_now, new_id=new_uuid7
    )
    await queue.recover()
    in_touch = asyncio.create_task(queue.keep_in_touch())
    try:
        yield queue
    finally:
        in_touch.cancel()
        await asyncio.wait([in_touch])
        await store.close()
