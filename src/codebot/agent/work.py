"""One round of an agent's work on a task: its words, its way to the model, its limits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from codebot.agent import prompts
from codebot.agent.runner import AgentLimits, run_agent
from codebot.agent.telling import Telling
from codebot.domain.outcome import AgentReport, Checkout, Usage, Verdict
from codebot.domain.ports import Agent, AgentJob, GatewayAccess, Sandbox
from codebot.domain.run import Run
from codebot.domain.task import Task
from codebot.gateway.gateway import Gateway
from codebot.store.steps import TaskChanges
from codebot.store.store import Store


@dataclass(frozen=True, slots=True)
class Caps:
    """What one task may use of the model, over all its rounds."""

    max_turns: int
    max_budget_usd: float


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
        return spent.turns >= self.caps.max_turns or spent.cost_usd >= self.caps.max_budget_usd

    async def do_round(
        self,
        run: Run,
        task: Task,
        checkout: Checkout,
        *,
        rules: Mapping[str, str],
        spent: Usage,
        feedback: Verdict | None,
    ) -> AgentReport:
        """Let the agent work in the checkout; raises the `AgentError` that names how it failed.

        `rules` are the repository's own files for agents, `spent` is what the task has used
        before, `feedback` what the tests said of that work (None in the first round).
        """
        access = self.gateway.admit(run.id)
        telling = Telling(self.store, run)
        report = None
        try:
            report = await run_agent(
                self.agent,
                self.sandbox,
                self._job(task, checkout, rules, spent, feedback, access),
                task_id=task.id,
                checkout=checkout,
                limits=self.limits,
                on_event=telling.event,
                redact=self.redact,
            )
        finally:
            metered = self.gateway.dismiss(access).usage
            if report is None:  # failed or interrupted: paid for all the same
                await self.store.steps.note(run, TaskChanges(usage=metered))
        # An agent that does not count for itself is counted by the gateway.
        return report if report.usage.turns else replace(report, usage=metered)

    def _job(
        self,
        task: Task,
        checkout: Checkout,
        rules: Mapping[str, str],
        spent: Usage,
        feedback: Verdict | None,
        access: GatewayAccess,
    ) -> AgentJob:
        opening = prompts.task_prompt(
            task, base_branch=checkout.base_branch, test_command=task.request.test_command
        )
        return AgentJob(
            prompt=opening if feedback is None else prompts.tests_failed(feedback),
            opening=opening,
            instructions=prompts.instructions(rules),
            session_id=task.id,
            resume=feedback is not None,
            model=self.model,
            max_turns=self.caps.max_turns,
            max_budget_usd=self.caps.max_budget_usd,
            gateway=access,
            paths=self.sandbox.paths(checkout.tree, checkout.home),
            spent=spent,
        )
