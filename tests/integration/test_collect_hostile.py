"""What an agent may plant, and proof that the service's own git runs none of it.

A canary writes down that it ran, but only outside of a box (boxes mark their environment). Each
one is first shown to fire when git is run over the tree in the ordinary way.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codebot.domain.box import BoxSpec, Exit, ExitReason
from codebot.errors import ChangeRefused
from codebot.publish.branch import push_branch
from codebot.sandbox.direct import MARK, DirectSandbox
from fakes.git_http import git
from fakes.permits import a_permit
from fakes.workshop import NAME, OWNER, QUICK, Workshop, open_workshop, run_in, task_id

CANARY = """\
#!/bin/sh
if [ -z "${MARK:-}" ]; then echo "$0 $*" >>'LOG'; fi
cat 2>/dev/null
exit 0
"""
HOOKS = ("pre-commit", "post-commit", "post-index-change", "reference-transaction", "pre-push")
SETTINGS = {
    "core.fsmonitor": "PROGRAM",
    "core.hooksPath": "HOOKS",
    "core.pager": "PROGRAM",
    "core.editor": "PROGRAM",
    "core.sshCommand": "PROGRAM",
    "core.alternateRefsCommand": "PROGRAM",
    "diff.external": "PROGRAM",
    "diff.evil.textconv": "PROGRAM",
    "diff.evil.command": "PROGRAM",
    "filter.evil.clean": "PROGRAM",
    "filter.evil.smudge": "PROGRAM",
    "merge.evil.driver": "PROGRAM",
    "gpg.program": "PROGRAM",
    "commit.gpgSign": "true",
    "credential.helper": "!PROGRAM",
    "uploadpack.packObjectsHook": "PROGRAM",
    "gc.auto": "1",
    "gc.recentObjectsHook": "PROGRAM",
    "trailer.sign.command": "PROGRAM",
}


class Trap:
    """Plants canaries in a tree, and tells which of them ran on the host."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.log = folder / "ran"
        self.program = folder / "canary"
        self.program.write_text(CANARY.replace("MARK", MARK).replace("LOG", str(self.log)))
        self.program.chmod(0o755)
        self.hooks = folder / "hooks"
        self.hooks.mkdir()
        for hook in HOOKS:
            (self.hooks / hook).symlink_to(self.program)

    def plant(self, repository: Path) -> None:
        for key, value in SETTINGS.items():
            filled = value.replace("PROGRAM", str(self.program)).replace("HOOKS", str(self.hooks))
            run_in(repository, "config", key, filled)
        (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")

    @property
    def ran(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    limits = replace(QUICK, allowed_filters=("evil",))  # so that its files come all the way
    async with open_workshop(tmp_path, limits=limits) as shop:
        yield shop


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "trap")


def ordinary_git(tree: Path, *args: str) -> None:
    """Run git over a tree as a careless service would."""
    subprocess.run(
        ["git", "-C", str(tree), *args],
        env={"PATH": os.environ["PATH"], "HOME": str(tree.parent)},
        capture_output=True,
        check=False,
    )


async def go_the_whole_way(shop: Workshop) -> None:
    """Do everything that the service does after an agent, with the tree of task 1."""
    checkout = await shop.prepare(2)  # the mirror is read and written again
    checkout = type(checkout)(
        tree=shop.work_dir / task_id(1) / "tree",
        home=shop.work_dir / task_id(1) / "home",
        repository=shop.work_dir / task_id(1) / "repository.git",
        mirror=checkout.mirror,
        base_branch=checkout.base_branch,
        base_commit=checkout.base_commit,
    )
    change = await shop.collect(checkout)
    assert await shop.workspaces.diff(checkout, change.tip_commit, 100_000)
    await shop.workspaces.read_tree(checkout, change.tip_commit)
    await shop.workspaces.read_texts(checkout, change.tip_commit, ["README.md"])
    await push_branch(
        shop.git,
        a_permit(),
        repository=checkout.repository,
        commit=change.tip_commit,
        branch="u/codebot/x",
        access=await shop.forge.write_access(shop.repository),
        expected=None,
    )
    await shop.prepare(3, "u/codebot/x")  # what was pushed is checked out again
    await shop.workspaces.remove(task_id(1))


@pytest.mark.parametrize(
    "careless", [("status",), ("diff",), ("add", "-A"), ("commit", "-qam", "x")], ids=str
)
async def test_canaries_sing_for_a_careless_git(
    shop: Workshop, trap: Trap, careless: tuple[str, ...]
) -> None:
    checkout = await shop.prepare(1)
    trap.plant(checkout.tree)
    (checkout.tree / "README.md").write_text("changed")
    ordinary_git(checkout.tree, *careless)
    assert trap.ran


async def test_nothing_planted_in_the_trees_repository_runs_on_the_host(
    shop: Workshop, trap: Trap
) -> None:
    checkout = await shop.prepare(1)
    trap.plant(checkout.tree)
    (checkout.tree / "README.md").write_text("changed")
    await go_the_whole_way(shop)
    assert trap.ran == ""


async def test_nothing_planted_in_home_runs_on_the_host(shop: Workshop, trap: Trap) -> None:
    checkout = await shop.prepare(1)
    trap.plant(checkout.tree)
    config = (checkout.tree / ".git" / "config").read_text()
    (checkout.home / ".gitconfig").write_text(config)
    (checkout.home / ".config" / "git").mkdir(parents=True)
    (checkout.home / ".config" / "git" / "config").write_text(config)
    await go_the_whole_way(shop)
    assert trap.ran == ""


async def test_a_planted_nested_repository_runs_nothing_on_the_host(
    shop: Workshop, trap: Trap
) -> None:
    checkout = await shop.prepare(1)
    nested = checkout.tree / "sub"
    nested.mkdir()
    run_in(nested, "init", "-q")
    (nested / "file").write_text("x")
    run_in(nested, "add", "-A")
    run_in(nested, "commit", "-qm", "x")
    trap.plant(nested)
    run_in(checkout.tree, "add", "sub")
    ordinary_git(checkout.tree, "status")
    assert trap.ran, "the canary of a nested repository must be able to sing"
    trap.log.unlink()
    with pytest.raises(ChangeRefused, match="sub"):
        await go_the_whole_way(shop)
    assert trap.ran == ""


async def test_a_git_that_points_at_the_trusted_repository_gains_nothing(
    shop: Workshop, trap: Trap
) -> None:
    checkout = await shop.prepare(1)
    trap.plant(checkout.tree)
    run_in(checkout.tree, "config", "remote.origin.url", f"ext::{trap.program}")
    run_in(checkout.tree, "config", "protocol.ext.allow", "always")
    await go_the_whole_way(shop)
    assert trap.ran == ""


# --- objects that git itself would never make ---------------------------------------------------


def write_object(tree: Path, kind: str, content: bytes) -> str:
    file = tree.parent / "home" / "raw"
    file.write_bytes(content)
    return run_in(tree, "hash-object", "-w", "--literally", "-t", kind, str(file))


def commit_entry(tree: Path, mode: bytes, name: bytes, object_id: str) -> None:
    """Commit a tree with one entry of any name, on top of HEAD."""
    raw = mode + b" " + name + b"\0" + bytes.fromhex(object_id)
    made = write_object(tree, "tree", raw)
    commit = run_in(tree, "commit-tree", made, "-p", "HEAD", "-m", "trap")
    run_in(tree, "update-ref", "HEAD", commit)


@pytest.mark.parametrize("name", [b".git", b"..", b".", b".GIT", b"git~1", b"a/b", b""], ids=str)
async def test_a_commit_with_an_impossible_name_is_refused(shop: Workshop, name: bytes) -> None:
    checkout = await shop.prepare(1)
    blob = write_object(checkout.tree, "blob", b"x")
    commit_entry(checkout.tree, b"100644", name, blob)
    (checkout.tree / "x").write_text("y")
    with pytest.raises(ChangeRefused):
        await shop.collect(checkout)


@pytest.mark.parametrize(
    "gitmodules",
    [
        '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch pwned\n',
        '[submodule "../../x"]\n\tpath = x\n\turl = https://example.org/x.git\n',
        '[submodule "x"]\n\tpath = -x\n\turl = https://example.org/x.git\n',
    ],
    ids=["url", "name", "path"],
)
async def test_a_hostile_gitmodules_is_refused(shop: Workshop, gitmodules: str) -> None:
    checkout = await shop.prepare(1)
    (checkout.tree / ".gitmodules").write_text(gitmodules)
    with pytest.raises(ChangeRefused, match="gitmodules"):
        await shop.collect(checkout)


async def test_gitmodules_as_a_link_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    (checkout.tree / ".gitmodules").symlink_to("/etc/passwd")
    with pytest.raises(ChangeRefused, match="gitmodules"):
        await shop.collect(checkout)


async def test_a_planted_gitlink_is_refused_by_its_path(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    run_in(
        checkout.tree,
        *("update-index", "--add", "--cacheinfo"),
        f"160000,{checkout.base_commit},libs/inner",
    )
    (checkout.tree / "libs" / "inner").mkdir(parents=True)
    with pytest.raises(ChangeRefused, match="libs/inner"):
        await shop.collect(checkout)


async def test_a_bundle_that_lacks_objects_is_refused(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    commit_entry(checkout.tree, b"100644", b"ghost", "1" * 40)
    (checkout.tree / "x").write_text("y")
    with pytest.raises(ChangeRefused):
        await shop.collect(checkout)


async def test_what_the_box_says_is_no_more_than_data(shop: Workshop) -> None:
    """A box that writes its own bundle cannot name a commit of another task or of nobody."""
    checkout = await shop.prepare(1)
    other = shop.server.commit(OWNER, NAME, {"secret": "x"}, branch="orphan")
    await shop.prepare(2)
    empty_tree = run_in(checkout.tree, "hash-object", "-t", "tree", "-w", "/dev/null")
    rootless = run_in(checkout.tree, "commit-tree", empty_tree, "-m", "no parent")
    run_in(checkout.tree, "update-ref", "HEAD", rootless)
    assert other
    (checkout.tree / "x").write_text("y")
    change = await shop.collect(checkout)
    parents = git("-C", str(checkout.repository), "log", "-1", "--format=%P", change.tip_commit)
    assert parents == checkout.base_commit


# --- a box that writes whatever it likes --------------------------------------------------------


class PlayedBox:
    """A box whose stdout is given."""

    def __init__(self, output: bytes) -> None:
        self._output = output

    async def stdout(self) -> AsyncIterator[bytes]:
        yield self._output

    def stderr_tail(self) -> str:
        return ""

    async def wait(self) -> Exit:
        return Exit(ExitReason.EXITED, 0)

    async def kill(self) -> None:
        pass


class PlayedSandbox(DirectSandbox):
    """Starts nothing: every box says the same."""

    output = b""

    async def start(self, spec: BoxSpec) -> Any:
        return PlayedBox(self.output)


@pytest.fixture
async def liar(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        shop.sandbox = PlayedSandbox(path=os.environ["PATH"], mark="liar")
        shop.workspaces = shop.open_workspaces()
        yield shop


def bundle_of(tip: str, pack: bytes) -> bytes:
    return f"# v2 git bundle\n{tip} HEAD\n\n".encode() + pack


def pack_of(repository: Path, *object_ids: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(repository), "pack-objects", "--stdout", "-q"],
        input="".join(f"{object_id}\n" for object_id in object_ids).encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    "output", [b"no bundle", b"# v2 git bundle\n", b"# v2 git bundle\n" + b"1" * 40 + b" HEAD\n\n"]
)
async def test_what_is_no_bundle_is_refused(liar: Workshop, output: bytes) -> None:
    checkout = await liar.prepare(1)
    liar.sandbox.output = output  # type: ignore[attr-defined]
    with pytest.raises(ChangeRefused):
        await liar.collect(checkout)


async def test_a_pack_that_lacks_what_its_trees_name_is_refused(liar: Workshop) -> None:
    checkout = await liar.prepare(1)
    (checkout.tree / "x").write_text("in the tree, not in the pack")
    run_in(checkout.tree, "add", "-A")
    run_in(checkout.tree, "commit", "-qm", "x")
    tip, tree = (run_in(checkout.tree, "rev-parse", name) for name in ("HEAD", "HEAD^{tree}"))
    liar.sandbox.output = bundle_of(tip, pack_of(checkout.tree, tip, tree))  # type: ignore[attr-defined]
    with pytest.raises(ChangeRefused):
        await liar.collect(checkout)


async def test_a_commit_that_does_not_descend_from_the_base_is_refused(liar: Workshop) -> None:
    checkout = await liar.prepare(1)
    tree = run_in(checkout.tree, "rev-parse", "HEAD^{tree}")
    tip = run_in(checkout.tree, "commit-tree", tree, "-m", "from nowhere")
    liar.sandbox.output = bundle_of(tip, pack_of(checkout.tree, tip))  # type: ignore[attr-defined]
    with pytest.raises(ChangeRefused, match="do not lead on"):
        await liar.collect(checkout)


async def test_a_tip_that_is_no_commit_is_refused(liar: Workshop) -> None:
    checkout = await liar.prepare(1)
    blob = write_object(checkout.tree, "blob", b"just text")
    liar.sandbox.output = bundle_of(blob, pack_of(checkout.tree, blob))  # type: ignore[attr-defined]
    with pytest.raises(ChangeRefused):
        await liar.collect(checkout)
