"""A forge without a server: the repository is a folder, a pull request is a record in the store."""

import os
import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from codebot.domain.effect import Permit
from codebot.domain.outcome import NewPullRequest, PullRequest
from codebot.domain.ports import Finding
from codebot.domain.repository import Identity, RemoteAccess, Repository
from codebot.domain.task import TaskId
from codebot.errors import ForgeForbidden, ForgeNotFound, GitFailed, PullRequestRefused
from codebot.forge.local.refs import Refs, parse_refs
from codebot.git.git import Git
from codebot.store.pull_requests import PullRequestRecord, PullRequests

IDENTITY = Identity(name="codebot", email="codebot@localhost", login="codebot")


class LocalForge:
    """Repositories below folders of this machine, for trying Codebot out and for `codebot run`.

    `public_url` is where the service's own pages are ("" when no server runs): the page of a
    pull request is one of them. Without it, the "url" is the command that shows the change.
    """

    name = "local"

    def __init__(
        self,
        *,
        git: Git,
        pull_requests: PullRequests,
        now: Callable[[], datetime],
        public_url: str = "",
    ) -> None:
        self._git = git
        self._pull_requests = pull_requests
        self._now = now
        self._public_url = public_url.rstrip("/")

    async def check(self) -> Sequence[Finding]:
        """Say that there is nothing to be set up."""
        return (Finding("local forge", ok=True, detail="needs no credentials"),)

    async def identity(self) -> Identity:
        """Give the same author on every machine."""
        return IDENTITY

    async def default_branch(self, repository: Repository) -> str:
        """Give the branch that the folder's HEAD is on.

        Raises `ForgeNotFound` when the folder is no repository, has no commit, or is on none.
        """
        refs = await self._refs(repository, "HEAD")
        if "HEAD" not in refs.commits:
            raise ForgeNotFound(
                f"The repository {repository.url} has no commits on its current branch.",
                hint="Commit something there first, or name a base_branch.",
            )
        if refs.head_branch is None:
            raise ForgeNotFound(
                f"The repository {repository.url} is not on a branch (its HEAD is detached).",
                hint="Check a branch out there, or name a base_branch.",
            )
        return refs.head_branch

    async def read_access(self, repository: Repository) -> RemoteAccess:
        """Give the folder itself."""
        return RemoteAccess(url=str(_folder(repository)))

    async def source_access(self, repository: Repository) -> RemoteAccess:
        """Give the folder itself."""
        return await self.read_access(repository)

    async def write_access(self, repository: Repository) -> RemoteAccess:
        """Give the folder itself; raises `ForgeForbidden` where this user may not write to it."""
        folder = _folder(repository)
        for part in _written_to(folder):
            if not os.access(part, os.W_OK | os.X_OK):
                raise ForgeForbidden(
                    f"The repository {folder} takes no branch of ours: {part} cannot be written.",
                    hint="Let the service's user write to it.",
                )
        return await self.read_access(repository)

    async def forget_access(self, repository: Repository) -> None:
        """Do nothing: a folder has no token."""

    async def find_pull_request(self, repository: Repository, head: str) -> PullRequest | None:
        """Give the record of a branch's pull request, or None."""
        record = await self._pull_requests.find(repository.url, head)
        return None if record is None else record.pull_request

    async def open_pull_request(
        self, permit: Permit, repository: Repository, new: NewPullRequest, task_id: TaskId
    ) -> PullRequest:
        """Write the record, or give the one that is there already.

        Raises `PullRequestRefused` where GitHub would: a missing branch, or nothing between them.
        """
        del permit
        found = await self.find_pull_request(repository, new.head)
        if found is not None:
            return found
        await self._require_difference(repository, new)
        unnumbered = PullRequest(
            0, self._url(repository, new, task_id), state="open", draft=new.draft
        )
        record = self._record(repository, new, task_id, unnumbered)
        return (await self._pull_requests.open(record)).pull_request

    def branch_url(self, repository: Repository, branch: str) -> str:
        """Give nothing: nobody serves a page for a branch here."""
        del repository, branch
        return ""

    def _url(self, repository: Repository, new: NewPullRequest, task_id: TaskId) -> str:
        if self._public_url:
            return f"{self._public_url}/tasks/{task_id}/pull-request"
        span = shlex.quote(f"{new.base}..{new.head}")
        return f"git -C {shlex.quote(str(_folder(repository)))} log -p {span}"

    def _record(
        self, repository: Repository, new: NewPullRequest, task_id: TaskId, opened: PullRequest
    ) -> PullRequestRecord:
        return PullRequestRecord(
            task_id=task_id,
            repository_url=repository.url,
            pull_request=opened,
            head=new.head,
            base=new.base,
            title=new.title,
            body=new.body,
            opened_at=self._now(),
        )

    async def _require_difference(self, repository: Repository, new: NewPullRequest) -> None:
        base, head = (f"refs/heads/{branch}" for branch in (new.base, new.head))
        commits = (await self._refs(repository, base, head)).commits
        for branch, ref in ((new.base, base), (new.head, head)):
            if ref not in commits:
                raise PullRequestRefused(f"The branch {branch} is not in {repository.url}.")
        if commits[base] == commits[head]:
            raise PullRequestRefused(f"There are no commits between {new.base} and {new.head}.")

    async def _refs(self, repository: Repository, *names: str) -> Refs:
        """Ask the folder as one asks a remote: nothing in it is executed."""
        folder = _folder(repository)
        try:
            listing = await self._git.run(
                "ls-remote", "--symref", "--", str(folder), *names, access=RemoteAccess(str(folder))
            )
        except GitFailed as error:
            raise ForgeNotFound(
                f"The folder {folder} cannot be read as a Git repository.",
                hint="Check that it exists, is a repository, and may be read by the service.",
            ) from error
        return parse_refs(listing.stdout.decode(errors="replace"))


def _written_to(folder: Path) -> list[Path]:
    """Give where a push writes to, as far as it is seen without git: not in a linked worktree."""
    own = folder / ".git" if (folder / ".git").is_dir() else folder
    return [part for part in (own / "objects", own / "refs" / "heads") if part.is_dir()]


def _folder(repository: Repository) -> Path:
    """Give the folder of a local repository; another kind of one is a mistake in the wiring."""
    if repository.path is None:
        raise ForgeNotFound(f"{repository.url} is not a folder on this machine.")
    return repository.path
