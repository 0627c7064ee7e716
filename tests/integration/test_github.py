"""The GitHub client against a GitHub that keeps to its own description."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest

from codebot.domain.outcome import NewPullRequest
from codebot.domain.repository import ForgeKind, RemoteAccess, Repository
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.errors import (
    ForgeBroken,
    ForgeError,
    ForgeForbidden,
    ForgeLimited,
    ForgeNotFound,
    ForgeUnauthorized,
    PullRequestRefused,
)
from codebot.forge.github.connect import AppCredential, TokenCredential, connect
from codebot.forge.github.forge import GitHubForge
from codebot.telemetry.redaction import Redactor
from fakes.github import FakeGitHub, Pull, private_key
from fakes.github import Repository as FakeRepository
from fakes.github.clock import SleepClock
from fakes.github.description import describe
from fakes.github.operations import OPERATIONS
from fakes.github.server import FLAVOURS
from fakes.permits import a_permit

TASK = TaskId("0193c0de-0000-7000-8000-00000abc1234")
HEAD = "u/codebot/abc1234/dark-mode"
NEW = NewPullRequest("Add dark mode", "Body", HEAD, "main", draft=False)


def as_repository(github: FakeGitHub, found: FakeRepository) -> Repository:
    host = github.web_url.removeprefix("http://")
    url = f"{github.web_url}/{found.full_name}.git"
    return Repository(ForgeKind.GITHUB, host, found.owner, found.name, url)


@dataclass
class Scene:
    """A GitHub with one repository that has the task's branch, and a forge that speaks to it."""

    github: FakeGitHub
    clock: SleepClock
    found: FakeRepository
    redactor: Redactor

    @property
    def repository(self) -> Repository:
        return as_repository(self.github, self.found)

    @asynccontextmanager
    async def forge(
        self, *, token: str | None = None, installation_id: int | None = None, silence: float = 10
    ) -> AsyncIterator[GitHubForge]:
        credential: AppCredential | TokenCredential = AppCredential(
            self.github.app_id, Secret(private_key()), installation_id
        )
        if token is not None:
            credential = TokenCredential(Secret(token))
        forge = connect(
            credential,
            api_url=self.github.api_url,
            web_url=self.github.web_url,
            now=self.clock,
            sleep=self.clock.sleep,
            redactor=self.redactor,
            silence=silence,
        )
        try:
            yield forge
        finally:
            await forge.close()

    async def persevere(self, forge: GitHubForge) -> int:
        """Do what a task does, again after every failure that passes; say how often it took."""
        for attempt in range(1, 6):
            try:
                await forge.identity()
                await forge.default_branch(self.repository)
                await forge.read_access(self.repository)
                await forge.write_access(self.repository)
                await forge.open_pull_request(a_permit(), self.repository, NEW, TASK)
            except ForgeError as error:
                self.clock.pass_by(error.retry_after or timedelta(0))
            else:
                return attempt
        pytest.fail("the pull request was never opened")


@pytest.fixture(params=sorted(FLAVOURS))
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    yield from make_scene(request.param)


@pytest.fixture
def public() -> Iterator[Scene]:
    yield from make_scene("api.github.com")


def make_scene(flavour: str) -> Iterator[Scene]:
    clock = SleepClock()
    github = FakeGitHub(flavour, now=clock)
    found = github.add_repository("octo/repo")
    found.branches[HEAD] = "0" * 39 + "2"
    with github.serve():
        yield Scene(github, clock, found, Redactor())


def test_the_fake_answers_every_operation_that_is_described() -> None:
    for flavour, prefix in FLAVOURS.items():
        assert set(describe(flavour, prefix).operations) == set(OPERATIONS)


@pytest.mark.parametrize(
    ("path", "violation"),
    [("/unheard/of", "is not in the description"), ("/repos/octo/repo/pulls", "not valid for")],
)
def test_a_call_that_breaks_the_description_fails_the_test(path: str, violation: str) -> None:
    def call() -> None:
        with FakeGitHub().serve() as github:
            httpx.post(f"{github.api_url}{path}", json={"head": 1, "base": "main"})

    with pytest.raises(AssertionError, match=violation):
        call()


# --- The way of a task -----------------------------------------------------------------------


async def test_a_task_takes_few_calls(scene: Scene) -> None:
    async with scene.forge() as forge:
        assert await scene.persevere(forge) == 1
    assert [pull.head for pull in scene.found.pulls] == [HEAD]
    assert len(scene.github.calls) == 10


async def test_the_bot_is_known_by_its_noreply_address(scene: Scene) -> None:
    async with scene.forge() as forge:
        identity = await forge.identity()
        await forge.identity()
    assert identity.login == identity.name == "codebot[bot]"
    assert identity.email == "900+codebot[bot]@users.noreply.127.0.0.1"
    assert scene.github.made("GET", "/app$") == 1


async def test_a_person_is_the_identity_of_their_token(public: Scene) -> None:
    token = public.github.add_person("alice")
    async with public.forge(token=token) as forge:
        identity = await forge.identity()
        assert await public.persevere(forge) == 1
    assert identity.login == "alice"
    assert public.github.made("POST", "access_tokens") == 0


async def test_a_token_is_narrowed_to_its_repository_and_use(scene: Scene) -> None:
    other = scene.github.add_repository("octo/other")
    async with scene.forge() as forge:
        read = await forge.read_access(scene.repository)
        write = await forge.write_access(scene.repository)
    assert read.token is not None
    assert write.token is not None
    reading = scene.github.world.tokens[read.token.reveal()]
    writing = scene.github.world.tokens[write.token.reveal()]
    assert reading.permissions == {"metadata": "read", "contents": "read"}
    assert reading.repositories == writing.repositories == {scene.found.id}
    assert not writing.may("contents", "read", other)
    assert read.url == write.url == scene.repository.url


async def test_many_callers_cause_one_token(public: Scene) -> None:
    async with public.forge() as forge:
        await asyncio.gather(*(forge.read_access(public.repository) for _ in range(32)))
    assert public.github.made("POST", "access_tokens") == 1
    assert public.github.made("GET", "installation$") == 1


async def test_a_token_is_renewed_five_minutes_before_its_end(public: Scene) -> None:
    async with public.forge() as forge:
        first = await forge.read_access(public.repository)
        public.clock.pass_by(timedelta(minutes=54))
        assert await forge.read_access(public.repository) == first
        public.clock.pass_by(timedelta(minutes=1, seconds=1))
        assert await forge.read_access(public.repository) != first
    assert public.github.made("POST", "access_tokens") == 2


async def test_a_submodule_is_read_with_a_token_for_it_alone_or_as_anybody_could(
    public: Scene,
) -> None:
    stranger = replace(public.repository, owner="stranger", name="lib", url="https://x/s/lib.git")
    async with public.forge() as forge:
        ours = await forge.source_access(public.repository)
        assert ours.token is not None
        assert ours == await forge.read_access(public.repository)
        assert await forge.source_access(stranger) == RemoteAccess(stranger.url)


async def test_a_forgotten_token_is_not_handed_out_again(public: Scene) -> None:
    async with public.forge() as forge:
        first = await forge.write_access(public.repository)
        await forge.forget_access(public.repository)
        assert await forge.write_access(public.repository) != first


async def test_a_revoked_token_is_replaced_in_passing(public: Scene) -> None:
    async with public.forge() as forge:
        await forge.write_access(public.repository)
        public.github.world.tokens.clear()
        await forge.open_pull_request(a_permit(), public.repository, NEW, TASK)
    assert len(public.found.pulls) == 1


async def test_a_configured_installation_is_not_looked_up(public: Scene) -> None:
    installation = public.github.world.installations[0]
    async with public.forge(installation_id=installation.id) as forge:
        assert await public.persevere(forge) == 1
    assert public.github.made("GET", "/repos/.*/installation$") == 0


# --- Pull requests ---------------------------------------------------------------------------


async def test_the_newest_of_many_pull_requests_is_found_page_by_page(public: Scene) -> None:
    for number in range(1, 251):
        pull = Pull(number, "t", "b", HEAD, "main", draft=False, state="closed", merged=True)
        public.found.pulls.append(pull)
    async with public.forge() as forge:
        newest = await forge.find_pull_request(public.repository, HEAD)
        assert newest is not None
        assert (newest.number, newest.state) == (250, "merged")
        assert await forge.find_pull_request(public.repository, "u/codebot/none") is None


async def test_another_branchs_pull_request_is_never_taken_for_ours(public: Scene) -> None:
    public.found.filters = False
    public.found.pulls.append(Pull(1, "t", "b", "main-2", "main", draft=False))
    async with public.forge() as forge:
        opened = await forge.open_pull_request(a_permit(), public.repository, NEW, TASK)
    assert opened.number == 2


async def test_installations_are_read_to_the_last_page(public: Scene) -> None:
    for number in range(250):
        public.github.install(f"org-{number:03}")
    async with public.forge() as forge:
        finding = (await forge.check())[-1]
    assert finding.ok
    assert "org-249" in finding.detail
    assert public.github.made("GET", "/app/installations$") == 3


NO_DRAFTS = "Draft pull requests are not supported in this repository."


@pytest.mark.parametrize(
    "refusal",
    [
        (NO_DRAFTS,),
        ("Validation Failed", {"resource": "PullRequest", "code": "custom", "message": NO_DRAFTS}),
        ("Validation Failed", {"resource": "PullRequest", "field": "draft", "code": "invalid"}),
    ],
    ids=["message", "structured", "field"],
)
async def test_a_draft_becomes_an_ordinary_one_where_there_are_none(
    scene: Scene, refusal: tuple[object, ...]
) -> None:
    scene.found.drafts = False
    scene.found.draft_refusal = refusal
    draft = NewPullRequest("Half done", "Body", HEAD, "main", draft=True)
    async with scene.forge() as forge:
        opened = await forge.open_pull_request(a_permit(), scene.repository, draft, TASK)
    assert not opened.draft
    assert scene.found.pulls[0].title == "[Draft] Half done"


async def test_a_draft_that_is_refused_for_its_base_is_not_sent_twice(public: Scene) -> None:
    draft = NewPullRequest("t", "b", HEAD, "gone", draft=True)
    async with public.forge() as forge:
        with pytest.raises(PullRequestRefused, match="base: invalid"):
            await forge.open_pull_request(a_permit(), public.repository, draft, TASK)
    assert public.github.made("POST", "/pulls$") == 1


async def test_a_closed_pull_request_is_not_opened_over(public: Scene) -> None:
    public.found.pulls.append(Pull(1, "t", "b", HEAD, "main", draft=False, state="closed"))
    async with public.forge() as forge:
        with pytest.raises(PullRequestRefused, match="was closed"):
            await forge.open_pull_request(a_permit(), public.repository, NEW, TASK)
    assert public.github.made("POST", "/pulls$") == 0


# --- Early refusals --------------------------------------------------------------------------


async def test_a_missing_permission_shows_before_the_agent_is_paid(public: Scene) -> None:
    public.github.world.installations[0].permissions["pull_requests"] = "read"
    async with public.forge() as forge:
        with pytest.raises(ForgeForbidden, match="pull_requests: write"):
            await forge.read_access(public.repository)
        bad = [finding for finding in await forge.check() if not finding.ok]
    assert [finding.name for finding in bad] == ["GitHub App installation"]


async def test_a_suspended_installation_is_named(public: Scene) -> None:
    public.github.world.installations[0].suspended = True
    async with public.forge() as forge:
        with pytest.raises(ForgeUnauthorized, match="suspended"):
            await forge.read_access(public.repository)


async def test_an_archived_repository_takes_no_task(public: Scene) -> None:
    public.found.archived = True
    async with public.forge() as forge:
        with pytest.raises(ForgeForbidden, match="archived"):
            await forge.read_access(public.repository)


async def test_a_person_without_push_rights_takes_no_task(public: Scene) -> None:
    public.found.pushable = False
    async with public.forge(token=public.github.add_person()) as forge:
        with pytest.raises(ForgeForbidden, match="may not push"):
            await forge.read_access(public.repository)


async def test_a_repository_without_the_app_is_not_found(public: Scene) -> None:
    public.github.world.installations.clear()
    async with public.forge() as forge:
        with pytest.raises(ForgeNotFound) as caught:
            await forge.read_access(public.repository)
    assert "installed" in caught.value.hint


async def test_a_repository_outside_of_the_installation_is_forbidden(public: Scene) -> None:
    public.github.world.installations[0].repositories = {"other"}
    installation = public.github.world.installations[0].id
    async with public.forge(installation_id=installation) as forge:
        with pytest.raises(ForgeForbidden, match="octo/repo"):
            await forge.read_access(public.repository)


# --- Redirects -------------------------------------------------------------------------------


async def test_a_renamed_repository_is_followed_to_its_new_name(scene: Scene) -> None:
    old = scene.repository
    scene.found.former_names.add("octo/repo")
    scene.found.name = "renamed"
    async with scene.forge(token=scene.github.add_person()) as forge:
        access = await forge.read_access(old)
        opened = await forge.open_pull_request(a_permit(), old, NEW, TASK)
    assert access.url == f"{scene.github.web_url}/octo/renamed.git"
    assert opened.url.endswith("/octo/renamed/pull/1")


@pytest.mark.parametrize("target", ["http://127.0.0.1.evil.test/x", "http://127.0.0.1:1/x", "//e/"])
async def test_a_token_follows_no_redirect_to_another_host(public: Scene, target: str) -> None:
    public.github.fail_next("redirect", "GET", "/repos/octo/repo$", location=target, times=9)
    async with public.forge(token=public.github.add_person()) as forge:
        with pytest.raises(ForgeBroken, match="another host"):
            await forge.default_branch(public.repository)


# --- Faults ----------------------------------------------------------------------------------

KINDS = ["401", "403", "secondary", "exhausted", "429", "500", "502", "html", "empty", "cut"]
PASSING = {"401", "500", "502", "html", "empty", "cut"}
CALLS = [
    ("GET", "/app$"),
    ("GET", "/app/installations$"),
    ("GET", "/users/"),
    ("GET", "/repos/octo/repo/installation$"),
    ("POST", "access_tokens$"),
    ("GET", "/repos/octo/repo$"),
    ("GET", "/pulls$"),
    ("POST", "/pulls$"),
]


@pytest.mark.parametrize("call", CALLS, ids="".join)
@pytest.mark.parametrize("kind", KINDS)
async def test_one_fault_anywhere_still_ends_in_one_pull_request(
    public: Scene, kind: str, call: tuple[str, str]
) -> None:
    fault = public.github.fail_next(kind, *call)
    async with public.forge() as forge:
        attempts = await public.persevere(forge)
    assert fault.hits == 1
    assert len(public.found.pulls) == 1
    is_done_without = (kind, *call) == ("403", "GET", "/users/")
    assert attempts == (1 if kind in PASSING or is_done_without else 2)


@pytest.mark.parametrize("call", [call for call in CALLS if call[0] == "POST"], ids="".join)
@pytest.mark.parametrize("kind", sorted(PASSING - {"401"}))
async def test_a_post_that_took_effect_and_failed_is_not_sent_again(
    public: Scene, kind: str, call: tuple[str, str]
) -> None:
    public.github.fail_next(kind, *call, after=True)
    async with public.forge() as forge:
        assert await public.persevere(forge) == 1
    assert len(public.found.pulls) == 1
    assert public.github.made("POST", "/pulls$") == 1


async def test_a_github_that_stays_down_is_given_up_for_now(public: Scene) -> None:
    public.github.fail_next("502", times=99)
    async with public.forge() as forge:
        with pytest.raises(ForgeBroken) as caught:
            await forge.default_branch(public.repository)
    assert caught.value.retry_after == timedelta(minutes=1)
    assert public.clock.slept == [1.0, 2.0, 5.0]
    assert len(public.github.calls) == 4


async def test_a_github_that_says_nothing_is_not_waited_for(public: Scene) -> None:
    public.github.fail_next("hang", "GET", "/repos/octo/repo$")
    async with public.forge(silence=0.2) as forge:
        assert await forge.default_branch(public.repository) == "main"


async def test_a_github_that_is_not_there_is_named(public: Scene) -> None:
    async with public.forge() as forge:
        forge._client._http.base_url = "http://127.0.0.1:9/"
        with pytest.raises(ForgeBroken, match="cannot be reached") as caught:
            await forge.default_branch(public.repository)
    assert "GITHUB_API_URL" in caught.value.hint


# --- Limits ----------------------------------------------------------------------------------


async def test_a_short_limit_is_sat_out(public: Scene) -> None:
    public.github.fail_next("429", "GET", "/repos/octo/repo$", retry_after=3)
    async with public.forge() as forge:
        assert await forge.default_branch(public.repository) == "main"
    assert public.clock.slept == [3.0]


async def test_a_long_limit_closes_the_gate_for_all_tasks(public: Scene) -> None:
    other = as_repository(public.github, public.github.add_repository("octo/other"))
    public.github.fail_next("429", "GET", "/repos/octo/repo$", retry_after=120)
    async with public.forge() as forge:
        with pytest.raises(ForgeLimited) as caught:
            await forge.default_branch(public.repository)
        assert caught.value.retry_after == timedelta(seconds=120)
        assert caught.value.until == public.clock() + timedelta(seconds=120)
        before = public.github.made("GET", "/repos/octo/other$")
        with pytest.raises(ForgeLimited):
            await forge.default_branch(other)
        assert public.github.made("GET", "/repos/octo/other$") == before
        public.clock.pass_by(timedelta(seconds=121))
        assert await forge.default_branch(public.repository) == "main"


async def test_an_exhausted_limit_is_later_and_not_forbidden(public: Scene) -> None:
    public.github.fail_next("exhausted", "GET", "/repos/octo/repo$")
    async with public.forge() as forge:
        with pytest.raises(ForgeLimited) as caught:
            await forge.default_branch(public.repository)
    assert caught.value.retry_after == timedelta(minutes=30)


# --- Secrets ---------------------------------------------------------------------------------


async def test_no_error_or_repr_shows_a_credential(
    public: Scene, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    async with public.forge() as forge:
        for kind in ("401", "403", "html"):
            for call in CALLS:
                public.github.fail_next(kind, *call, times=5)
                try:
                    await forge.forget_access(public.repository)
                    await forge.open_pull_request(a_permit(), public.repository, NEW, TASK)
                except ForgeError as error:
                    seen += [repr(error), error.sentence, repr(error.__cause__)]
                public.clock.pass_by(timedelta(hours=1))
        public.github.heal()
        access = await forge.read_access(public.repository)
        seen += [repr(vars(part)) for part in (forge, forge._client, forge._login)]
    seen += [repr(access), caplog.text, *capsys.readouterr()]
    text = "\n".join(seen)
    assert not re.search(r"gh[sp]_\d|eyJ[\w-]+\.|BEGIN RSA", text)
    assert access.token is not None
    assert public.redactor(access.token.reveal()) == "***"
    assert len(public.redactor._secrets) <= 3
