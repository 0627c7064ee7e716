"""The last step: the branch is pushed and the pull request opened, once, whatever came between."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from codebot.domain.outcome import Checkout, Publication
from codebot.domain.ports import Forge
from codebot.domain.repository import RemoteAccess
from codebot.errors import ForgeUnauthorized
from codebot.git.git import Git
from codebot.publish import wording
from codebot.publish.branch import push_branch
from codebot.publish.wording import Work
from codebot.store.pull_requests import PullRequestRecord, PullRequests


@dataclass(frozen=True, slots=True)
class Publisher:
    """Puts a run's work where people see it. Doing it twice changes nothing."""

    git: Git
    pull_requests: PullRequests
    redact: Callable[[str], str]
    now: Callable[[], datetime]

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
        await self._push(forge, checkout, work, expected)
        await on_pushed()
        new = wording.pull_request(work, base=checkout.base_branch, redact=self.redact)
        repository = work.task.request.repository
        opened = await forge.open_pull_request(repository, new, work.task.id)
        await self.pull_requests.add(
            PullRequestRecord(
                task_id=work.task.id,
                repository_url=repository.url,
                pull_request=opened,
                head=new.head,
                base=new.base,
                title=new.title,
                body=new.body,
                opened_at=self.now(),
            )
        )
        return Publication(work.task.branch_name, work.change.tip_commit, opened)

    async def _push(
        self, forge: Forge, checkout: Checkout, work: Work, expected: str | None
    ) -> None:
        """Push; a token that git is refused with is replaced, once."""
        repository = work.task.request.repository

        async def push(access: RemoteAccess) -> None:
            await push_branch(
                self.git,
                repository=checkout.repository,
                commit=work.change.tip_commit,
                branch=work.task.branch_name,
                access=access,
                expected=expected,
            )

        try:
            await push(await forge.write_access(repository))
        except ForgeUnauthorized:
            await forge.forget_access(repository)
            await push(await forge.write_access(repository))
