"""The way of a run, on one page: prepare, set up, rounds of (work, collect, verify), publish.

Each step is a function from value to value, recorded when it is done (`steps.py`): a run that was
killed goes on at its first unfinished step, and the agent's paid work is never repeated.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from codebot.domain.conclusion import conclude, is_done
from codebot.domain.outcome import Feedback, Refusal
from codebot.domain.ports import Forge
from codebot.domain.repository import ForgeKind
from codebot.domain.run import Run, RunResult
from codebot.errors import ForgeError, RunLost
from codebot.pipeline.cancelling import put_away
from codebot.pipeline.recorded import ROUNDS
from codebot.pipeline.retrying import take_over
from codebot.pipeline.steps import TaskSteps
from codebot.pipeline.tools import Tools
from codebot.publish.wording import Work
from codebot.store.journal import Journal

PATIENCE = timedelta(minutes=1)
"""At least so long a run with finished work waits when the forge says no."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What every run goes through; `work_on` is what a worker calls."""

    tools: Tools
    forges: Mapping[ForgeKind, Forge]

    async def work_on(self, run: Run) -> RunResult:
        """Take one run from its task's words to its pull request; raises what ended it early.

        Of a task that somebody cancelled, only what is left is put away.
        """
        task = await self.tools.store.tasks.get(run.task_id)
        if task is None:
            raise RunLost(f"The task {run.task_id} is gone.")
        forge = self.forges[task.request.repository.forge]
        journal = Journal(self.tools.store, run)
        try:
            steps = TaskSteps(self.tools, journal, run, task, forge)
            if task.cancel_wished_by is not None:
                return await put_away(steps, task.cancel_wished_by)
            await take_over(self.tools, run)
            return await _tell(steps)
        finally:  # nothing is told of a task after its end, however it came
            self.tools.workspaces.release(run.task_id)
            await self.tools.flush_egress()


async def _tell(steps: TaskSteps) -> RunResult:
    """Do every step that is not recorded as done, in order."""
    checkout = await steps.prepare()
    environment = await steps.set_up(checkout)
    trial = steps.trial(checkout, environment)
    feedback: Feedback | None = None
    round_ = 0
    async with steps.tools.testing.beside(trial) as base:
        while True:
            round_ += 1
            report = await steps.work(round_, trial, feedback)
            may_go_on = round_ < ROUNDS and is_done(report)
            is_last = not (may_go_on and await steps.can_afford(round_ + 1))
            with _work_at_stake():
                change = await steps.collect(
                    round_,
                    environment.under(checkout),
                    report,
                    is_final=is_last or isinstance(feedback, Refusal),
                )
            if isinstance(change, Refusal):
                feedback = change
                continue
            verdict = feedback = await steps.verify(round_, trial, change, base)
            if is_last or verdict.holds:
                break
    work = Work(
        *(steps.task, change, report, verdict),
        rounds=round_,
        usage=await steps.spent(),
        blocked=await steps.blocked(),
        gaps=checkout.gaps,
        environment=environment,
        untested=steps.tools.untested,
    )
    with _work_at_stake():
        publication = await steps.publish(checkout, work)
    return conclude(report, verdict, publication.pull_request.url, steps.tools.untested)


@contextmanager
def _work_at_stake() -> Iterator[None]:
    """Let any trouble with the forge be tried again: the agent's paid work waits for its end.

    Somebody may give the App its permission back meanwhile; the retry policy says how often.
    """
    try:
        yield
    except ForgeError as error:
        error.retry_after = error.retry_after or PATIENCE
        raise
