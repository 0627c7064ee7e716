"""GitHub as a forge: what the product asks of it, in the product's words."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import structlog

from codebot.domain.effect import Permit
from codebot.domain.outcome import NewPullRequest, PullRequest
from codebot.domain.ports import Finding
from codebot.domain.repository import Identity, RemoteAccess, Repository
from codebot.domain.task import TaskId
from codebot.errors import (
    ForgeBroken,
    ForgeForbidden,
    ForgeNotFound,
    ForgeRefused,
    ForgeUnauthorized,
    PullRequestRefused,
)
from codebot.forge.github.auth import Access, Login
from codebot.forge.github.cache import Cache
from codebot.forge.github.checks import check_login
from codebot.forge.github.client import RETRY_DELAYS, GitHubClient
from codebot.forge.github.models import Pull
from codebot.forge.github.models import Repository as FoundRepository

log = structlog.get_logger(__name__)

LOOKED_UP_FOR = timedelta(minutes=1)
IDENTITY_KEPT = timedelta(hours=1)
DRAFT_PREFIX = "[Draft] "
"""Where drafts are not to be had, the title says it: free private repositories have none."""


class GitHubForge:
    """One GitHub, github.com or an Enterprise Server, as one App or person."""

    name = "github"

    def __init__(
        self,
        client: GitHubClient,
        login: Login,
        *,
        web_url: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._login = login
        self._web_url = web_url.rstrip("/")
        self._now = now
        self._sleep = sleep
        self._repositories = Cache(self._look_up, now=now)
        self._identities = Cache(self._look_identity_up, now=now)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check(self) -> Sequence[Finding]:
        """Say whether the credential is good and may do what is needed."""
        return await check_login(self._login)

    async def identity(self) -> Identity:
        """Give the bot user (or the token's owner) with the address GitHub knows it by."""
        return await self._identities.get("self")

    async def default_branch(self, repository: Repository) -> str:
        """Give the branch that the repository names as its default."""
        return (await self._repositories.get(repository)).default_branch

    async def read_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to fetch; raises early when nothing could be pushed in the end."""
        return await self._access(repository, Access.READ)

    async def source_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to fetch, without a token where the App is not installed."""
        try:
            credential = await self._login.for_repository(repository, Access.READ)
            return RemoteAccess(repository.url, await credential.token())
        except (ForgeNotFound, ForgeForbidden, ForgeUnauthorized):
            return RemoteAccess(repository.url)

    async def write_access(self, repository: Repository) -> RemoteAccess:
        """Give what git needs to push."""
        return await self._access(repository, Access.WRITE)

    async def forget_access(self, repository: Repository) -> None:
        """Drop the cached tokens of a repository, and what is known about it."""
        self._login.forget(repository)
        self._repositories.forget(lambda key: key == repository)

    async def find_pull_request(self, repository: Repository, head: str) -> PullRequest | None:
        """Give the newest pull request of a branch, or None."""
        found = await self._repositories.get(repository)
        credential = await self._login.for_repository(repository, Access.WRITE)
        owner = found.full_name.partition("/")[0]
        pages = self._client.pages(
            f"repos/{found.full_name}/pulls",
            list[Pull],
            credential,
            head=f"{owner}:{head}",
            state="all",
            sort="created",
            direction="desc",
        )
        # Without an owner GitHub ignores the filter and gives every pull request there is:
        # trust the answer, not the question.
        async for page in pages:
            for pull in page:
                if pull.head.ref == head:
                    return pull.pull_request
        return None

    async def open_pull_request(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        """Open it, or give the one that is there already: never two for one branch.

        GitHub may have opened it although it answered with a fault, so every attempt looks
        first. Raises `PullRequestRefused` when GitHub says no to it, or a person closed it.
        """
        delays = iter(RETRY_DELAYS)
        while (found := await self.find_pull_request(repository, new.head)) is None:
            try:
                return await self._send(permit, repository, new, task_id)
            except ForgeBroken as error:
                delay = next(delays, None)
                if delay is None:
                    raise
                log.warning("github.pull_request_doubtful", problem=error.detail)
                await self._sleep(delay)
        return _accept(found)

    def branch_url(self, repository: Repository, branch: str) -> str:
        """Give the page of a branch."""
        return f"{self._web_url}/{repository.full_name}/tree/{quote(branch)}"

    async def _send(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        """Post it once, or once more as an ordinary one where drafts are not to be had.

        GitHub has no one form for the refusal of a draft, so any draft that is refused, and not for
        its branches, is sent as an ordinary one: what else is wrong is refused again.
        """
        try:
            return await self._post(permit, repository, new, task_id)
        except ForgeRefused as refusal:
            if not new.draft or any(map(_is_about_a_branch, refusal.problems)):
                return await self._there_already(repository, new, refusal)
        ordinary = replace(new, title=DRAFT_PREFIX + new.title, draft=False)
        try:
            return await self._post(permit, repository, ordinary, task_id)
        except ForgeRefused as refusal:
            return await self._there_already(repository, new, refusal)

    async def _post(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        found = await self._repositories.get(repository)
        credential = await self._login.for_repository(repository, Access.WRITE)
        body = {
            "title": new.title,
            "body": new.body,
            "head": new.head,
            "base": new.base,
            "draft": new.draft,
            "maintainer_can_modify": True,
        }
        path = f"repos/{found.full_name}/pulls"
        pull = await self._client.post(permit, path, Pull, credential, body)
        log.info("github.pull_request_opened", task_id=task_id, url=pull.html_url)
        return pull.pull_request

    async def _there_already(
        self, repository: Repository, new: NewPullRequest, refusal: ForgeRefused
    ) -> PullRequest:
        """Give the pull request that the refusal may be about, or say that GitHub said no."""
        found = await self.find_pull_request(repository, new.head)
        if found is not None:
            return _accept(found)
        raise PullRequestRefused(
            f"GitHub refused the pull request from {new.head} to {new.base}: {refusal.detail}",
            hint=f"The branch is pushed: open the pull request from {new.head} by hand.",
        ) from refusal

    async def _access(self, repository: Repository, access: Access) -> RemoteAccess:
        credential = await self._login.for_repository(repository, access)
        found = await self._repositories.get(repository)
        return RemoteAccess(f"{self._web_url}/{found.full_name}.git", await credential.token())

    async def _look_up(self, repository: Repository) -> tuple[FoundRepository, datetime]:
        """Ask for a repository; one that is archived can take no work of ours."""
        credential = await self._login.for_repository(repository, Access.READ)
        path = f"repos/{repository.full_name}"
        found = await self._client.get(path, FoundRepository, credential)
        if found.archived:
            raise ForgeForbidden(
                f"The repository {found.full_name} is archived: nothing can be pushed to it.",
                hint="Unarchive it in its settings.",
            )
        if found.disabled:
            raise ForgeForbidden(
                f"GitHub has disabled the repository {found.full_name}.",
                hint="Ask GitHub's support why.",
            )
        self._login.require_push(found)
        return found, self._now() + LOOKED_UP_FOR

    async def _look_identity_up(self, _: str) -> tuple[Identity, datetime]:
        identity = await self._login.identity(urlsplit(self._web_url).hostname or "")
        return identity, self._now() + IDENTITY_KEPT


def _is_about_a_branch(problem: str) -> bool:
    return problem.startswith(("base:", "head:"))


def _accept(found: PullRequest) -> PullRequest:
    """Take the pull request that is there; one that a person closed is their last word."""
    if found.state == "closed":
        raise PullRequestRefused(
            f"The pull request {found.url} of this branch was closed.",
            hint="Reopen it, or submit the task again.",
        )
    return found
