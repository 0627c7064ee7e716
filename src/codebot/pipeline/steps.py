"""The steps of a run, each recorded with its value, what it changes on the task, and its events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from codebot.agent.prompts import INSTRUCTION_FILES
from codebot.agent.work import AgentWork
from codebot.domain.conclusion import WhenUntested, unchanged
from codebot.domain.environment import Environment, Recipe, Workplace
from codebot.domain.event import (
    change_collected,
    change_refused,
    checkout_incomplete,
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
    Usage,
    Verdict,
)
from codebot.domain.ports import Forge
from codebot.domain.run import Run
from codebot.domain.status import Phase
from codebot.domain.task import Task
from codebot.errors import ChangeRefused, GitFailed, NothingChanged, WorkspaceError
from codebot.pipeline.set_up import SetUps, Tell
from codebot.pipeline.testing import Testing, Trial, require_trial
from codebot.publish.pull_request import Publisher
from codebot.publish.wording import Work, commit_message
from codebot.store.effects import RunEffects
from codebot.store.journal import Journal, Step
from codebot.store.steps import Noted, TaskChanges
from codebot.store.store import Store
from codebot.verify.command import find_test_command
from codebot.verify.verdict import TestRun
from codebot.workspace.workspaces import Workspaces

T = TypeVar("T")

LONGEST_DIFF = 4 * 1024 * 1024
"""Bytes of a diff kept for people to read; the branch has all of it."""


ROUNDS = 3
"""Attempts at a change that holds: the first, and two more with what came of it as feedback.

One of the two may go to a change that the border refused; the second refusal ends the task.
"""

_PREPARE = Step("prepare", Phase.PREPARING)
_COLLECTED = cast("type[Change | Refusal]", Change | Refusal)


async def nothing_waits() -> None:
    """Do nothing: where there is no way out of a box, nothing waits to be written down."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps of every run work with.

    `flush_egress` returns when all that boxes reached and were refused so far is in the store.
    """

    store: Store
    workspaces: Workspaces
    agent: AgentWork
    publisher: Publisher
    set_ups: SetUps
    testing: Testing
    untested: WhenUntested
    redact: Callable[[str], str]
    flush_egress: Callable[[], Awaitable[None]] = nothing_waits


async def find_environment(tools: Tools, task: Task, checkout: Checkout, tell: Tell) -> Environment:
    """Set up what the base commit needs, and find what its tests are run with."""
    tree = await tools.workspaces.read_tree(checkout, checkout.base_commit)
    environment = await tools.set_ups.provide(task, checkout, tree, tell)
    given = task.request.test_command
    return replace(environment, test=find_test_command(given, tree, environment.recipe))


@dataclass(frozen=True, slots=True)
class TaskSteps:
    """The steps of one run of one task; one that is recorded as done gives its value at once."""

    tools: Tools
    journal: Journal
    run: Run
    task: Task
    forge: Forge

    async def prepare(self) -> Checkout:
        """Give the task a clean tree at the tip of its base branch.

        A tree that somebody removed is made anew, unless the agent has worked in it already. What
        publishing will need is asked for first: a refusal then would waste the agent's paid work.
        """
        request = self.task.request

        async def prepare() -> Checkout:
            await self.forge.identity()
            await self.forge.write_access(request.repository)
            checkout = await self.tools.workspaces.prepare(
                self.task.id,
                request.repository,
                request.base_branch,
                self.forge,
                work_branch=self.task.branch_name,
            )
            await self.tools.publisher.require_push(self.forge, checkout, self.task, self.effects)
            return checkout

        has_worked = await self.journal.has(_work_step(1))
        checkout = await self.journal.once(
            _PREPARE,
            Checkout,
            prepare,
            lambda checkout: Noted(
                TaskChanges(work_dir=str(checkout.tree)),
                [checkout_incomplete(checkout.gaps)] if checkout.gaps else (),
            ),
            still_holds=lambda checkout: has_worked or _is_there(checkout),
        )
        await self.tools.workspaces.hold(self.task.id, checkout)
        return checkout

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
            _within(checkout, set_up),
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
            _work_step(round_),
            AgentReport,
            _within(checkout, work),
        )

    async def spent(self) -> Usage:
        """Say what the task has used so far, attempts that failed included."""
        stored = await self.tools.store.tasks.get(self.task.id)
        return self.task.usage if stored is None else stored.usage

    async def blocked(self) -> Mapping[str, int]:
        """Say which hosts the task's boxes were refused, and how often."""
        await self.tools.flush_egress()
        return await self.tools.store.egress.refused(self.task.id)

    async def can_afford(self, round_: int) -> bool:
        """Say whether there may be this round: turns and dollars are left, or it was done before.

        What a later round has used already must not undo it when the run goes on after a restart.
        """
        if await self.journal.has(_work_step(round_)):
            return True
        return not self.tools.agent.is_spent(await self.spent())

    async def collect(
        self, round_: int, checkout: Checkout, report: AgentReport, *, is_final: bool
    ) -> Change | Refusal:
        """Take the agent's work out of the tree, as commits of the bot.

        What breaks a rule goes back to the agent, where it can mend that and `is_final` does not
        say otherwise; else `ChangeRefused` ends the task.
        """

        async def collect() -> Change | Refusal:
            author = await self.forge.identity()
            message = commit_message(self.task, report, self.tools.redact)
            try:
                change = await self.tools.workspaces.collect(
                    self.task.id, checkout, message=message, author=author
                )
            except NothingChanged as error:
                raise unchanged(report) from error
            except ChangeRefused as refusal:
                await self._keep_refused(checkout, refusal)
                if is_final or not refusal.remedy:
                    raise
                return self._refusal(refusal)
            await self._keep_diff(checkout, change.tip_commit)
            return change

        return await self.journal.once(
            _collect_step(round_),
            _COLLECTED,
            _within(checkout, collect),
            lambda made: Noted(
                events=[
                    change_refused(made) if isinstance(made, Refusal) else change_collected(made)
                ]
            ),
        )

    async def collected(self) -> tuple[Checkout, Change] | None:
        """Give the newest change that the run has collected, and where; None without one.

        None, too, when its workspace is gone.
        """
        checkout = await find_workspace(self.journal)
        if checkout is None:
            return None
        for round_ in range(ROUNDS, 0, -1):
            made = await self.journal.value(_collect_step(round_), _COLLECTED)
            if isinstance(made, Change):
                return checkout, made
        return None

    def _refusal(self, refused: ChangeRefused) -> Refusal:
        """Give what the agent may read of it: paths can hold secrets, too."""
        return Refusal(refused.code, self.tools.redact(refused.detail), refused.remedy)

    async def _keep_diff(self, checkout: Checkout, tip_commit: str) -> None:
        diff = await self.tools.workspaces.diff(checkout, tip_commit, LONGEST_DIFF)
        await self.tools.store.diffs.put(self.run, diff)

    async def _keep_refused(self, checkout: Checkout, refusal: ChangeRefused) -> None:
        """Let people look at what was refused: as a diff, masked, and as it lies on the disk."""
        if refusal.tip_commit is not None:
            with suppress(GitFailed):  # what is refused need not even be a commit
                await self._keep_diff(checkout, refusal.tip_commit)
        only = " (only what was changed; the rest is the base commit)" if checkout.layers else ""
        kept = f"The work is kept in {checkout.tree}{only} for as long as the task."
        refusal.hint = f"{refusal.hint} {kept}".lstrip()

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
            _within(trial.checkout, verify),
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
            _within(checkout, publish),
            lambda publication: Noted(
                TaskChanges(pull_request=publication.pull_request),
                [pull_request_opened(publication)],
            ),
        )

    @property
    def effects(self) -> RunEffects:
        """What the run changes in the outside world."""
        return self.tools.store.effects.of(self.run)


async def find_workspace(journal: Journal) -> Checkout | None:
    """Give the workspace that a run has prepared, None where it has none, or none any more."""
    checkout = await journal.value(_PREPARE, Checkout)
    return None if checkout is None or not _is_there(checkout) else checkout


def _work_step(round_: int) -> Step:
    return Step("work", Phase.AGENT, round_)


def _collect_step(round_: int) -> Step:
    return Step("collect", Phase.AGENT, round_)


def _is_there(checkout: Checkout) -> bool:
    return checkout.tree.is_dir() and checkout.repository.is_dir()


def _within(checkout: Checkout, work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """Give the work, begun only when its workspace is there: a restored backup may lack it."""

    async def checked() -> T:
        if not _is_there(checkout):
            raise WorkspaceError(
                f"The task's workspace is gone: there is no {checkout.tree.parent}.",
                hint="Whatever the agent did there is lost. Submit the task again.",
            )
        return await work()

    return checked
