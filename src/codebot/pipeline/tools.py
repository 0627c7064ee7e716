"""What every step of a run has at hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from codebot.agent.work import AgentWork
from codebot.domain.conclusion import WhenUntested
from codebot.domain.outcome import Usage
from codebot.domain.ports import Forge
from codebot.domain.run import Run
from codebot.domain.task import Task
from codebot.pipeline.set_up import SetUps
from codebot.pipeline.testing import Testing
from codebot.publish.pull_request import Publisher
from codebot.store.effects import RunEffects
from codebot.store.journal import Journal
from codebot.store.store import Store
from codebot.workspace.workspaces import Workspaces


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


@dataclass(frozen=True, slots=True)
class Errand:
    """One run of one task, its record and its forge, and the tools for it."""

    tools: Tools
    journal: Journal
    run: Run
    task: Task
    forge: Forge

    @property
    def effects(self) -> RunEffects:
        """What the run changes in the outside world."""
        return self.tools.store.effects.of(self.run)

    async def spent(self) -> Usage:
        """Say what the task has used so far, attempts that failed included."""
        stored = await self.tools.store.tasks.get(self.task.id)
        return self.task.usage if stored is None else stored.usage
