"""The way of a run, on one page: prepare, rounds of (work, collect, verify), publish.

Each step is a function from value to value, recorded when it is done: a run that was killed goes
on at its first unfinished step, and the agent's paid work is never repeated.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from codebot.agent.prompts import INSTRUCTION_FILES
from codebot.agent.work import AgentWork
from codebot.domain.conclusion import conclude, is_settled, unchanged
from codebot.domain.event import (
    branch_pushed,
    change_collected,
    pull_request_opened,
    tests_finished,
)
from codebot.domain.outcome import AgentReport, Change, Checkout, Publication, Usage, Verdict
from codebot.domain.ports import Forge, Sandbox
from codebot.domain.repository import ForgeKind
from codebot.domain.run import Run, RunResult
from codebot.domain.status import Phase
from codebot.domain.task import Task
from codebot.errors import ForgeError, NothingChanged, RunLost
from codebot.publish.pull_request import Publisher
from codebot.publish.wording import Work, commit_message
from codebot.store.journal import Journal, Noted, Step
from codebot.store.steps import TaskChanges
from codebot.store.store import Store
from codebot.verify.command import find_test_command
from codebot.verify.tests import run_tests
from codebot.workspace.workspaces import Workspaces

ROUNDS = 3
"""Attempts at passing tests: the first, and two more with the tests' output as feedback."""

PATIENCE = timedelta(minutes=1)
"""At least so long a run with finished work waits when the forge says no."""

LONGEST_DIFF = 4 * 1024 * 1024
"""Bytes of a diff kept for people to read; the branch has all of it."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts that the steps work with; `work_on` is what a worker calls."""

    store: Store
    workspaces: Workspaces
    sandbox: Sandbox
    agent: AgentWork
    publisher: Publisher
    forges: Mapping[ForgeKind, Forge]
    test_timeout: timedelta
    redact: Callable[[str], str]

    async def work_on(self, run: Run) -> RunResult:
        """Take one run from its task's words to its pull request; raises what ended it early."""
        task = self.store.tasks.get(run.task_id)
        if task is None:
            raise RunLost(f"The task {run.task_id} is gone.")
        forge = self.forges[task.request.repository.forge]
        return await Story(self, Journal(self.store, run), run, task, forge).tell()


@dataclass(frozen=True, slots=True)
class Story:
    """One run of one task, step by step."""

    parts: Pipeline
    journal: Journal
    run: Run
    task: Task
    forge: Forge

    async def tell(self) -> RunResult:
        """Do every step that is not recorded as done, in order."""
        checkout = await self.prepare()
        spent, feedback, round_ = Usage(), None, 0
        while True:
            round_ += 1
            report = await self.work(round_, checkout, spent, feedback)
            with _work_at_stake():
                change = await self.collect(round_, checkout, report)
            verdict = await self.verify(round_, checkout, change)
            spent, feedback = spent + report.usage, verdict
            if round_ == ROUNDS or is_settled(report, verdict) or self.parts.agent.is_spent(spent):
                break
        work = Work(self.task, change, report, verdict, rounds=round_, usage=spent)
        with _work_at_stake():
            publication = await self.publish(checkout, work)
        return conclude(report, verdict, publication.pull_request.url)

    async def prepare(self) -> Checkout:
        """Give the task a clean tree at the tip of its base branch."""
        request = self.task.request
        return await self.journal.once(
            Step("prepare", Phase.PREPARING),
            Checkout,
            lambda: self.parts.workspaces.prepare(
                self.task.id, request.repository, request.base_branch, self.forge
            ),
            lambda checkout: Noted(TaskChanges(work_dir=str(checkout.tree))),
        )

    async def work(
        self, round_: int, checkout: Checkout, spent: Usage, feedback: Verdict | None
    ) -> AgentReport:
        """Let the agent work in the tree: on the task, or on what the tests said of its work."""

        async def work() -> AgentReport:
            rules = await self.parts.workspaces.read_texts(
                checkout, checkout.base_commit, INSTRUCTION_FILES
            )
            return await self.parts.agent.do_round(
                self.run, self.task, checkout, rules=rules, spent=spent, feedback=feedback
            )

        return await self.journal.once(
            Step("work", Phase.AGENT, round_),
            AgentReport,
            work,
            lambda report: Noted(TaskChanges(usage=report.usage)),
        )

    async def collect(self, round_: int, checkout: Checkout, report: AgentReport) -> Change:
        """Take the agent's work out of the tree, as commits of the bot."""

        async def collect() -> Change:
            author = await self.forge.identity()
            message = commit_message(self.task, report, self.parts.redact)
            try:
                change = await self.parts.workspaces.collect(
                    self.task.id, checkout, message=message, author=author
                )
            except NothingChanged as error:
                raise unchanged(report) from error
            diff = await self.parts.workspaces.diff(checkout, change, LONGEST_DIFF)
            await self.parts.store.diffs.put(self.run, diff)
            return change

        return await self.journal.once(
            Step("collect", Phase.AGENT, round_),
            Change,
            collect,
            lambda change: Noted(events=[change_collected(change)]),
        )

    async def verify(self, round_: int, checkout: Checkout, change: Change) -> Verdict:
        """Run the repository's own tests on the collected change."""

        async def verify() -> Verdict:
            tree = await self.parts.workspaces.read_tree(checkout, change.tip_commit)
            command = find_test_command(self.task.request.test_command, tree)
            return await run_tests(
                self.parts.sandbox,
                self.task.id,
                checkout,
                change,
                command,
                self.parts.test_timeout,
            )

        return await self.journal.once(
            Step("verify", Phase.TESTING, round_),
            Verdict,
            verify,
            lambda verdict: Noted(events=[tests_finished(verdict)]),
        )

    async def publish(self, checkout: Checkout, work: Work) -> Publication:
        """Push the branch and open the pull request: as a draft, unless the work is finished."""

        async def publish() -> Publication:
            return await self.parts.publisher.publish(
                self.forge, checkout, work, on_pushed=lambda: self.note_push(work.change)
            )

        return await self.journal.once(
            Step("publish", Phase.PUBLISHING),
            Publication,
            publish,
            lambda publication: Noted(
                TaskChanges(pull_request=publication.pull_request),
                [pull_request_opened(publication)],
            ),
        )

    async def note_push(self, change: Change) -> None:
        """Write down that the branch is there, before the pull request is: either may be last."""
        pushed = branch_pushed(self.task.branch_name, change)
        await self.parts.store.steps.note(self.run, TaskChanges(branch_pushed=True), [pushed])


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
