"""Whatever happens to a queue in whatever order: its promises hold and its counts are exact."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from codebot.domain.run import QueueName, Run
from codebot.domain.status import FINAL_RUN, FINAL_TASK, RunStatus, TaskStatus
from codebot.errors import QueueFull, RunLost
from codebot.queue.embedded import EmbeddedQueue
from codebot.store.store import Store, new_uuid7
from fakes.clock import Clock
from fakes.stored import counts
from fakes.tasks import COMPLETED, new_task

T = TypeVar("T")
MAX_PENDING = 4
PICK = st.integers(min_value=0, max_value=20)


class QueueLife(RuleBasedStateMachine):
    """Claims, ends and restarts in any order, with workers that come back from the dead."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = TemporaryDirectory()
        self.clock = Clock()
        self.store = self.do(Store.open(Path(self.folder.name) / "db.sqlite3", now=self.clock))
        self.queue = self.open_queue()
        self.tasks = 0
        self.claims: list[Run] = []

    def teardown(self) -> None:
        self.do(self.store.close())
        self.loop.close()
        self.folder.cleanup()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def open_queue(self) -> EmbeddedQueue:
        return EmbeddedQueue(self.store, max_pending=MAX_PENDING, now=self.clock, new_id=new_uuid7)

    def runs(self) -> list[Run]:
        tasks = self.do(self.store.tasks.recent(None, 1000))
        return [run for task in tasks for run in self.do(self.store.runs.of_task(task.id))]

    def held(self, run: Run) -> bool:
        stored = self.do(self.store.runs.get(run.id))
        return stored is not None and (stored.status, stored.attempt) == (
            RunStatus.RUNNING,
            run.attempt,
        )

    def write(self, run: Run, work: Coroutine[Any, Any, None]) -> None:
        """Do what a worker does with a run that it may have lost."""
        held = self.held(run)
        try:
            self.do(work)
        except RunLost:
            assert not held
        else:
            assert held

    @rule()
    def submit(self) -> None:
        full = self.do(self.queue.size(QueueName.TASKS)) >= MAX_PENDING
        try:
            self.do(self.queue.submit(new_task()))
        except QueueFull:
            assert full
        else:
            assert not full
            self.tasks += 1

    @rule()
    def claim(self) -> None:
        due = [
            run
            for run in self.runs()
            if run.status in {RunStatus.PENDING, RunStatus.INTERRUPTED}
            and (run.not_before is None or run.not_before <= self.clock())
        ]
        if due:
            run = self.do(self.queue.claim(QueueName.TASKS))
            assert run.id in {one.id for one in due}
            self.claims.append(run)

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def finish(self, pick: int) -> None:
        run = self.claims[pick % len(self.claims)]
        self.write(run, self.queue.finish(run, COMPLETED))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, minutes=st.integers(min_value=0, max_value=90))
    def postpone(self, pick: int, minutes: int) -> None:
        run = self.claims[pick % len(self.claims)]
        until = self.clock() + timedelta(minutes=minutes)
        self.write(run, self.queue.postpone(run, until, "Later."))

    @precondition(lambda self: self.claims)
    @rule(pick=PICK)
    def interrupt(self, pick: int) -> None:
        run = self.claims[pick % len(self.claims)]
        self.write(run, self.queue.interrupt(run))

    @rule()
    def restart(self) -> None:
        self.queue = self.open_queue()
        self.do(self.queue.recover())
        assert all(run.status is not RunStatus.RUNNING for run in self.runs())

    @rule(hours=st.integers(min_value=-2, max_value=2))
    def let_time_pass(self, hours: int) -> None:
        self.clock.pass_by(timedelta(hours=hours))

    @invariant()
    def sizes_are_exact(self) -> None:
        waiting = self.do(self.store.runs.waiting()).get(QueueName.TASKS, 0)
        assert self.do(self.queue.size(QueueName.TASKS)) == waiting

    @invariant()
    def no_task_is_lost_and_each_ends_with_its_run(self) -> None:
        assert sum(self.do(counts(self.store)).values()) == self.tasks
        for task in self.do(self.store.tasks.recent(None, 1000)):
            (run,) = self.do(self.store.runs.of_task(task.id))
            assert (task.status in FINAL_TASK) == (run.status in FINAL_RUN)
            assert (task.status is TaskStatus.PENDING) == (run.attempt == 0)
            assert (task.completed_at is None) == (task.status not in FINAL_TASK)


QueueLife.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestQueueLife = QueueLife.TestCase
