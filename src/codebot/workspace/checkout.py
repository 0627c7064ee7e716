"""A clean tree of one commit, with a disposable `.git` of its own that borrows from the mirror.

Borrowing by `objects/info/alternates` is what keeps the mirror safe: with hard links a write of
the agent corrupted it, with `git worktree` it changed the mirror's settings and refs. No remote is
set up: there is nothing that the agent could push to.

Measured with 236 files: `git clone --shared` 42 ms, `init` and `reset` 31 ms.
"""

from pathlib import Path

from codebot.git.git import Git
from codebot.workspace.as_committed import keep_as_committed
from codebot.workspace.at_once import at_once
from codebot.workspace.folders import TaskFolders, disk_errors

AGENT_SETTINGS = """\
[user]
\tname = agent
\temail = agent@localhost
[gc]
\tauto = 0
"""
"""So that the agent can commit. Its commits are made again, with the bot as their author."""

WORKERS = (("checkout.workers", "0"),)
"""As many as there are cores, from 100 files on: 2,087 files 565 ms instead of 818."""


async def make_repositories(git: Git, folders: TaskFolders, *, mirror: Path, branch: str) -> None:
    """Make the agent's `.git`, on `branch`, and the service's own bare repository, both empty."""
    own = folders.tree / ".git"
    async with at_once() as group:
        group.create_task(_init(git, f"--initial-branch={branch}", str(folders.tree)))
        group.create_task(_init(git, "--bare", str(folders.repository)))
    with disk_errors():
        _borrow_from(mirror, own)
        _borrow_from(mirror, folders.repository)
        with (own / "config").open("a") as config:
            config.write(AGENT_SETTINGS)


async def check_out(git: Git, folders: TaskFolders, commit: str) -> None:
    """Put the branch and the tree at `commit`; no agent may have seen the tree yet.

    It happens with our own settings: filters, hooks and smudges have none to stand in.
    """
    await git.run(
        *("reset", "--quiet", "--hard", commit),
        cwd=folders.tree / ".git",
        work_tree=folders.tree,
        settings=WORKERS,
    )
    await keep_as_committed(git, folders.tree, folders.repository)


def mirror_of(repository: Path) -> Path | None:
    """Say which mirror a trusted repository borrows from; None when it is not complete."""
    try:
        objects = _alternates(repository).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Path(objects.rstrip("\n")).parent


async def _init(git: Git, *args: str) -> None:
    await git.run("init", "--quiet", "--template=", *args)


def _borrow_from(mirror: Path, repository: Path) -> None:
    alternates = _alternates(repository)
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{mirror / 'objects'}\n")


def _alternates(repository: Path) -> Path:
    return repository / "objects" / "info" / "alternates"
