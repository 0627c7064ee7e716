"""Push the branch of a task, exactly once as far as the world can see."""

from pathlib import Path

from codebot.domain.repository import RemoteAccess
from codebot.git.git import Git


async def push_branch(
    git: Git,
    *,
    repository: Path,
    commit: str,
    branch: str,
    access: RemoteAccess,
    expected: str | None,
) -> None:
    """Make `branch` point at `commit` on the remote, from the trusted bare `repository`."""
    raise NotImplementedError
