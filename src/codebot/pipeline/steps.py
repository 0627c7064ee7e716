"""The steps of a run, each recorded with its value, what it changes on the task, and its events."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from codebot.agent.prompts import INSTRUCTION_FILES
from codebot.domain.conclusion import WhenUntested
from codebot.domain.environment import Environment, Recipe, Workplace
from codebot.domain.event import (
    environment_set_up,
    pull_request_opened,
    set_up_started,
    tests_finished,
)
from codebot.domain.outcome import (
    AgentReport,
    Change,
    Checkout,
    Feedback,
    Publication,
    Refusal,
    Verdict,
)
from codebot.domain.status import Phase
from codebot.domain.task import Task
from codebot.pipeline.collecting import collect_work, find_collected
from codebot.pipeline.preparing import prepare_workspace, within
from codebot.pipeline.recorded import work_step
from codebot.pipeline.set_up import Tell
from codebot.pipeline.testing import Trial, require_trial
from codebot.pipeline.tools import Errand, Tools
from codebot.publish.wording import Work
from codebot.store.journal import Step
from codebot.store.steps import Noted, TaskChanges
from codebot.verify.command import find_test_command
from codebot.verify.verdict import TestRun


async def find_environment(tools: Tools, task: Task, checkout: Checkout, tell: Tell) -> Environment:
    """Set up what the base commit needs, and find what its tests are run with."""
    tree = await tools.workspaces.read_tree(checkout, checkout.base_commit)
    environment = await tools.set_ups.provide(task, checkout, tree, tell)
    given = task.request.test_command
    return replace(environment, test=find_test_command(given, tree, environment.recipe))


@dataclass(frozen=True, slots=True)
class TaskSteps(Errand):
    """The steps of one run of one task; one that is recorded as done gives its value at once."""

    async def prepare(self) -> Checkout:
        """Give the task a clean tree at the tip of its base branch."""
        return await prepare_workspace(self)

    async def set_up(self, checkout: Checkout) -> Environment:
        """Put in place what the repository needs to run its tests, under the agent's tree.

        What was set up before and is there no more is set up again.
        """

        async def set_up() -> Environment:
            found = await find_environment(self.tools, self.task, checkout, self._tell_of)
            if found.failed_output:
                await self.tools.store.logs.append(self.run, found.failed_output)
            return found

        return await self.journal.once(
            Step("set_up", Phase.SETTING_UP),
            Environment,
            within(checkout, set_up),
            lambda environment: Noted(events=[environment_set_up(environment)]),
            still_holds=lambda environment: self.tools.set_ups.hold(self.task, environment),
        )

    async def _tell_of(self, recipe: Recipe) -> None:
        await self.tools.store.steps.note(self.run, TaskChanges(), [set_up_started(recipe)])

    def trial(self, checkout: Checkout, environment: Environment) -> Trial:
        """Say what the change will be tried by; raises `Untested` where nothing can, if it must."""
        if self.tools.untested is WhenUntested.FAIL:
            require_trial(environment)
        return Trial(self.task, checkout, environment)

    async def work(self, round_: int, trial: Trial, feedback: Feedback | None) -> AgentReport:
        """Let the agent work in the tree: on the task, or on what came of its work."""
        checkout = trial.environment.under(trial.checkout)

        async def work() -> AgentReport:
            rules = await self.tools.workspaces.read_texts(
                checkout, checkout.base_commit, INSTRUCTION_FILES
            )
            return await self.tools.agent.do_round(
                self.run,
                self.task,
                Workplace(checkout, trial.environment, await self.tools.testing.known_base(trial)),
                rules=rules,
                spent=await self.spent(),
                feedback=feedback,
            )

        return await self.journal.once(
            work_step(round_),
            AgentReport,
            within(checkout, work),
        )

    async def blocked(self) -> Mapping[str, int]:
        """Say which hosts the task's boxes were refused, and how often."""
        await self.tools.flush_egress()
        return await self.tools.store.egress.refused(self.task.id)

    async def can_afford(self, round_: int) -> bool:
        """Say whether there may be this round: turns and dollars are left, or it was done before.

        What a later round has used already must not undo it when the run goes on after a restart.
        """
        if await self.journal.has(work_step(round_)):
            return True
        return not self.tools.agent.is_spent(await self.spent())

    async def collect(
        self, round_: int, checkout: Checkout, report: AgentReport, *, is_final: bool
    ) -> Change | Refusal:
        """Take the agent's work out of the tree, as commits of the bot.

        What breaks a rule goes back to the agent, where it can mend that and `is_final` does not
        say otherwise; else `ChangeRefused` ends the task.
        """
        return await collect_work(self, round_, checkout, report, is_final=is_final)

    async def collected(self) -> tuple[Checkout, Change] | None:
        """Give the newest change that the run has collected, and where; None without one."""
        return await find_collected(self)

    async def verify(
        self, round_: int, trial: Trial, change: Change, base: "asyncio.Task[TestRun | None]"
    ) -> Verdict:
        """Run the repository's own tests on the collected change, and hold them beside the base's.

        A change may bring the first tests that there are: then its own files name the command.
        """

        async def verify() -> Verdict:
            tried = trial if trial.environment.test else await self._by_its_own_files(trial, change)
            return await self.tools.testing.judge(tried, change, await base)

        return await self.journal.once(
            Step("verify", Phase.TESTING, round_),
            Verdict,
            within(trial.checkout, verify),
            lambda verdict: Noted(
                TaskChanges(verified=verdict.is_proof), [tests_finished(verdict)]
            ),
        )

    async def _by_its_own_files(self, trial: Trial, change: Change) -> Trial:
        tree = await self.tools.workspaces.read_tree(trial.checkout, change.tip_commit)
        test = find_test_command(None, tree, trial.environment.recipe)
        return replace(trial, environment=replace(trial.environment, test=test))

    async def publish(self, checkout: Checkout, work: Work) -> Publication:
        """Push the branch and open the pull request: as a draft, unless the work is finished."""

        async def publish() -> Publication:
            return await self.tools.publisher.publish(self.forge, checkout, work, self.effects)

        return await self.journal.once(
            Step("publish", Phase.PUBLISHING),
            Publication,
            within(checkout, publish),
            lambda publication: Noted(
                TaskChanges(pull_request=publication.pull_request),
                [pull_request_opened(publication)],
            ),
        )
