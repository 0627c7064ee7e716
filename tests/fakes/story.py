"""A pipeline on real parts (store, git, boxes, gateway, local forge), and an agent that is played.

async with open_story(tmp_path, Act("echo x = 2 > shop.py")) as story:
    result = await story.tell()
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from codebot.agent.runner import AgentLimits
from codebot.agent.work import AgentWork
from codebot.domain.agent_event import AgentEvent, Said
from codebot.domain.budget import Caps
from codebot.domain.conclusion import WhenUntested
from codebot.domain.effect import Permit
from codebot.domain.event import Event
from codebot.domain.outcome import (
    AgentOutcome,
    AgentReport,
    NewPullRequest,
    PullRequest,
    Usage,
)
from codebot.domain.ports import Agent, AgentJob, Ended, Finding, Launch, Sandbox
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.run import QueueName, Run, RunResult
from codebot.domain.task import NewTask, Task, TaskId, TaskRequest
from codebot.environment.recipes.operators import read_operators_table
from codebot.errors import CodebotError, ForgeError
from codebot.forge.local.forge import LocalForge
from codebot.gateway.gateway import Gateway
from codebot.gateway.upstream import Upstream
from codebot.git.git import Git
from codebot.pipeline import Pipeline
from codebot.pipeline.kept_layers import KeptLayers
from codebot.pipeline.set_up import SetUps
from codebot.pipeline.testing import Testing
from codebot.pipeline.tools import Tools
from codebot.publish.pull_request import Publisher
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.submit import submit_task
from codebot.sandbox.direct import DirectSandbox
from codebot.store.store import Store, new_uuid7
from codebot.telemetry.redaction import Redactor
from codebot.verify.base_runs import BaseRuns
from codebot.workspace.layers import Layers
from codebot.workspace.limits import Limits
from codebot.workspace.places import Places
from codebot.workspace.shelf import Shelf
from codebot.workspace.workspaces import Workspaces
from fakes.at_once import at_once
from fakes.clock import Clock, until
from fakes.git_http import git
from fakes.upstream import MODEL, PaidModel

PASSES = "grep -q mended shop.py"
MENDS = "echo '# mended' >> shop.py"
GENEROUS = Caps(max_turns=100, max_budget_usd=10.0)
BREAKS = "echo '# broken' >> shop.py"
ASKS = f"""{sys.executable} -IS - <<'END'
import http.client, json, os
body = {{"model": "{MODEL}", "max_tokens": 2000, "messages": [{{"role": "user", "content": "hi"}}]}}
host = os.environ["ANTHROPIC_BASE_URL"].removeprefix("http://")
asking = http.client.HTTPConnection(host)
headers = {{"authorization": "Bearer " + os.environ["ANTHROPIC_AUTH_TOKEN"]}}
asking.request("POST", "/v1/messages", json.dumps(body), headers)
print(asking.getresponse().read().decode())
END
"""
"""One turn of an agent, as a command."""
ONE_TURN = Usage(1, 100, 10, 0.00045)
"""What it costs when `PaidModel` answers."""


@dataclass(frozen=True)
class Act:
    """One launch of the agent: what it does in the tree, and how that is judged."""

    script: str
    outcome: AgentOutcome = AgentOutcome.DONE
    words: str = "I did it."
    error: CodebotError | None = None
    title: str = "Mend the shop"
    turns: int = 1


class PlayedAgent:
    """Does one act after the other, and the last one again and again; keeps the jobs it got."""

    name = "played"

    def __init__(self, acts: Sequence[Act]) -> None:
        self._acts = acts
        self.jobs: list[AgentJob] = []

    async def check(self) -> Sequence[Finding]:
        return [Finding("agent", ok=True, detail="played")]

    def launch(self, job: AgentJob) -> Launch:
        self.jobs.append(job)
        env = {
            "ANTHROPIC_BASE_URL": job.gateway.url,
            "ANTHROPIC_AUTH_TOKEN": job.gateway.token.reveal(),
        }
        script = ASKS * self._act.turns + self._act.script
        return Launch(("/bin/sh", "-c", script), env, job.prompt.encode(), {})

    def session(self, job: AgentJob) -> str:
        return ""

    def parse(self, line: bytes) -> Sequence[AgentEvent]:
        return (Said(line.decode().rstrip()),)

    def judge(self, job: AgentJob, ended: Ended) -> AgentReport:
        act = self._act
        if act.error is not None:
            raise act.error
        return AgentReport(
            outcome=act.outcome,
            session_id=job.session_id,
            title=act.title,
            summary="It was broken.",
            commit_message="Mend the shop",
            closing_words=act.words,
            usage=Usage(),
            duration=timedelta(seconds=1),
        )

    @property
    def _act(self) -> Act:
        return self._acts[min(len(self.jobs), len(self._acts)) - 1]


class MoodyForge(LocalForge):
    """A local forge that refuses every pull request while `refusal` is set."""

    refusal: ForgeError | None = None

    async def open_pull_request(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        if self.refusal is not None:
            raise self.refusal
        return await super().open_pull_request(permit, repository, new, task_id)


@dataclass
class Story:
    """One task on its way; `run` is its only run, as it was claimed last."""

    store: Store
    queue: EmbeddedQueue
    pipeline: Pipeline
    workspaces: Workspaces
    agent: PlayedAgent
    forge: MoodyForge
    redactor: Redactor
    origin: Path
    new: NewTask
    run: Run

    @property
    def task(self) -> Task:
        task = at_once(self.store.tasks.get(self.new.id))
        assert task is not None
        return task

    @property
    def folder(self) -> Path:
        """Where the task's workspace is."""
        return Path(self.task.work_dir or "").parent

    def events(self) -> list[Event]:
        return at_once(self.store.events.after(self.new.id, 0, 1000))

    def kinds(self) -> list[str]:
        return [event.type.value for event in self.events()]

    def data(self, kind: str) -> Mapping[str, Any]:
        """Give what the last event of a kind says."""
        return [event.data for event in self.events() if event.type.value == kind][-1]

    def finished(self) -> list[tuple[str, int]]:
        """Name each step that finished, and its round, in order."""
        done = [event.data for event in self.events() if event.type.value == "step.finished"]
        return [(data["step"], data["round"]) for data in done]

    async def tell(self) -> RunResult:
        return await self.pipeline.work_on(self.run)

    async def fail(self) -> CodebotError:
        """Work on the run, and give the error that ends it."""
        try:
            result = await self.tell()
        except CodebotError as error:
            return error
        raise AssertionError(result)

    async def tell_until(self, kind: str, step: str | None = None) -> None:
        """Work on the run until this is recorded, stop as a service that stops, and claim again."""
        telling = asyncio.create_task(self.tell())
        try:
            await until(lambda: telling.done() or self._has_happened(kind, step))
        finally:
            telling.cancel()
            await asyncio.wait([telling])
        await self.claim_again()

    def _has_happened(self, kind: str, step: str | None) -> bool:
        return any(e.type.value == kind and e.data.get("step") == step for e in self.events())

    async def claim_again(self) -> None:
        """Put the run back, as the worker does when the service stops, and claim it anew."""
        await self.queue.interrupt(self.run)
        self.run = await self.queue.claim(QueueName.TASKS)


@asynccontextmanager
async def open_story(
    root: Path,
    *acts: Act,
    test_command: str | None = PASSES,
    caps: Caps = GENEROUS,
    upstream: Upstream | None = None,
    real_agent: Agent | None = None,
    setup_command: str | None = None,
    sandbox: Sandbox | None = None,
    files: Mapping[str, str] = MappingProxyType({}),
    environments: str = "",
    setup_limit: float = 20,
) -> AsyncIterator[Story]:
    """Give a task on a folder with one file (and `files`), claimed and ready to be worked on.

    `real_agent` works in place of the one that is played, `sandbox` in place of none;
    `environments` is the operator's table, `setup_limit` in seconds.
    """
    origin = _origin(root, files)
    clock, redactor = Clock(), Redactor()
    store = await Store.open(root / "data" / "store.db", redact=redactor, now=clock)
    gateway = Gateway(upstream or PaidModel(), redactor=redactor)
    await gateway.start()
    queue = EmbeddedQueue(store, max_pending=10, now=clock, new_id=new_uuid7)
    host_git = Git(home=root / "git-home")
    sandbox = sandbox or DirectSandbox(path=os.environ["PATH"], mark=str(root))
    workspaces = Workspaces(
        host_git,
        sandbox,
        mirrors=root / "mirrors",
        work_dir=root / "work",
        limits=Limits(protected_paths=(".github/workflows/**",)),
        holds_secret=redactor.is_betrayed_by,
    )
    forge = MoodyForge(git=host_git, pull_requests=store.pull_requests, now=clock)
    agent = PlayedAgent(acts)
    limits = AgentLimits(timedelta(seconds=30), timedelta(seconds=30))
    places = Places(host_git, sandbox)
    limit = timedelta(seconds=20)
    table, _ = read_operators_table(environments)
    layers = Layers(Shelf(root / "environments"))
    kept = KeptLayers(layers, places, below=False, holds=workspaces.holds)
    limit_of_set_up = timedelta(seconds=setup_limit)
    set_ups = SetUps(
        sandbox, places, limit_of_set_up, redactor, kept, table, path=os.environ["PATH"]
    )
    runs = BaseRuns(root / "base-runs")
    tools = Tools(
        store=store,
        workspaces=workspaces,
        agent=AgentWork(real_agent or agent, sandbox, gateway, store, limits, caps, None, redactor),
        publisher=Publisher(host_git, store.pull_requests, redactor, clock),
        set_ups=set_ups,
        testing=Testing(sandbox, places, set_ups, runs, limit, redactor),
        untested=WhenUntested.DRAFT,
        redact=redactor,
    )
    repository = Repository(ForgeKind.LOCAL, "localhost", "local", "shop", str(origin), origin)
    request = TaskRequest(
        repository, "Mend the shop", test_command=test_command, setup_command=setup_command
    )
    submitted = await submit_task(queue, request, key_fingerprint="", now=clock, new_id=new_uuid7)
    new = submitted.task
    run = await queue.claim(QueueName.TASKS)
    pipeline = Pipeline(tools, {ForgeKind.LOCAL: forge})
    try:
        yield Story(store, queue, pipeline, workspaces, agent, forge, redactor, origin, new, run)
    finally:
        await gateway.close()
        await store.close()


def _origin(root: Path, files: Mapping[str, str]) -> Path:
    origin = root / "shop"
    git("init", "-q", "-b", "main", str(origin))
    for name, text in {"shop.py": "# a shop\n", **files}.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
        if text.startswith("#!"):
            (origin / name).chmod(0o755)
    git("add", ".", cwd=origin)
    git("commit", "-q", "-m", "Begin", cwd=origin)
    return origin
