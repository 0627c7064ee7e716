"""The record of a run's steps, on a real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.event import EventType
from codebot.domain.outcome import Basis, Comparison, Usage, Verdict, VerdictState
from codebot.domain.run import QueueName, Run
from codebot.domain.status import Phase
from codebot.errors import RunLost, VerifyTimedOut
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.journal import Journal, Noted, Step
from codebot.store.steps import TaskChanges
from codebot.store.store import Store, new_uuid7
from fakes.at_once import at_once
from fakes.clock import Clock
from fakes.tasks import new_task

VERDICT = Verdict(
    VerdictState.FAILED,
    "make test",
    "task",
    2,
    timedelta(seconds=1.5),
    "é 🎉\x00\n",
    "c1",
    "It needs Go.",
    7,
    Comparison(Basis.TESTS, 1, ("test_old",), ("test_new",)),
)
STEP = Step("verify", Phase.TESTING, 1)


@dataclass
class Desk:
    """A run that was claimed, and a piece of work that counts how often it is done."""

    store: Store
    queue: EmbeddedQueue
    run: Run
    done: int = 0

    @property
    def journal(self) -> Journal:
        return Journal(self.store, self.run)

    async def work(self) -> Verdict:
        self.done += 1
        return VERDICT

    def told(self, kind: EventType) -> list[dict[str, object]]:
        happened = at_once(self.store.events.after(self.run.task_id, 0, 1000))
        return [dict(event.data) for event in happened if event.type is kind]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = Clock()
    store = await Store.open(tmp_path / "store.db", now=clock)
    queue = EmbeddedQueue(store, max_pending=10, now=clock, new_id=new_uuid7)
    await queue.submit(new_task())
    yield Desk(store, queue, await queue.claim(QueueName.TASKS))
    await store.close()


async def test_a_step_is_done_once_and_its_value_comes_back_equal(desk: Desk) -> None:
    assert await desk.journal.once(STEP, Verdict, desk.work) == VERDICT
    assert await desk.journal.once(STEP, Verdict, desk.work) == VERDICT
    assert desk.done == 1


async def test_each_round_is_a_step_of_its_own(desk: Desk) -> None:
    await desk.journal.once(STEP, Verdict, desk.work)
    await desk.journal.once(Step("verify", Phase.TESTING, 2), Verdict, desk.work)
    assert desk.done == 2
    assert await desk.journal.has(STEP)
    assert not await desk.journal.has(Step("verify", Phase.TESTING, 3))


async def test_value_changes_and_events_are_there_together(desk: Desk) -> None:
    event = (EventType.TESTS_FINISHED, {"state": "failed"})
    changes = TaskChanges(usage=Usage(1, 2, 3, 0.5))
    for _ in range(2):
        await desk.journal.once(STEP, Verdict, desk.work, lambda _: Noted(changes, [event]))
    task = await desk.store.tasks.get(desk.run.task_id)
    assert task is not None
    assert task.usage == Usage(1, 2, 3, 0.5)
    assert task.phase is Phase.TESTING
    assert desk.told(EventType.TESTS_FINISHED) == [{"state": "failed"}]


async def test_a_step_that_raises_is_recorded_and_done_again(desk: Desk) -> None:
    async def fail() -> Verdict:
        raise VerifyTimedOut("Too slow.")

    with pytest.raises(VerifyTimedOut):
        await desk.journal.once(STEP, Verdict, fail)
    assert not await desk.journal.has(STEP)
    [failed] = desk.told(EventType.STEP_FAILED)
    assert (failed["code"], failed["detail"]) == ("tests_timed_out", "Too slow.")

    await desk.journal.once(STEP, Verdict, desk.work)
    assert await desk.journal.has(STEP)


async def test_a_value_that_holds_no_more_is_made_anew(desk: Desk) -> None:
    await desk.journal.once(STEP, Verdict, desk.work)
    await desk.journal.once(STEP, Verdict, desk.work, still_holds=lambda _: False)
    assert desk.done == 2
    await desk.journal.once(STEP, Verdict, desk.work, still_holds=lambda _: True)
    assert desk.done == 2


async def test_a_worker_that_lost_the_run_records_nothing(desk: Desk) -> None:
    stale = desk.journal
    await desk.queue.interrupt(desk.run)
    await desk.queue.claim(QueueName.TASKS)
    with pytest.raises(RunLost):
        await stale.once(STEP, Verdict, desk.work)
    assert desk.done == 0
    assert not await stale.has(STEP)
