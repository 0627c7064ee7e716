"""The last step against a GitHub with git over HTTP: one branch, one pull request, in the end."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from codebot.domain.effect import EffectKind
from codebot.domain.outcome import (
    AgentOutcome,
    AgentReport,
    Change,
    ChangedFile,
    Checkout,
    Publication,
    Usage,
    Verdict,
    VerdictState,
)
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.secret import Secret
from codebot.domain.status import TaskStatus
from codebot.domain.task import Task, TaskId, TaskRequest
from codebot.errors import CodebotError, ForgeForbidden
from codebot.forge.github.connect import AppCredential, connect
from codebot.forge.github.forge import GitHubForge
from codebot.git.git import Git
from codebot.publish.pull_request import Publisher
from codebot.publish.wording import Work
from codebot.store.effects import RunEffects
from codebot.store.pull_requests import PullRequests
from codebot.store.store import Store
from codebot.telemetry.redaction import Redactor
from fakes.git_http import git
from fakes.github import FakeGitHub, private_key
from fakes.github import Repository as FakeRepository
from fakes.github.clock import SleepClock
from fakes.permits import NoRecord

BRANCH = "u/codebot/abc1234/add-dark-mode"
CANARY = "canary-model-key-7f3a"


@dataclass
class Scene:
    """A task whose work is done and collected, and the GitHub that is to see it."""

    github: FakeGitHub
    clock: SleepClock
    found: FakeRepository
    checkout: Checkout
    work: Work
    publisher: Publisher
    redactor: Redactor
    effects: NoRecord = field(default_factory=NoRecord)

    @asynccontextmanager
    async def forge(self) -> AsyncIterator[GitHubForge]:
        forge = connect(
            AppCredential(self.github.app_id, Secret(private_key())),
            api_url=self.github.api_url,
            web_url=self.github.web_url,
            now=self.clock,
            sleep=self.clock.sleep,
            redactor=self.redactor,
        )
        try:
            yield forge
        finally:
            await forge.close()

    async def publish(self, forge: GitHubForge) -> Publication:
        return await self.publisher.publish(
            forge, self.checkout, self.work, cast("RunEffects", self.effects)
        )

    async def persevere(self, forge: GitHubForge) -> Publication:
        """Publish, again after every failure, as a run does that is tried again."""
        for _ in range(5):
            try:
                return await self.publish(forge)
            except CodebotError as error:
                self.clock.pass_by(error.retry_after or timedelta(0))
        pytest.fail("it was never published")

    def is_published_once(self) -> bool:
        tip = self.found.commit_of(BRANCH)
        return tip == self.work.change.tip_commit and [p.head for p in self.found.pulls] == [BRANCH]


def collected(tmp_path: Path) -> tuple[Path, Checkout, str]:
    """Make the forge's bare repository, and the task's own with one commit more."""
    tree, origin, own = tmp_path / "tree", tmp_path / "repo.git", tmp_path / "own.git"
    git("init", "-q", "-b", "main", str(tree))
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=tree)
    git("clone", "-q", "--bare", str(tree), str(origin))
    base = git("rev-parse", "HEAD", cwd=tree)
    (tree / "theme.py").write_text("dark = True\n")
    git("add", "-A", cwd=tree)
    git("commit", "-q", "-m", "Add dark mode", cwd=tree)
    git("clone", "-q", "--bare", str(tree), str(own))
    tip = git("rev-parse", "HEAD", cwd=tree)
    return origin, Checkout(tree, tmp_path, own, origin, "main", base), tip


def work_of(repository: Repository, base: str, tip: str) -> Work:
    return Work(
        task=Task(
            TaskId("0193c0de-0000-7000-8000-00000abc1234"),
            TaskRequest(repository, f"Add a dark mode, not {CANARY}"),
            BRANCH,
            "",
            TaskStatus.RUNNING,
            datetime(2026, 3, 1, tzinfo=UTC),
        ),
        change=Change(base, tip, tip, 1, (ChangedFile("theme.py", 1, 0),)),
        report=AgentReport(
            AgentOutcome.DONE, "s", "Add dark mode", CANARY, "", "", Usage(), timedelta(0)
        ),
        verdict=Verdict(
            VerdictState.PASSED, "make test", "task", 0, timedelta(seconds=1), CANARY, tip
        ),
        rounds=1,
        usage=Usage(),
    )


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[PullRequests]:
    store = await Store.open(tmp_path / "data" / "codebot.sqlite3")
    yield store.pull_requests
    await store.close()


@pytest.fixture
def scene(tmp_path: Path, records: PullRequests) -> Iterator[Scene]:
    clock, redactor = SleepClock(), Redactor([CANARY])
    origin, checkout, tip = collected(tmp_path)
    github = FakeGitHub(now=clock)
    found = github.add_repository("octo/repo", folder=origin)
    with github.serve():
        host = github.web_url.removeprefix("http://")
        url = f"{github.web_url}/octo/repo.git"
        repository = Repository(ForgeKind.GITHUB, host, "octo", "repo", url)
        yield Scene(
            github,
            clock,
            found,
            checkout,
            work_of(repository, checkout.base_commit, tip),
            Publisher(Git(home=tmp_path / "git-home"), records, redactor, clock),
            redactor,
        )


async def test_the_branch_is_pushed_before_the_pull_request_is_opened(scene: Scene) -> None:
    async with scene.forge() as forge:
        published = await scene.publish(forge)
    assert scene.is_published_once()
    kinds = [effect.kind for effect in scene.effects.begun]
    assert kinds == [EffectKind.BRANCH, EffectKind.PULL_REQUEST]
    assert published.commit == scene.work.change.tip_commit
    assert published.pull_request.url.endswith("/octo/repo/pull/1")
    url = scene.work.task.request.repository.url
    record = await scene.publisher.pull_requests.find(url, BRANCH)
    assert record is not None
    assert record.pull_request == published.pull_request
    assert CANARY not in scene.found.pulls[0].title + scene.found.pulls[0].body


async def test_publishing_twice_changes_nothing(scene: Scene) -> None:
    async with scene.forge() as forge:
        first = await scene.publish(forge)
        assert await scene.publish(forge) == first
    assert scene.is_published_once()


async def test_work_that_does_not_hold_is_a_draft(scene: Scene) -> None:
    failed = replace(scene.work.verdict, state=VerdictState.FAILED, exit_code=2)
    scene.work = replace(scene.work, verdict=failed)
    async with scene.forge() as forge:
        published = await scene.publish(forge)
    assert published.pull_request.draft
    assert scene.found.pulls[0].draft


async def test_a_token_that_git_is_refused_with_is_replaced(scene: Scene) -> None:
    async with scene.forge() as forge:
        await forge.write_access(scene.work.task.request.repository)
        scene.github.world.tokens.clear()
        await scene.publish(forge)
    assert scene.is_published_once()


async def test_a_reading_token_cannot_push(scene: Scene) -> None:
    scene.github.world.installations[0].permissions["contents"] = "read"
    async with scene.forge() as forge:
        with pytest.raises(ForgeForbidden, match="contents: write"):
            await scene.publish(forge)


CALLS = [("GET", "info/refs"), ("POST", "git-receive-pack"), ("POST", "/pulls$")]


@pytest.mark.parametrize("call", CALLS, ids="".join)
@pytest.mark.parametrize("kind", ["401", "403", "429", "500", "502", "html", "empty", "cut"])
async def test_one_fault_anywhere_ends_in_one_branch_and_one_pull_request(
    scene: Scene, kind: str, call: tuple[str, str]
) -> None:
    fault = scene.github.fail_next(kind, *call)
    async with scene.forge() as forge:
        await scene.persevere(forge)
    assert fault.hits == 1
    assert scene.is_published_once()


@pytest.mark.parametrize("call", CALLS[1:], ids="".join)
@pytest.mark.parametrize("kind", ["502", "html", "cut"])
async def test_what_took_effect_and_failed_is_not_done_twice(
    scene: Scene, kind: str, call: tuple[str, str]
) -> None:
    scene.github.fail_next(kind, *call, after=True)
    async with scene.forge() as forge:
        await scene.persevere(forge)
    assert scene.is_published_once()
