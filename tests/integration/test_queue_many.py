"""What can go wrong between nodes that share a queue, and only there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from codebot.domain.run import QueueName, Run
from codebot.domain.status import TaskStatus
from codebot.errors import Conflict, QueueFull, RunLost, StoreUnavailable
from codebot.queue import procrastinate
from codebot.queue.failures import POISON
from codebot.queue.procrastinate import DEAD_AFTER, ProcrastinateQueue
from codebot.store.postgres.nodes import Nodes
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.postgres import Postgres
from fakes.stored import counts
from fakes.tasks import COMPLETED, new_task, review_of

SOON = 10.0
KEY = "user/repo#1"


@dataclass(frozen=True)
class Node:
    """One process of many, as far as its queue goes."""

    store: Store
    queue: ProcrastinateQueue

    @property
    def nodes(self) -> Nodes:
        assert self.store.nodes is not None
        return self.store.nodes

    async def claim(self, queue: QueueName = QueueName.TASKS) -> Run:
        return await asyncio.wait_for(self.queue.claim(queue), SOON)

    async def rescue(self) -> int:
        return await self.nodes.rescue(DEAD_AFTER, POISON)

    @asynccontextmanager
    async def in_touch(self) -> AsyncIterator[None]:
        """Keep in touch for the block, which begins when the listener listens."""
        keeping = asyncio.create_task(self.queue.keep_in_touch())
        line = self.queue._lines[QueueName.REVIEWS]
        await asyncio.wait_for(line.awake.wait(), SOON)
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


Open = Callable[..., Awaitable[Node]]


@pytest.fixture
async def node(postgres_url: str) -> AsyncIterator[Open]:
    """Open nodes of different names, on one database."""
    async with AsyncExitStack() as stack:

        async def open_node(name: str, most: int = 1000) -> Node:
            store = await Store.open(postgres_url)
            stack.push_async_callback(store.close)
            assert store.nodes is not None
            queue = ProcrastinateQueue(
                store, store.nodes, name=name, max_pending=most, now=utc_now, new_id=new_uuid7
            )
            await queue.recover()
            return Node(store, queue)

        yield open_node


@pytest.fixture
def sql(postgres: Postgres, postgres_url: str) -> Callable[..., list[tuple[object, ...]]]:
    """Run SQL on the database of the nodes, as somebody else."""
    database = postgres_url.partition("@/")[2].partition("?")[0]
    return lambda *statements: postgres.run(*statements, database=database)


Sql = Callable[..., list[tuple[object, ...]]]

SILENT = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '11 s' WHERE id = {}"


async def waiting(node: Node, queue: QueueName = QueueName.TASKS) -> "asyncio.Task[Run]":
    """Wait for a run, and be asleep already."""
    claiming = asyncio.create_task(node.claim(queue))
    await asyncio.wait([claiming], timeout=0.3)
    return claiming


async def test_a_submit_at_one_node_wakes_a_worker_of_another(
    node: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procrastinate, "LONGEST_NAP", 60.0)
    one, two = await node("one"), await node("two")
    async with two.in_touch():
        claiming = await waiting(two)

        new = new_task()
        await one.queue.submit(new)

        assert (await claiming).task_id == new.id


async def test_a_key_that_is_free_again_wakes_who_waits_for_it_at_another_node(
    node: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procrastinate, "LONGEST_NAP", 60.0)
    one, two = await node("one"), await node("two")
    new = new_task()
    await one.queue.submit(new)
    first, second = review_of(new, KEY), review_of(new, KEY)
    for review in (first, second):
        await one.queue.enqueue(review)
    held = await one.claim(QueueName.REVIEWS)
    async with two.in_touch():
        claiming = await waiting(two, QueueName.REVIEWS)

        await one.queue.finish(held, COMPLETED)

        assert (held.id, (await claiming).id) == (first.id, second.id)


async def test_a_wake_up_that_is_lost_costs_a_second(node: Open) -> None:
    one, deaf = await node("one"), await node("deaf")
    claiming = await waiting(deaf)

    await one.queue.submit(new_task())
    began = time.monotonic()
    await claiming

    assert time.monotonic() - began < 3


def naps() -> int:
    """Say how often this thread has gone to sleep so far."""
    told = Path("/proc/thread-self/status").read_text()
    return int(told.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


async def test_who_listens_and_hears_nothing_sleeps(node: Open) -> None:
    one, listens = await node("one"), asyncio.Event()
    listener = asyncio.create_task(one.nodes.listener({}, listens.set).keep_listening())
    await asyncio.wait_for(listens.wait(), SOON)

    before = naps()
    await asyncio.sleep(1)
    slept = naps() - before

    listener.cancel()
    await asyncio.wait([listener])
    assert slept <= 4


@pytest.mark.parametrize("order", ["silent", "forgotten"])
async def test_the_run_of_a_dead_node_goes_on_at_another_and_the_dead_writes_nothing(
    node: Open, sql: Sql, order: str
) -> None:
    dead, other = await node("dead"), await node("other")
    new = new_task()
    await dead.queue.submit(new)
    lost = await dead.claim()
    assert (await other.nodes.has_dead(DEAD_AFTER), await other.rescue()) == (False, 0)
    if order == "silent":
        sql(SILENT.format(dead.nodes._jobs.worker))
    else:
        sql(f"DELETE FROM procrastinate_workers WHERE id = {dead.nodes._jobs.worker}")

    assert (await other.nodes.has_dead(DEAD_AFTER), await other.rescue()) == (True, 1)

    again = await other.claim()
    assert (again.id, again.attempt, again.crashes) == (lost.id, 2, 1)
    for write in (
        dead.queue.finish(lost, COMPLETED),
        dead.queue.interrupt(lost),
        dead.queue.postpone(lost, utc_now(), "Too late."),
    ):
        with pytest.raises(RunLost):
            await write
    await other.queue.finish(again, COMPLETED)
    assert await counts(other.store) == {TaskStatus.COMPLETED: 1}


async def test_of_many_who_rescue_at_once_one_does(node: Open, sql: Sql) -> None:
    dead = await node("dead")
    others = [await node(name) for name in ("one", "two", "three")]
    for _ in range(3):
        await dead.queue.submit(new_task())
        await dead.claim()
    sql(SILENT.format(dead.nodes._jobs.worker))

    rescued = await asyncio.gather(*(other.rescue() for other in others for _ in range(3)))

    assert sum(rescued) == 3
    assert [run.crashes for run in [await others[0].claim() for _ in range(3)]] == [1, 1, 1]


async def test_who_rescues_is_alone_and_nobody_waits_for_it(
    node: Open, sql: Sql, postgres_url: str
) -> None:
    dead, other = await node("dead"), await node("other")
    await dead.queue.submit(new_task())
    await dead.claim()
    sql(SILENT.format(dead.nodes._jobs.worker))
    with psycopg.connect(postgres_url) as third:  # in the midst of a rescue of its own
        third.execute("SELECT pg_advisory_xact_lock(7161346302452)")
        assert await asyncio.wait_for(other.rescue(), SOON) == 0
    assert await other.rescue() == 1


async def test_a_run_that_its_worker_is_writing_is_not_waited_for_and_not_taken(
    node: Open, sql: Sql, postgres_url: str
) -> None:
    slow, other = await node("slow"), await node("other")
    await slow.queue.submit(new_task())
    run = await slow.claim()
    sql(SILENT.format(slow.nodes._jobs.worker))
    with psycopg.connect(postgres_url) as writing:
        writing.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (run.id,))
        assert await asyncio.wait_for(other.rescue(), SOON) == 0
    await slow.queue.finish(run, COMPLETED)


async def test_a_run_that_changed_hands_since_it_was_looked_for_stays_there(
    node: Open, sql: Sql
) -> None:
    slow, quick, third = [await node(name) for name in ("slow", "quick", "third")]
    await slow.queue.submit(new_task())
    run = await slow.claim()
    seen = [
        {"id": job, "args": {"run_id": run.id}, "worker_id": worker}
        for job, worker in sql("SELECT id, worker_id FROM procrastinate_jobs")
    ]
    await slow.queue.interrupt(run)
    again = await quick.claim()

    def put_back(connection: Connection) -> int:
        return third.nodes._put_back(connection, seen, POISON)  # type: ignore[arg-type]

    assert await third.nodes._writer.write(put_back) == 0
    await quick.queue.finish(again, COMPLETED)


async def test_what_a_node_leaves_behind_when_it_goes_is_anybodys_at_once(node: Open) -> None:
    going, other = await node("going"), await node("other")
    await going.queue.submit(new_task())
    run = await going.claim()
    async with going.in_touch():
        assert await other.rescue() == 0

    assert await other.rescue() == 1
    assert (await other.claim()).id == run.id


async def test_who_gives_a_sign_of_life_is_not_dead(node: Open, sql: Sql) -> None:
    slow, other = await node("slow"), await node("other")
    await slow.queue.submit(new_task())
    run = await slow.claim()
    sql(SILENT.format(slow.nodes._jobs.worker))

    await slow.queue._beat()

    assert await other.rescue() == 0
    await slow.queue.finish(run, COMPLETED)


async def test_a_wish_at_one_node_is_heard_at_once_by_who_works_at_another(
    node: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procrastinate, "LONGEST_NAP", 60.0)
    one, two = await node("one"), await node("two")
    new = new_task()
    await one.queue.submit(new)
    run = await two.claim()
    async with two.in_touch():
        hearing = asyncio.create_task(two.queue.wait_for_cancel(run))
        await asyncio.wait([hearing], timeout=0.3)

        await one.queue.cancel(new.id, "somebody")

        assert await asyncio.wait_for(hearing, SOON) == "somebody"


async def test_a_wish_that_nobody_was_told_of_costs_a_second(node: Open) -> None:
    one, deaf = await node("one"), await node("deaf")
    new = new_task()
    await one.queue.submit(new)
    run = await deaf.claim()
    hearing = asyncio.create_task(deaf.queue.wait_for_cancel(run))
    await asyncio.wait([hearing], timeout=0.3)

    await one.queue.cancel(new.id, "somebody")

    assert await asyncio.wait_for(hearing, SOON) == "somebody"


async def test_who_lost_a_run_hears_of_that_soon(node: Open, sql: Sql) -> None:
    slow, other = await node("slow"), await node("other")
    await slow.queue.submit(new_task())
    hearing = asyncio.create_task(slow.queue.wait_for_cancel(await slow.claim()))
    sql(SILENT.format(slow.nodes._jobs.worker))

    assert await other.rescue() == 1

    with pytest.raises(RunLost):
        await asyncio.wait_for(hearing, SOON)


async def test_the_names_of_the_dead_are_forgotten(node: Open, sql: Sql) -> None:
    dead, other = await node("dead"), await node("other")
    sql(SILENT.format(dead.nodes._jobs.worker))

    await other.rescue()

    assert sql("SELECT name FROM nodes") == [("other",)]


async def test_a_node_that_was_taken_for_dead_comes_in_anew(node: Open, sql: Sql) -> None:
    slow, other = await node("slow"), await node("other")
    sql(SILENT.format(slow.nodes._jobs.worker))
    await other.rescue()
    new = new_task()
    await other.queue.submit(new)
    with pytest.raises(StoreUnavailable, match="taken this one for dead"):
        await slow.claim()

    await slow.queue._beat()

    assert (await slow.claim()).task_id == new.id
    assert await other.rescue() == 0


async def test_a_restart_on_the_same_machine_waits_for_nobody(node: Open) -> None:
    before, other = await node("same"), await node("other")
    for _ in range(2):
        await other.queue.submit(new_task())
    lost, kept = await before.claim(), await other.claim()

    after = await node("same")

    assert (await after.claim()).id == lost.id
    await other.queue.finish(kept, COMPLETED)


async def test_a_claim_whose_answer_was_lost_is_put_back(node: Open) -> None:
    one = await node("one")
    await one.queue.submit(new_task())
    unheld = await one.store.runs.claim(QueueName.TASKS, utc_now())
    assert unheld is not None

    await one.queue._beat()
    assert await one.queue.size(QueueName.TASKS) == 0
    await one.queue._beat()

    again = await one.claim()
    assert (again.id, again.attempt, again.crashes) == (unheld.id, 2, 0)
    for _ in range(2):
        await one.queue._beat()
    await one.queue.finish(again, COMPLETED)


async def test_three_nodes_that_submit_at_once_never_take_one_place_too_many(node: Open) -> None:
    nodes = [await node(name, most=20) for name in ("one", "two", "three")]

    outcomes = await asyncio.gather(
        *(each.queue.submit(new_task()) for _ in range(16) for each in nodes),
        return_exceptions=True,
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert {type(error) for error in refused} == {QueueFull}
    assert len(refused) == 3 * 16 - 20
    assert await nodes[0].queue.size(QueueName.TASKS) == 20


async def test_no_job_outlives_its_run_or_comes_without_one(node: Open, sql: Sql) -> None:
    one = await node("one")
    new = new_task()
    await one.queue.submit(new)
    with pytest.raises(Conflict):
        await one.queue.submit(new_task(branch=new.branch_name))
    assert sql("SELECT count(*) FROM procrastinate_jobs") == [(1,)]
    run = await one.claim()
    await one.queue.postpone(run, utc_now(), "Soon.")
    again = await one.claim()
    await one.queue.interrupt(again)
    await one.queue.finish(await one.claim(), COMPLETED)

    assert sql("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert sql("SELECT count(*) FROM procrastinate_events") == [(0,)]


def test_who_had_no_pulse_himself_calls_nobody_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(procrastinate.time, "monotonic", lambda: now)
    pulse = procrastinate._Pulse()

    def beats(seconds: float) -> bool:
        nonlocal now
        end = now + seconds
        while now < end:
            now += procrastinate.BEAT
            pulse.beat()
        return pulse.steady_for(timedelta(seconds=10))

    assert (beats(8), beats(8)) == (False, True)
    pulse.skip()
    assert (beats(8), beats(8)) == (False, True)
    now += 60  # it stood still
    assert (beats(8), beats(8)) == (False, True)
