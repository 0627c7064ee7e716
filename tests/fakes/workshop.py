"""Everything between a remote repository and a task's tree, all of it real but the forge.

async with open_workshop(tmp_path) as shop:
    checkout = await shop.prepare(1)
    (checkout.tree / "new.py").write_text("x = 1")
    change = await shop.collect(1, checkout)
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from codebot.domain.naming import branch_name
from codebot.domain.outcome import Change, Checkout
from codebot.domain.ports import Sandbox
from codebot.domain.repository import Identity, Repository
from codebot.domain.secret import Secret
from codebot.domain.task import TaskId
from codebot.gateway.registries.authority import authority_pieces
from codebot.git.git import Git
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.program import find_bubblewrap
from codebot.workspace.limits import Limits
from codebot.workspace.means import Means
from codebot.workspace.shelf import Shelf
from codebot.workspace.submodules import FindSource
from codebot.workspace.template import Templates
from codebot.workspace.workspaces import Workspaces
from fakes.egress import NoEgress
from fakes.forge import MemoryForge
from fakes.git_http import GitServer, git

BOT = Identity("codebot[bot]", "1+codebot[bot]@users.noreply.example", "codebot[bot]")
FILES = {"README.md": "hello\n", "src/app.py": "print('hi')\n", ".gitignore": "*.log\n"}
OWNER, NAME = "acme", "shop"
QUICK = Limits(fetch_pauses=(0.01, 0.02))


def task_id(number: int) -> TaskId:
    return TaskId(f"0193abcd-0000-7000-8000-{number:012x}")


def work_branch(number: int) -> str:
    return branch_name(None, None, "Do it", task_id(number))


class BareSandbox(DirectSandbox):
    """A machine on which some programs are not installed."""

    def __init__(self, lacking: Collection[str], *, path: str, mark: str) -> None:
        super().__init__(path=path, mark=mark)
        self._lacking = lacking

    def has(self, program: str) -> bool:
        return program not in self._lacking and super().has(program)


@dataclass
class Workshop:
    """A served repository, and the service's parts that work on it.

    `lacking` names programs that are not to be found.
    """

    root: Path
    server: GitServer
    limits: Limits = QUICK
    boxed: bool = False
    means: Means = Means.COPY
    lacking: frozenset[str] = frozenset()
    forge: MemoryForge = field(default_factory=MemoryForge)
    find_source: FindSource | None = None

    def __post_init__(self) -> None:
        self.forge.token = Secret(self.server.token)
        self.git = Git(home=self.root / "git-home")
        self.sandbox = self._sandbox()
        self.mirrors = self.root / "mirrors"
        self.work_dir = self.root / "work"
        self.shelf = Shelf(self.root / "templates")
        self.workspaces = self.open_workspaces()

    def open_workspaces(self) -> Workspaces:
        """Start over on the same disk, as after a restart."""
        return Workspaces(
            self.git,
            self.sandbox,
            mirrors=self.mirrors,
            work_dir=self.work_dir,
            limits=self.limits,
            authority=partial(authority_pieces, self.root / "authority.pem"),
            find_source=self.find_source,
            means=self.means,
            templates=Templates(self.git, self.shelf),
        )

    def _sandbox(self) -> Sandbox:
        path, mark = os.environ["PATH"], str(self.root)
        if self.lacking:
            return BareSandbox(self.lacking, path=path, mark=mark)
        if not self.boxed:
            return DirectSandbox(path=path, mark=mark)
        return BubblewrapSandbox(find_bubblewrap(), path=path, mark=mark, egress=NoEgress())

    @property
    def repository(self) -> Repository:
        return self.server.repository(OWNER, NAME)

    @property
    def mirror(self) -> Path:
        return self.mirrors / self.server.host.replace(":", "_") / OWNER / f"{NAME}.git"

    async def prepare(self, number: int = 1, base_branch: str | None = None) -> Checkout:
        return await self.workspaces.prepare(
            task_id(number),
            self.repository,
            base_branch,
            self.forge,
            work_branch=work_branch(number),
        )

    async def collect(
        self, checkout: Checkout, number: int = 1, message: str = "Do it", author: Identity = BOT
    ) -> Change:
        return await self.workspaces.collect(
            task_id(number), checkout, message=message, author=author
        )

    def files_of(self, checkout: Checkout, commit: str) -> dict[str, str]:
        """Give the text of every file of a commit in the trusted repository."""
        where = ("-C", str(checkout.repository))
        names = git(*where, "ls-tree", "-r", "-z", "--name-only", commit).split("\0")
        return {name: git(*where, "show", f"{commit}:{name}") for name in names if name}

    def log_of(self, checkout: Checkout, commit: str, what: str = "%s") -> list[str]:
        """Give one line for each commit after the base, oldest first."""
        span = f"{checkout.base_commit}..{commit}"
        where = ("-C", str(checkout.repository))
        return git(*where, "log", "--reverse", f"--format={what}", span).splitlines()


@asynccontextmanager
async def open_workshop(
    root: Path,
    files: Mapping[str, str | bytes] | None = FILES,
    limits: Limits = QUICK,
    **more: Any,
) -> AsyncIterator[Workshop]:
    """Serve a repository with these files (None: without a commit), and set the parts up."""
    async with GitServer(root / "remote", token="ghs_cAnArYtOkEn1234567890") as server:
        await asyncio.to_thread(server.create, OWNER, NAME, files)
        yield Workshop(root, server, limits, **more)


def run_in(tree: Path, *args: str) -> str:
    """Run git in a tree as the agent would; give its stdout."""
    return git("-C", str(tree), *args)


def record(
    shop: Workshop, path: str, url: str, commit: str, *, into: str = NAME, name: str | None = None
) -> str:
    """Commit a submodule as a person would who may write anything; give the commit."""
    tree = shop.root / "person"
    shutil.rmtree(tree, ignore_errors=True)
    git("clone", "-q", str(shop.server.path(OWNER, into)), str(tree))
    entry = f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n'
    with (tree / ".gitmodules").open("a") as modules:
        modules.write(entry)
    run_in(tree, "add", ".gitmodules")
    run_in(tree, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    run_in(tree, "commit", "-qm", f"Add {path}")
    run_in(tree, "push", "-q", "origin", "HEAD")
    return run_in(tree, "rev-parse", "HEAD")


def tip(shop: Workshop, name: str) -> str:
    commit = shop.server.tip(OWNER, name, "main")
    assert commit is not None
    return commit


def add_gitlink(remote: str, listing: str, base: str) -> None:
    """Add to a commit of a served repository a submodule that nobody can fetch."""
    made = subprocess.run(
        ["git", "-C", remote, "mktree"],
        input=f"{listing}\n160000 commit {base}\ts\n",
        capture_output=True,
        text=True,
        check=True,
    )
    commit = git("-C", remote, "commit-tree", made.stdout.strip(), "-p", base, "-m", "submodule")
    git("-C", remote, "update-ref", "refs/heads/main", commit)
