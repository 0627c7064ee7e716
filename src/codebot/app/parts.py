"""Everything that works on tasks, made from the settings and wired."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
from starlette.types import Receive, Scope, Send
from uv import find_uv_bin

from codebot.agent.claude import ClaudeAgent
from codebot.agent.command import CommandAgent
from codebot.agent.runner import AgentLimits
from codebot.agent.work import AgentWork
from codebot.app.ground import Ground, open_ground, try_ground
from codebot.app.testing import make_testing
from codebot.app.way_out import authority_file, kept_answers, open_way_out
from codebot.domain.box import BoxLimits
from codebot.domain.budget import Caps
from codebot.domain.ports import Agent, Egress, Finding, Forge, Sandbox
from codebot.domain.repository import ForgeKind
from codebot.domain.run import QueueName
from codebot.errors import SandboxUnavailable
from codebot.forge.github.connect import AppCredential, TokenCredential, connect
from codebot.forge.github.forge import GitHubForge
from codebot.forge.local.forge import LocalForge
from codebot.gateway.anthropic import AnthropicUpstream
from codebot.gateway.egress.ledger import EgressLedger
from codebot.gateway.gateway import Gateway
from codebot.gateway.registries.authority import authority_pieces
from codebot.gateway.scripted import ScriptedUpstream
from codebot.gateway.upstream import NoUpstream, Upstream
from codebot.git.git import Git
from codebot.intake.repository_url import RepositoryRules
from codebot.intake.submodule_url import find_source
from codebot.lfs.transfers import LargeFileTransfers
from codebot.pipeline import Pipeline
from codebot.pipeline.steps import Tools
from codebot.publish import wording
from codebot.publish.pull_request import Publisher
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.retention import Retention
from codebot.queue.worker import Worker
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.cgroup import Cgroups, find_cgroups
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.marks import short_mark
from codebot.sandbox.program import find_bubblewrap
from codebot.settings import GitHubSettings, Settings
from codebot.settings.proxy import proxy_for
from codebot.store.store import Store, new_uuid7, utc_now
from codebot.telemetry.redaction import Redactor
from codebot.workspace.budget import Budget
from codebot.workspace.limits import Limits
from codebot.workspace.submodules import FindSource
from codebot.workspace.workspaces import Workspaces

log = structlog.get_logger(__name__)

MEBIBYTE = 1024**2


# --- The parts -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that works on tasks, wired; open for as long as `open_parts` lasts."""

    settings: Settings
    store: Store
    queue: EmbeddedQueue
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
            now=utc_now,
            remove_workspace=self.workspaces.remove,
            workspace_ids=self.workspaces.task_ids,
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
        store = await Store.open(settings.database, redact=redactor, now=utc_now, new_id=new_uuid7)
        stack.push_async_callback(store.close)
        gateway = Gateway(_upstream(settings), redactor=redactor, boxed=settings.is_boxed)
        stack.push_async_callback(gateway.close)
        await gateway.start()
        git = _git(settings)
        local = LocalForge(
            git=git, pull_requests=store.pull_requests, now=utc_now, public_url=public_url
        )
        forges: dict[ForgeKind, Forge] = {ForgeKind.LOCAL: local}
        github = _github(settings, redactor)
        if github is not None:
            stack.push_async_callback(github.close)
            forges[ForgeKind.GITHUB] = github
        ledger = EgressLedger(store.egress, now=utc_now, mask=redactor.in_any_case)
        stack.push_async_callback(ledger.close)
        egress = open_way_out(settings, gateway.application, ledger.record)
        stack.push_async_callback(egress.close)
        sandbox, agent = _sandbox(settings, egress, _groups(settings)), _agent(settings)
        ground = await open_ground(settings, git, sandbox)
        workspaces = _workspaces(settings, git, sandbox, redactor, ground)
        testing = make_testing(settings, git, sandbox, ground, workspaces, redactor)
        yield Parts(
            settings,
            store,
            EmbeddedQueue(
                store, max_pending=settings.max_queue_size, now=utc_now, new_id=new_uuid7
            ),
            sandbox,
            ground,
            workspaces,
            Pipeline(
                Tools(
                    store=store,
                    workspaces=workspaces,
                    agent=_agent_work(settings, agent, sandbox, gateway, store, redactor),
                    publisher=Publisher(
                        git, store.pull_requests, redactor, utc_now, _transfers(settings)
                    ),
                    set_ups=testing.set_ups,
                    untested=settings.untested,
                    testing=testing,
                    redact=redactor,
                    flush_egress=ledger.flush,
                ),
                forges,
            ),
            (agent,) if github is None else (agent, github),
        )


def repository_rules(settings: Settings) -> RepositoryRules:
    """Give what a task's repository may be."""
    github = settings.github
    return RepositoryRules(
        github_host=github.host if github.is_configured else None,
        allowed_patterns=settings.repositories,
        local_roots=settings.local_repos,
        insecure_loopback=github.web_url.startswith("http:"),
    )


def _git(settings: Settings) -> Git:
    return Git(
        home=settings.data_dir / "git-home",
        certificate_file=settings.certificate_file,
        proxies=settings.proxies,
    )


def _groups(settings: Settings) -> Cgroups | None:
    """Give the control groups for boxes, where this service was given some."""
    return find_cgroups(short_mark(str(settings.work_dir))) if settings.is_boxed else None


def _sandbox(settings: Settings, egress: Egress, cgroups: Cgroups | None) -> Sandbox:
    """Give the box, unless that was declined by name; `mark` is the same after a restart.

    Raises `SandboxUnavailable`.
    """
    mark = str(settings.work_dir)
    if not settings.is_boxed:
        return DirectSandbox(path=settings.path, mark=mark)
    return BubblewrapSandbox(
        find_bubblewrap(),
        path=settings.path,
        mark=mark,
        egress=egress,
        limits=BoxLimits(
            memory=settings.memory_mb * MEBIBYTE,
            disk=settings.disk_mb * MEBIBYTE,
            processes=settings.max_processes,
        ),
        read_only=settings.sandbox_paths,
        tools=_tools(),
        cgroups=cgroups,
    )


def _tools() -> dict[str, Path]:
    """Give the programs that every box finds: uv, which installs what Python projects need."""
    uv = Path(find_uv_bin())
    return {"uv": uv, "uvx": uv.with_name("uvx")}


def _transfers(settings: Settings) -> LargeFileTransfers:
    proxy_of = partial(proxy_for, proxies=settings.proxies)
    return LargeFileTransfers(proxy_of, settings.certificate_file)


def _workspaces(
    settings: Settings, git: Git, sandbox: Sandbox, redactor: Redactor, ground: Ground
) -> Workspaces:
    return Workspaces(
        git,
        sandbox,
        mirrors=settings.data_dir / "mirrors",
        work_dir=settings.work_dir,
        limits=Limits(protected_paths=settings.protected_paths, allowed_filters=settings.filters),
        holds_secret=redactor.is_betrayed_by,
        authority=partial(authority_pieces, authority_file(settings)),
        tame=partial(wording.own_message, redact=redactor),
        find_source=_find_source(settings),
        transfers=_transfers(settings),
        means=ground.chosen.means,
        templates=ground.templates,
    )


def _find_source(settings: Settings) -> FindSource | None:
    """Give what says which repositories submodules are, unless none are wanted."""
    if settings.submodules == "off":
        return None
    rules = repository_rules(settings)
    if settings.submodule_repos is not None:
        rules = replace(rules, local_roots=settings.submodule_repos)
    return partial(find_source, rules=rules)


def _agent(settings: Settings) -> Agent:
    if settings.agent_command:
        return CommandAgent(settings.agent_command)
    return ClaudeAgent(settings.claude_bin, path=settings.path)


def _agent_work(
    settings: Settings,
    agent: Agent,
    sandbox: Sandbox,
    gateway: Gateway,
    store: Store,
    redactor: Redactor,
) -> AgentWork:
    return AgentWork(
        agent=agent,
        sandbox=sandbox,
        gateway=gateway,
        store=store,
        limits=AgentLimits(settings.agent_timeout, settings.agent_idle_timeout),
        caps=Caps(settings.max_turns, settings.max_budget_usd, settings.max_tokens),
        model=settings.model,
        redact=redactor,
    )


def _upstream(settings: Settings) -> Upstream:
    """Give the model: a file of turns, or the API with the one credential there is."""
    if isinstance(settings.anthropic_base_url, Path):
        return ScriptedUpstream(settings.anthropic_base_url)
    if not settings.has_model_credential:
        return NoUpstream()
    return AnthropicUpstream(
        settings.anthropic_base_url,
        api_key=settings.anthropic_api_key,
        auth_token=settings.anthropic_auth_token,
        certificate_file=settings.certificate_file,
        proxy=proxy_for(settings.anthropic_base_url, settings.proxies),
    )


def _github(settings: Settings, redactor: Redactor) -> GitHubForge | None:
    credential = _credential(settings.github)
    if credential is None:
        return None
    return connect(
        credential,
        api_url=settings.github.api_url,
        web_url=settings.github.web_url,
        now=utc_now,
        redactor=redactor,
        certificate_file=settings.certificate_file,
        proxies=settings.proxies,
    )


def _credential(github: GitHubSettings) -> AppCredential | TokenCredential | None:
    if github.app is not None:
        return AppCredential(github.app.app_id, github.app.private_key, github.app.installation_id)
    return None if github.token is None else TokenCredential(github.token)


async def check_parts(settings: Settings) -> list[Finding]:
    """Ask the agent, the sandbox and GitHub what they find; nothing is stored or left open."""
    findings = [*await _agent(settings).check(), *await _try_sandbox(settings)]
    github = _github(settings, Redactor())
    if github is None:
        return findings
    try:
        return [*findings, *await github.check()]
    finally:
        await github.close()


async def _try_sandbox(settings: Settings) -> Sequence[Finding]:
    """Try the sandbox that the settings ask for; boxes of the trial reach nothing.

    No control group is divided for it: a service that systemd starts after this in the same group
    could not enter it any more.
    """
    egress = open_way_out(settings, lambda _: _nothing_here, lambda _, __: None)
    try:
        sandbox = _sandbox(settings, egress, None)
        return [*await sandbox.check(), await try_ground(settings, sandbox)]
    except SandboxUnavailable as missing:
        return [Finding("sandbox", ok=False, detail=missing.detail, remedy=missing.hint)]
    finally:
        await egress.close()


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})
