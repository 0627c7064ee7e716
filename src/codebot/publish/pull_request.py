"""The last step: the branch is pushed and the pull request opened, once, whatever came between."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from codebot.domain.effect import Effect, EffectKind, Permit
from codebot.domain.event import branch_pushed
from codebot.domain.outcome import Change, Checkout, NewPullRequest, Publication, PullRequest
from codebot.domain.ports import Forge
from codebot.domain.repository import RemoteAccess, Repository
from codebot.domain.task import Task
from codebot.errors import ForgeForbidden, ForgeUnauthorized
from codebot.git.git import Git
from codebot.lfs.objects import ObjectStore
from codebot.lfs.transfers import DIRECT, LargeFileTransfers
from codebot.publish import wording
from codebot.publish.branch import commit_there, push_branch, require_push
from codebot.publish.wording import Work
from codebot.store.effects import RunEffects
from codebot.store.pull_requests import PullRequestRecord, PullRequests
from codebot.store.steps import Noted, TaskChanges

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Puts a run's work where people see it. Doing it twice changes nothing."""

    git: Git
    pull_requests: PullRequests
    redact: Callable[[str], str]
    now: Callable[[], datetime]
    transfers: LargeFileTransfers = DIRECT

    async def require_push(
        self, forge: Forge, checkout: Checkout, task: Task, effects: RunEffects
    ) -> None:
        """Make sure, before anything is paid, that the task's branch could be pushed now.

        Raises what `publish` would raise for a credential that is refused.
        """
        repository = task.request.repository

        async def ask() -> None:
            access = await forge.write_access(repository)
            await require_push(
                self.git,
                repository=checkout.repository,
                commit=checkout.base_commit,
                branch=task.branch_name,
                access=access,
                expected=await self._left_at(task, access, effects),
            )

        await _with_fresh_access(ask, forge, repository)

    async def publish(
        self, forge: Forge, checkout: Checkout, work: Work, effects: RunEffects
    ) -> Publication:
        """Push the branch, open the pull request or find it open, and keep its record."""
        repository = work.task.request.repository
        new = wording.pull_request(work, base=checkout.base_branch, redact=self.redact)

        async def look() -> PullRequest | None:
            found = await forge.find_pull_request(repository, new.head)
            return None if found is None or found.state == "closed" else found

        async def make(permit: Permit) -> PullRequest:
            return await _with_fresh_access(
                lambda: forge.open_pull_request(permit, repository, new, work.task.id),
                forge,
                repository,
            )

        await self.push(forge, checkout, work.task, work.change, effects)
        effect = Effect(EffectKind.PULL_REQUEST, new.head)
        opened = await effects.once(effect, PullRequest, look=look, make=make)
        await self.pull_requests.add(self._record(work, new, opened))
        return Publication(work.task.branch_name, work.change.tip_commit, opened)

    async def push(
        self, forge: Forge, checkout: Checkout, task: Task, change: Change, effects: RunEffects
    ) -> None:
        """Push a change as the task's branch; fine when it is there already.

        What was pushed there for the task before is replaced, anybody else's commit never. What new
        pointers of Git LFS name goes first: nobody may find a branch without it.
        """
        repository, tip = task.request.repository, change.tip_commit

        async def look() -> str | None:
            access = await forge.write_access(repository)
            there = await commit_there(self.git, branch=task.branch_name, access=access)
            return there if there == tip else None

        async def push(permit: Permit) -> str:
            access = await forge.write_access(repository)
            if change.large_objects:
                own = ObjectStore.of(checkout.repository)
                await self.transfers.send(permit, change.large_objects, access, own)
            await push_branch(
                self.git,
                permit,
                repository=checkout.repository,
                commit=tip,
                branch=task.branch_name,
                access=access,
                expected=await self._left_at(task, access, effects, besides=tip),
            )
            return tip

        pushed = branch_pushed(task.branch_name, change)
        await effects.once(
            Effect(EffectKind.BRANCH, f"{task.branch_name}@{tip}"),
            str,
            look=look,
            make=lambda permit: _with_fresh_access(lambda: push(permit), forge, repository),
            note=lambda _: Noted(TaskChanges(branch_pushed=True), [pushed]),
        )

    async def _left_at(
        self, task: Task, access: RemoteAccess, effects: RunEffects, *, besides: str = ""
    ) -> str | None:
        """Say at which commit the branch is, if this task put it there; None if it must be new.

        Nobody is asked where nothing was pushed for the task but, perhaps, `besides`.
        """
        ours = {name.rpartition("@")[2] for name in await effects.names(EffectKind.BRANCH)}
        if not ours - {besides}:
            return None
        there = await commit_there(self.git, branch=task.branch_name, access=access)
        return there if there in ours else None

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
