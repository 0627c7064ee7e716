"""Everything that works on tasks, made from the settings and wired."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from codebot.app.agents import agent_work, make_agent, model_upstream
from codebot.app.boxes import control_groups, make_sandbox
from codebot.app.forges import large_file_transfers, open_github
from codebot.app.ground import Ground, open_ground
from codebot.app.storage import make_queue, open_store
from codebot.app.testing import make_testing
from codebot.app.way_out import kept_answers, open_way_out
from codebot.app.workspaces import make_git, make_workspaces
from codebot.domain.ports import Agent, Forge, Queue, Sandbox
from codebot.domain.repository import ForgeKind
from codebot.domain.run import QueueName
from codebot.forge.github.forge import GitHubForge
from codebot.forge.local.forge import LocalForge
from codebot.gateway.egress.ledger import EgressLedger
from codebot.gateway.gateway import Gateway
from codebot.git.git import Git
from codebot.pipeline import Pipeline
from codebot.pipeline.moving import has_moved
from codebot.pipeline.tools import Tools
from codebot.publish.pull_request import Publisher
from codebot.queue.clock import CarefulClock
from codebot.queue.retention import Retention
from codebot.queue.worker import Worker
from codebot.settings import Settings
from codebot.store.store import Store, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.budget import Budget
from codebot.workspace.workspaces import Workspaces

log = structlog.get_logger(__name__)

MEBIBYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that works on tasks, wired; open for as long as `open_parts` lasts."""

    settings: Settings
    store: Store
    queue: Queue
    sandbox: Sandbox
    ground: Ground
    workspaces: Workspaces
    pipeline: Pipeline
    outside: Sequence[Agent | GitHubForge]

    def worker(self, count: int) -> Worker:
        """Give `count` workers for the queue of tasks."""
        return Worker(self.queue, QueueName.TASKS, self.pipeline.work_on, count, utc_now)

    def retention(self) -> Retention:
        """Give the sweep of what ended long enough ago."""
        return Retention(
            self.store,
            keep=self.settings.task_retention,
            now=CarefulClock(utc_now, self.settings.task_retention),
            remove_workspace=self.workspaces.remove,
            free_workspace=self.workspaces.free,
            workspace_ids=self.workspaces.task_ids,
            has_moved=partial(has_moved, self.store, self.workspaces.node),
        )

    def budget(self) -> Budget:
        """Give what holds all that is kept to save time to its room on disk."""
        ground = self.ground
        caches = (
            *(ground.templates.shelf.kept, ground.layers.kept, self.workspaces.kept_mirrors),
            partial(kept_answers, self.settings),
        )
        return Budget(self.settings.cache_mb * MEBIBYTE, caches)

    async def recover(self) -> None:
        """At start: end what a dead service left running, and put its runs back."""
        ended = await self.sandbox.reap()
        recovered = await self.queue.recover()
        if ended or recovered:
            log.info("service.recovered", processes_ended=ended, runs_put_back=recovered)


@asynccontextmanager
async def open_parts(
    settings: Settings, redactor: Redactor, *, public_url: str
) -> AsyncIterator[Parts]:
    """Wire everything that works on tasks; close it in the reverse order.

    Raises `ConfigError` for a table of environments that cannot be used.
    """
    async with AsyncExitStack() as stack:
        store = await open_store(settings, redactor)
        stack.push_async_callback(store.close)
        queue = make_queue(settings, store)
        gateway = Gateway(model_upstream(settings), redactor=redactor, boxed=settings.is_boxed)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        github = open_github(settings, redactor)
        if github is not None:
            stack.push_async_callback(github.close)
        ledger = EgressLedger(store.egress, now=utc_now, mask=redactor.in_any_case)
        stack.push_async_callback(ledger.close)
        egress = open_way_out(settings, gateway.application, ledger.record)
        stack.push_async_callback(egress.close)
        git, agent = make_git(settings), make_agent(settings)
        sandbox = make_sandbox(settings, egress, control_groups(settings))
        ground = await open_ground(settings, git, sandbox)
        workspaces = make_workspaces(settings, git, sandbox, redactor, ground)
        testing = make_testing(settings, git, sandbox, ground, workspaces, redactor)
        tools = Tools(
            store=store,
            workspaces=workspaces,
            agent=agent_work(settings, agent, sandbox, gateway, store, redactor),
            publisher=_publisher(settings, git, store, redactor),
            set_ups=testing.set_ups,
            untested=settings.untested,
            testing=testing,
            redact=redactor,
            flush_egress=ledger.flush,
        )
        forges = _forges(_local_forge(git, store, public_url), github)
        outside = (agent,) if github is None else (agent, github)
        pipeline = Pipeline(tools, forges)
        yield Parts(settings, store, queue, sandbox, ground, workspaces, pipeline, outside)


def _publisher(settings: Settings, git: Git, store: Store, redactor: Redactor) -> Publisher:
    transfers = large_file_transfers(settings)
    return Publisher(git, store.pull_requests, redactor, utc_now, transfers)


def _local_forge(git: Git, store: Store, public_url: str) -> LocalForge:
    records = store.pull_requests
    return LocalForge(git=git, pull_requests=records, now=utc_now, public_url=public_url)


def _forges(local: LocalForge, github: GitHubForge | None) -> Mapping[ForgeKind, Forge]:
    forges: dict[ForgeKind, Forge] = {ForgeKind.LOCAL: local}
    return forges if github is None else {**forges, ForgeKind.GITHUB: github}
