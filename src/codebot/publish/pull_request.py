"""The last step: the branch is pushed and the pull request opened, once, whatever came between."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from codebot.domain.outcome import Change, Checkout, NewPullRequest, Publication, PullRequest
from codebot.domain.ports import Forge
from codebot.domain.repository import Repository
from codebot.domain.task import Task
from codebot.errors import ForgeForbidden, ForgeUnauthorized
from codebot.git.git import Git
from codebot.lfs.objects import ObjectStore
from codebot.lfs.transfers import DIRECT, LargeFileTransfers
from codebot.publish import wording
from codebot.publish.branch import push_branch, require_push
from codebot.publish.wording import Work
from codebot.store.pull_requests import PullRequestRecord, PullRequests

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Puts a run's work where people see it. Doing it twice changes nothing."""

    git: Git
    pull_requests: PullRequests
    redact: Callable[[str], str]
    now: Callable[[], datetime]
    transfers: LargeFileTransfers = DIRECT

    async def require_push(self, forge: Forge, checkout: Checkout, task: Task) -> None:
        """Make sure, before anything is paid, that the task's branch could be pushed now.

        Raises what `publish` would raise for a credential that is refused.
        """
        repository = task.request.repository

        async def ask() -> None:
            await require_push(
                self.git,
                repository=checkout.repository,
                commit=checkout.base_commit,
                branch=task.branch_name,
                access=await forge.write_access(repository),
            )

        await _with_fresh_access(ask, forge, repository)

    async def publish(
        self,
        forge: Forge,
        checkout: Checkout,
        work: Work,
        *,
        on_pushed: Callable[[], Awaitable[None]],
        expected: str | None = None,
    ) -> Publication:
        """Push the branch, tell `on_pushed`, open the pull request or find it open, and keep it.

        `expected` is the commit that the branch was pushed at before, None when it is new.
        """
        repository = work.task.request.repository
        new = wording.pull_request(work, base=checkout.base_branch, redact=self.redact)

        async def open_it() -> PullRequest:
            return await forge.open_pull_request(repository, new, work.task.id)

        await self.push(forge, checkout, work.task, work.change, expected=expected)
        await on_pushed()
        opened = await _with_fresh_access(open_it, forge, repository)
        await self.pull_requests.add(self._record(work, new, opened))
        return Publication(work.task.branch_name, work.change.tip_commit, opened)

    async def push(
        self,
        forge: Forge,
        checkout: Checkout,
        task: Task,
        change: Change,
        *,
        expected: str | None = None,
    ) -> None:
        """Push a change as the task's branch; fine when it is there already.

        What new pointers of Git LFS name goes first: nobody may find a branch without it.
        """
        repository = task.request.repository

        async def push() -> None:
            access = await forge.write_access(repository)
            if change.large_objects:
                own = ObjectStore.of(checkout.repository)
                await self.transfers.send(change.large_objects, access, own)
            await push_branch(
                self.git,
                repository=checkout.repository,
                commit=change.tip_commit,
                branch=task.branch_name,
                access=access,
                expected=expected,
            )

        await _with_fresh_access(push, forge, repository)

    def _record(self, work: Work, new: NewPullRequest, opened: PullRequest) -> PullRequestRecord:
        return PullRequestRecord(
            task_id=work.task.id,
            repository_url=work.task.request.repository.url,
            pull_request=opened,
            head=new.head,
            base=new.base,
            title=new.title,
            body=new.body,
            opened_at=self.now(),
        )


async def _with_fresh_access(
    call: Callable[[], Awaitable[T]], forge: Forge, repository: Repository
) -> T:
    """Do it; when the credential is refused, do it once more with a new one.

    A token may have been revoked, or its permissions changed, since it was made.
    """
    try:
        return await call()
    except (ForgeUnauthorized, ForgeForbidden):
        await forge.forget_access(repository)
        return await call()
