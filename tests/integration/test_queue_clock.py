"""Runs that wait, on a machine whose clock is set: each waits as long as it was told to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.run import QueueName, Run
from codebot.queue.clock import ClockSet
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7
from fakes.clock import Machine
from fakes.tasks import new_task

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def store(tmp_path: Path, machine: Machine) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "store.sqlite3", now=machine.clock)
    yield store
    await store.close()


def open_queue(store: Store, machine: Machine) -> EmbeddedQueue:
    set_by = ClockSet(machine.clock, machine.elapsed)
    return EmbeddedQueue(store, max_pending=10, now=machine.clock, new_id=new_uuid7, set_by=set_by)


async def postpone(queue: EmbeddedQueue, machine: Machine) -> Run:
    """Give a run that waits for half a minute."""
    await queue.submit(new_task())
    run = await queue.claim(QueueName.TASKS)
    await queue.postpone(run, machine.clock() + MINUTE / 2, "GitHub is down.")
    return run


async def is_claimed(queue: EmbeddedQueue, run: Run) -> bool:
    """Say whether the run is due."""
    try:
        async with asyncio.timeout(0.2):
            return (await queue.claim(QueueName.TASKS)).id == run.id
    except TimeoutError:
        return False


@pytest.mark.parametrize("by", [-HOUR, DAY], ids=str)
async def test_a_postponed_run_waits_as_long_as_it_was_told_to(
    store: Store, machine: Machine, by: timedelta
) -> None:
    queue = open_queue(store, machine)
    run = await postpone(queue, machine)

    machine.set_by(by)
    assert not await is_claimed(queue, run)
    machine.rest(MINUTE)

    assert await is_claimed(queue, run)


async def test_what_is_postponed_after_the_clock_was_set_waits_no_longer(
    store: Store, machine: Machine
) -> None:
    queue = open_queue(store, machine)
    await queue.submit(new_task())
    run = await queue.claim(QueueName.TASKS)

    machine.set_by(DAY)
    await queue.postpone(run, machine.clock() + MINUTE / 2, "GitHub is down.")
    machine.rest(MINUTE)

    assert await is_claimed(queue, run)


async def test_a_clock_that_was_set_back_between_two_services_holds_nothing_up(
    store: Store, machine: Machine
) -> None:
    run = await postpone(open_queue(store, machine), machine)

    machine.set_by(-HOUR)
    queue = open_queue(store, machine)
    await queue.recover()
    assert not await is_claimed(queue, run)
    machine.rest(MINUTE)

    assert await is_claimed(queue, run)


async def test_tasks_are_worked_on_in_the_order_in_which_they_came(
    store: Store, machine: Machine
) -> None:
    queue = open_queue(store, machine)
    submitted = []
    for by in (DAY, -HOUR, -DAY):
        machine.set_by(by)
        submitted.append(await queue.submit(new_task(at=machine.clock())))

    claimed = [(await queue.claim(QueueName.TASKS)).task_id for _ in submitted]

    assert claimed == submitted
