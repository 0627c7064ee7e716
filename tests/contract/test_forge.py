"""What every forge promises, asked of each: GitHub as App and as person, Enterprise, local."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from codebot.domain.outcome import NewPullRequest
from codebot.domain.ports import Forge
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.errors import ForgeNotFound, PullRequestRefused
from codebot.forge.github.connect import AppCredential, TokenCredential, connect
from codebot.forge.local.forge import LocalForge
from codebot.git.git import Git
from codebot.store.store import Store
from codebot.telemetry.redaction import Redactor
from fakes.forge import MemoryForge
from fakes.git_http import git
from fakes.github import FakeGitHub, private_key
from fakes.github.clock import SleepClock
from fakes.permits import a_permit

TASK = TaskId("0193c0de-0000-7000-8000-00000abc1234")
HEAD = "u/codebot/abc1234/dark-mode"


@dataclass
class Case:
    """A forge with one repository, whose default branch is `trunk`.

    `push` makes a branch with a commit of its own, `branch` one without.
    """

    forge: Forge
    repository: Repository
    missing: Repository
    push: Callable[[str], None]
    branch: Callable[[str], None]


async def on_github(stack: AsyncExitStack, flavour: str, *, person: bool) -> Case:
    clock = SleepClock()
    github = stack.enter_context(FakeGitHub(flavour, now=clock).serve())
    found = github.add_repository("octo/repo", default_branch="trunk")
    found.branches = {"trunk": "0" * 40}
    credential: AppCredential | TokenCredential = (
        TokenCredential(Secret(github.add_person()))
        if person
        else AppCredential(github.app_id, Secret(private_key()))
    )
    forge = connect(
        credential,
        api_url=github.api_url,
        web_url=github.web_url,
        now=clock,
        sleep=clock.sleep,
        redactor=Redactor(),
    )
    stack.push_async_callback(forge.close)

    def named(name: str) -> Repository:
        host = github.web_url.removeprefix("http://")
        return Repository(ForgeKind.GITHUB, host, "octo", name, f"{github.web_url}/octo/{name}.git")

    def push(branch: str) -> None:
        found.branches[branch] = f"{len(found.branches):040d}"

    def same(branch: str) -> None:
        found.branches[branch] = found.branches["trunk"]

    return Case(forge, named("repo"), named("missing"), push, same)


async def on_this_machine(stack: AsyncExitStack, tmp_path: Path) -> Case:
    store = await Store.open(tmp_path / "store.db")
    stack.push_async_callback(store.close)
    forge = LocalForge(
        git=Git(home=tmp_path / "git-home"),
        pull_requests=store.pull_requests,
        now=SleepClock(),
        public_url="http://127.0.0.1:5000",
    )
    folder = tmp_path / "my repo"
    git("init", "-q", "-b", "trunk", str(folder))
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=folder)

    def local(path: Path) -> Repository:
        return Repository(ForgeKind.LOCAL, "localhost", "local", path.name, str(path), path)

    def push(branch: str) -> None:
        git("checkout", "-q", "-b", branch, "trunk", cwd=folder)
        git("commit", "-q", "--allow-empty", "-m", branch, cwd=folder)
        git("checkout", "-q", "trunk", cwd=folder)

    def same(branch: str) -> None:
        git("branch", branch, "trunk", cwd=folder)

    return Case(forge, local(folder), local(tmp_path / "missing"), push, same)


def in_memory() -> Case:
    forge = MemoryForge(default_branch="trunk")
    url = "https://memory.example/octo/repo.git"
    repository = Repository(ForgeKind.GITHUB, "memory.example", "octo", "repo", url)
    missing = Repository(ForgeKind.GITHUB, "memory.example", "octo", "missing", url)
    forge.missing.add("octo/missing")

    def push(branch: str) -> None:
        forge.branches[branch] = f"commit of {branch}"

    def same(branch: str) -> None:
        forge.branches[branch] = forge.branches["trunk"]

    return Case(forge, repository, missing, push, same)


@asynccontextmanager
async def a_case(kind: str, tmp_path: Path) -> AsyncIterator[Case]:
    async with AsyncExitStack() as stack:
        match kind:
            case "app":
                yield await on_github(stack, "api.github.com", person=False)
            case "token":
                yield await on_github(stack, "api.github.com", person=True)
            case "enterprise":
                yield await on_github(stack, "ghes-3.19", person=False)
            case "local":
                yield await on_this_machine(stack, tmp_path)
            case _:
                yield in_memory()


@pytest.fixture(params=["app", "token", "enterprise", "local", "memory"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with a_case(request.param, tmp_path) as made:
        yield made


def new(head: str = HEAD, base: str = "trunk", *, draft: bool = False) -> NewPullRequest:
    return NewPullRequest("Add dark mode", "What changed", head, base, draft)


async def test_the_bot_has_a_name_an_address_and_a_login(case: Case) -> None:
    identity = await case.forge.identity()
    assert identity.name
    assert "@" in identity.email
    assert identity.login
    assert await case.forge.identity() == identity


async def test_a_forge_that_is_set_up_finds_nothing_wrong(case: Case) -> None:
    findings = await case.forge.check()
    assert findings
    assert all(finding.ok for finding in findings)


async def test_the_default_branch_is_the_repositorys_own(case: Case) -> None:
    assert await case.forge.default_branch(case.repository) == "trunk"


async def test_a_missing_repository_is_not_found(case: Case) -> None:
    with pytest.raises(ForgeNotFound):
        await case.forge.default_branch(case.missing)


async def test_the_url_for_git_holds_no_credential(case: Case) -> None:
    for access in (
        await case.forge.read_access(case.repository),
        await case.forge.write_access(case.repository),
    ):
        assert access.url == case.repository.url
        assert access.token is None or access.token.reveal() not in access.url + repr(access)


async def test_access_can_be_had_again_after_it_was_forgotten(case: Case) -> None:
    first = await case.forge.read_access(case.repository)
    await case.forge.forget_access(case.repository)
    assert (await case.forge.read_access(case.repository)).url == first.url


async def test_a_branch_has_no_pull_request_before_there_is_one(case: Case) -> None:
    assert await case.forge.find_pull_request(case.repository, HEAD) is None


@pytest.mark.parametrize("draft", [False, True], ids=["ready", "draft"])
async def test_what_was_opened_is_found(case: Case, *, draft: bool) -> None:
    case.push(HEAD)
    opened = await case.forge.open_pull_request(a_permit(), case.repository, new(draft=draft), TASK)
    assert (opened.state, opened.draft) == ("open", draft)
    assert opened.url
    assert await case.forge.find_pull_request(case.repository, HEAD) == opened


async def test_opening_twice_gives_the_same(case: Case) -> None:
    case.push(HEAD)
    first = await case.forge.open_pull_request(a_permit(), case.repository, new(), TASK)
    assert await case.forge.open_pull_request(a_permit(), case.repository, new(), TASK) == first


async def test_opening_at_once_gives_the_same(case: Case) -> None:
    case.push(HEAD)
    opened = await asyncio.gather(
        *(case.forge.open_pull_request(a_permit(), case.repository, new(), TASK) for _ in range(5))
    )
    assert len(set(opened)) == 1


async def test_every_branch_has_a_pull_request_of_its_own(case: Case) -> None:
    for branch in (HEAD, "u/codebot/def5678/light-mode"):
        case.push(branch)
    first = await case.forge.open_pull_request(a_permit(), case.repository, new(), TASK)
    second = await case.forge.open_pull_request(
        a_permit(), case.repository, new("u/codebot/def5678/light-mode"), TASK
    )
    assert first.number != second.number


async def test_a_missing_base_is_refused(case: Case) -> None:
    case.push(HEAD)
    with pytest.raises(PullRequestRefused, match="gone"):
        await case.forge.open_pull_request(a_permit(), case.repository, new(base="gone"), TASK)


async def test_a_branch_that_was_not_pushed_is_refused(case: Case) -> None:
    with pytest.raises(PullRequestRefused, match=HEAD):
        await case.forge.open_pull_request(a_permit(), case.repository, new(), TASK)


async def test_nothing_between_the_branches_is_refused(case: Case) -> None:
    case.branch(HEAD)
    with pytest.raises(PullRequestRefused):
        await case.forge.open_pull_request(a_permit(), case.repository, new(), TASK)
