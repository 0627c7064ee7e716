"""Push the branch of a task, exactly once as far as the world can see."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from codebot.domain.effect import Permit
from codebot.domain.repository import RemoteAccess
from codebot.errors import CodebotError, ForgeForbidden, ForgeUnauthorized, PushRejected
from codebot.git.git import SOON, Git, GitResult
from codebot.git.trouble import Trouble

PUSH_TIMEOUT = timedelta(minutes=10)
LOOK_TIMEOUT = timedelta(minutes=1)
TRIES = 3
STALE = "stale info"
"""Git's words for a branch that is not where the lease says."""

NOT_STORED = "unpacker error"
"""Git's words for a remote that could not write down what it was sent."""

_REFUSED_CREDENTIAL: dict[Trouble, type[CodebotError]] = {
    Trouble.UNAUTHORIZED: ForgeUnauthorized,
    Trouble.FORBIDDEN: ForgeForbidden,
}
_FINAL = frozenset({*_REFUSED_CREDENTIAL, Trouble.NOT_FOUND, Trouble.REFUSED})
_DOUBTFUL = frozenset({Trouble.TIMED_OUT, Trouble.UNREACHABLE})
"""After these the remote may have the branch or not: it is asked before anything is sent again."""


async def push_branch(
    git: Git,
    permit: Permit,
    *,
    repository: Path,
    commit: str,
    branch: str,
    access: RemoteAccess,
    expected: str | None,
) -> None:
    """Make `branch` point at `commit` on the remote; fine when it does already.

    `expected` is the commit that we pushed there before, None when the branch must be new.
    Anybody else's commit on it is never overwritten: `PushRejected`, as for a protected branch
    and a hook that declines. `retry_after` is set when the network was at fault. Raises
    `ForgeUnauthorized` and `ForgeForbidden` for a credential that is refused.
    """
    push = _Push(git, repository, commit, f"refs/heads/{branch}", access, expected)
    why = ""
    for _ in range(TRIES):
        pushed = await push.send(permit)
        if pushed.code == 0 or await push.is_there():
            return
        if pushed.trouble not in _DOUBTFUL:
            raise push.rejection(pushed)
        why = pushed.words or "the remote did not answer in time"
    raise PushRejected(
        f"The branch {branch} could not be pushed to {access.url}: {why}",
        hint="Check the network and the proxy, then submit the task again.",
        retry_after=SOON,
    )


async def require_push(
    git: Git,
    *,
    repository: Path,
    commit: str,
    branch: str,
    access: RemoteAccess,
    expected: str | None = None,
) -> None:
    """Make sure that the remote would let us push `branch`, as far as it tells beforehand.

    Nothing is sent: git asks for what it would push upon, which a credential that may only read is
    refused, and finds a branch that is elsewhere than `expected`. Raises `ForgeUnauthorized`,
    `ForgeForbidden` and `PushRejected`; a network that fails says nothing.
    """
    push = _Push(git, repository, commit, f"refs/heads/{branch}", access, expected)
    tried = await push.try_out()
    if tried.trouble in _FINAL or _reason(tried.text) == STALE:
        raise push.rejection(tried)


async def commit_there(git: Git, *, branch: str, access: RemoteAccess) -> str | None:
    """Say at which commit the remote has a branch; None where it has none, or does not answer."""
    ref = f"refs/heads/{branch}"
    listed = await git.run(
        *("ls-remote", "--", access.url, ref), access=access, timeout=LOOK_TIMEOUT, check=False
    )
    told = (line.partition("\t") for line in listed.text.split("\n"))
    return next((commit for commit, _, name in told if name == ref), None)


@dataclass(frozen=True, slots=True)
class _Push:
    git: Git
    repository: Path
    commit: str
    ref: str
    access: RemoteAccess
    expected: str | None

    async def send(self, permit: Permit) -> GitResult:
        """Push, unless the branch is elsewhere than where we left it; say what became of it."""
        return await self.git.push(
            permit,
            *self._words,
            cwd=self.repository,
            access=self.access,
            timeout=PUSH_TIMEOUT,
        )

    async def try_out(self) -> GitResult:
        """Do all of a push but send anything; say what would become of it."""
        return await self.git.run(
            *("push", "--dry-run", *self._words),
            cwd=self.repository,
            access=self.access,
            timeout=PUSH_TIMEOUT,
            check=False,
        )

    @property
    def _words(self) -> tuple[str, ...]:
        return (
            *("--porcelain", "--no-verify", f"--force-with-lease={self.ref}:{self._lease}"),
            *("--", self.access.url, f"{self.commit}:{self.ref}"),
        )

    @property
    def _lease(self) -> str:
        """Give what must be there; nothing at all stands for "no such branch"."""
        return self.expected or ""

    async def is_there(self) -> bool:
        """Ask the remote whether the branch is at our commit."""
        branch = self.ref.removeprefix("refs/heads/")
        return await commit_there(self.git, branch=branch, access=self.access) == self.commit

    def rejection(self, pushed: GitResult) -> CodebotError:
        """Say why the remote has not taken the branch."""
        branch, url = self.ref.removeprefix("refs/heads/"), self.access.url
        if pushed.trouble in _REFUSED_CREDENTIAL:
            return _REFUSED_CREDENTIAL[pushed.trouble](
                f"Pushing {branch} to {url} was refused: {pushed.words}",
                hint="Give the App or the token write access to the contents of the repository.",
            )
        reason = _reason(pushed.text)
        if reason == STALE:
            return PushRejected(
                f"The branch {branch} in {url} has commits that Codebot did not make.",
                hint="They are left alone. Rename or delete the branch, then retry.",
            )
        said = "\n".join(filter(None, (reason, pushed.words)))
        if reason == NOT_STORED:
            return PushRejected(
                f"{url} could not store the branch {branch}: {said}",
                hint="Its disk may be full. The branch is pushed again by itself for a while.",
                retry_after=SOON,
            )
        return PushRejected(
            f"{url} does not take the branch {branch}: {said}",
            hint="A rule or a hook there is in the way, or a branch whose name is the beginning "
            "of this one. Let the bot push such branches, then submit the task again.",
        )


def _reason(porcelain: str) -> str:
    """Give the reason of a refused ref: `!<TAB>FROM:TO<TAB>[rejected] (REASON)`."""
    for line in porcelain.splitlines():
        if line.startswith("!\t"):
            return line.rpartition("(")[2].rstrip(")")
    return ""
