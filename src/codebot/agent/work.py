"""One round of an agent's work on a task: its words, its way to the model, its limits."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from codebot.agent import prompts
from codebot.agent.ledger import Ledger
from codebot.agent.refused import by_its_reason
from codebot.agent.runner import AgentLimits, run_agent
from codebot.agent.telling import Telling
from codebot.domain.budget import OUTCOMES, Cap, Caps
from codebot.domain.environment import Workplace
from codebot.domain.outcome import AgentReport, Feedback, Usage
from codebot.domain.ports import Agent, AgentJob, GatewayAccess, Sandbox
from codebot.domain.run import Run
from codebot.domain.task import Task
from codebot.errors import AgentError
from codebot.gateway.gateway import Gateway, Stay
from codebot.store.store import Store


@dataclass(slots=True)
class _Visit:
    """A run's time at the gateway; `stay` says how it was, once it is over."""

    access: GatewayAccess
    stay: Stay = field(default_factory=Stay)


@dataclass(frozen=True, slots=True)
class AgentWork:
    """Lets the configured agent work on tasks, round by round, in one conversation per task."""

    agent: Agent
    sandbox: Sandbox
    gateway: Gateway
    store: Store
    limits: AgentLimits
    caps: Caps
    model: str | None
    redact: Callable[[str], str]

    def is_spent(self, spent: Usage) -> bool:
        """Say whether a task that has used this much gets no further round."""
        return self.caps.reached(spent) is not None

    async def do_round(
        self,
        run: Run,
        task: Task,
        workplace: Workplace,
        *,
        rules: Mapping[str, str],
        spent: Usage,
        feedback: Feedback | None,
    ) -> AgentReport:
        """Let the agent work there; raises the `AgentError` that names how it failed.

        `rules` are the repository's own files for agents, `spent` is what the task has used
        before, `feedback` what came of that work (None in the first round). An agent that a cap
        stopped has not failed: what it left in the tree is its work.
        """
        reached = self.caps.reached(spent)
        if reached is not None:  # by an attempt that was cut off, and whose work may lie there
            return _stopped(task, reached, "")
        telling = Telling(self.store, run)
        ended: AgentReport | AgentError
        async with self._admitted(run, spent) as visit:
            job = self._job(task, workplace, rules, feedback, visit.access)
            try:
                ended = await self._run(job, task, workplace, telling)
            except AgentError as error:
                ended = error
        cap = visit.stay.stopped_by
        if cap is not None and not _has_result(ended):
            ended = _stopped(task, cap, telling.last_words)
        if isinstance(ended, AgentError):
            raise by_its_reason(ended, visit.stay.metered.refusal)
        return replace(ended, usage=visit.stay.metered.usage)

    async def _run(
        self, job: AgentJob, task: Task, workplace: Workplace, telling: Telling
    ) -> AgentReport:
        return await run_agent(
            self.agent,
            self.sandbox,
            job,
            task_id=task.id,
            workplace=workplace,
            limits=self.limits,
            on_event=telling.event,
            on_stop=partial(self.gateway.cut, job.gateway),
            redact=self.redact,
        )

    @asynccontextmanager
    async def _admitted(self, run: Run, spent: Usage) -> AsyncIterator[_Visit]:
        """Give the run its way to the model, and write down what it uses of it, come what may."""
        ledger = Ledger(self.store, run)
        visit = _Visit(
            self.gateway.admit(run.id, run.task_id, self.caps, spent=spent, tell=ledger.hear)
        )
        try:
            yield visit
        finally:
            visit.stay = await self.gateway.dismiss(visit.access)
            await ledger.close(visit.stay.metered)

    def _job(
        self,
        task: Task,
        workplace: Workplace,
        rules: Mapping[str, str],
        feedback: Feedback | None,
        access: GatewayAccess,
    ) -> AgentJob:
        checkout = workplace.checkout
        opening = prompts.task_prompt(task, workplace)
        return AgentJob(
            prompt=prompts.go_on(feedback, checkout.base_commit) if feedback else opening,
            opening=opening,
            instructions=prompts.instructions(rules),
            session_id=task.id,
            resume=feedback is not None,
            model=self.model,
            gateway=access,
            paths=self.sandbox.paths(checkout.tree, checkout.home),
        )


def _has_result(ended: AgentReport | AgentError) -> bool:
    """Say whether an agent has described what it did, and so was done.

    One that only ended may not even have understood that it was stopped.
    """
    return isinstance(ended, AgentReport) and bool(ended.title)


def _stopped(task: Task, cap: Cap, closing_words: str) -> AgentReport:
    """Give the report of an agent that a cap stopped before it could describe its work."""
    return AgentReport(
        outcome=OUTCOMES[cap],
        session_id=task.id,
        title="",
        summary="",
        commit_message="",
        closing_words=closing_words,
        usage=Usage(),
        duration=timedelta(0),
    )
