"""The way of a task without its agent: whether a repository is set up here, and its tests run.

The steps are those of every task; only what a task would write down and publish is left out.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from codebot.domain.egress import AccessVerdict
from codebot.domain.environment import Environment, Recipe, TestCommand
from codebot.domain.outcome import Checkout, Verdict
from codebot.domain.ports import Forge
from codebot.domain.task import Task
from codebot.pipeline.steps import find_environment
from codebot.pipeline.testing import Trial
from codebot.pipeline.tools import Tools
from codebot.store.egress import AccessTotal
from codebot.verify.verdict import judge, untested


@dataclass(frozen=True, slots=True)
class Watched:
    """Who hears of a rehearsal as it goes; each is called when what it names is about to begin."""

    recipe: Callable[[Recipe], None]
    tests: Callable[[TestCommand], None]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What it found. `verdict` is that on a change that changes nothing.

    `fetching` is how long the repository took; `blocked` is what its boxes were refused, the most
    frequent first.
    """

    checkout: Checkout
    fetching: timedelta
    environment: Environment
    verdict: Verdict
    blocked: Sequence[AccessTotal]

    @property
    def is_truly_tested(self) -> bool:
        """Whether a change of this repository would be truly tested here."""
        return self.verdict.is_proof


async def rehearse(tools: Tools, forge: Forge, task: Task, watched: Watched) -> Rehearsal:
    """Fetch, set up, and test the base of a task; its folders stay until they are removed.

    Raises what the steps raise: `CloneFailed`, `SetUpFailed`, `SandboxError`, and so on.
    """

    async def tell(recipe: Recipe) -> None:
        watched.recipe(recipe)

    started = time.monotonic()
    checkout = await tools.workspaces.prepare(
        *(task.id, task.request.repository, task.request.base_branch, forge),
        work_branch=task.branch_name,
    )
    fetching = timedelta(seconds=time.monotonic() - started)
    environment = await find_environment(tools, task, checkout, tell)
    verdict = await _test(tools, Trial(task, checkout, environment), watched)
    await tools.flush_egress()
    accesses = await tools.store.egress.of_task(task.id)
    return Rehearsal(checkout, fetching, environment, verdict, _refused(accesses))


async def _test(tools: Tools, trial: Trial, watched: Watched) -> Verdict:
    command, commit = trial.environment.test, trial.checkout.base_commit
    if command is None:
        return untested(commit)
    watched.tests(command)
    run = await tools.testing.run_base(trial, command)
    return judge(run, run, commit, lacking=trial.environment.reason)


def _refused(totals: Iterable[AccessTotal]) -> Sequence[AccessTotal]:
    return [total for total in totals if total.verdict is AccessVerdict.REFUSED]
