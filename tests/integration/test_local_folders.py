"""Folders of this machine in all the shapes that people have them in, from door to pull request."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.domain.repository import Repository
from codebot.errors import CloneFailed, InvalidTask
from codebot.intake.repository_url import RepositoryRules, parse_repository_url
from codebot.publish.branch import push_branch
from codebot.workspace.places import Places
from fakes.git_http import git
from fakes.permits import a_permit
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in, task_id

WORK = "u/codebot/1/mend"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        shop.server.commit(OWNER, NAME, {"two.txt": "2"})
        shop.server.commit(OWNER, NAME, {"three.txt": "3"})
        shop.forge.token = None  # type: ignore[assignment]
        yield shop


def cloned(shop: Workshop, *how: str) -> Path:
    folder = shop.root / "mine"
    git("clone", "-q", *how, f"file://{shop.server.path(OWNER, NAME)}", str(folder))
    return folder


def as_shallow(shop: Workshop) -> Path:
    return cloned(shop, "--depth", "1")


def as_bare(shop: Workshop) -> Path:
    return cloned(shop, "--bare")


def as_worktree(shop: Workshop) -> Path:
    run_in(cloned(shop), "worktree", "add", "-q", "-b", "aside", str(shop.root / "aside"))
    return shop.root / "aside"


def as_relative_worktree(shop: Workshop) -> Path:
    folder = as_worktree(shop)
    (folder / ".git").write_text("gitdir: ../mine/.git/worktrees/aside\n")
    return folder


def as_submodule(shop: Workshop) -> Path:
    above = shop.root / "above"
    git("init", "-q", "-b", "main", str(above))
    allow = ("-c", "protocol.file.allow=always")
    run_in(above, *allow, "submodule", "add", "-q", str(shop.server.path(OWNER, NAME)), "part")
    return above / "part"


def as_link_to_its_git(shop: Workshop) -> Path:
    folder = cloned(shop)
    (folder / ".git").rename(shop.root / "git-of-mine")
    (folder / ".git").symlink_to(shop.root / "git-of-mine")
    return folder


def as_somebody_elses(shop: Workshop) -> Path:
    folder = as_relative_worktree(shop)
    subprocess.run(["chown", "-R", "1234", folder, shop.root / "mine"], check=True)
    return folder


SHAPES = [as_shallow, as_bare, as_worktree, as_relative_worktree, as_submodule, as_link_to_its_git]
if os.geteuid() == 0:
    SHAPES.append(as_somebody_elses)


def parsed(folder: Path, *roots: Path) -> Repository:
    return parse_repository_url(str(folder), RepositoryRules(None, local_roots=roots))


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_repository_of_any_shape_is_worked_on(
    shop: Workshop, shape: object, tmp_path: Path
) -> None:
    assert callable(shape)
    folder = shape(shop)
    repository = parsed(folder, tmp_path)
    branch = "aside" if folder.name == "aside" else "main"

    checkout = await shop.workspaces.prepare(
        task_id(1), repository, branch, shop.forge, work_branch=WORK
    )
    assert run_in(checkout.tree, "log", "--format=%s").startswith("Change files")
    (checkout.tree / "three.txt").write_text("4")
    change = await shop.collect(checkout)
    await push_branch(
        shop.git,
        a_permit(),
        repository=checkout.repository,
        commit=change.tip_commit,
        branch=WORK,
        access=await shop.forge.write_access(repository),
        expected=None,
    )

    where = ("-c", "safe.directory=*", "-C", str(folder))
    assert git(*where, "rev-parse", WORK) == change.tip_commit
    assert git(*where, "diff", "--name-only", branch, WORK) == "three.txt"


async def test_an_agent_may_lose_the_git_of_a_shallow_checkout(shop: Workshop) -> None:
    repository = parsed(as_shallow(shop), shop.root)
    checkout = await shop.workspaces.prepare(
        task_id(1), repository, "main", shop.forge, work_branch=WORK
    )
    subprocess.run(["rm", "-rf", checkout.tree / ".git"], check=True)  # noqa: ASYNC221 - at once
    (checkout.tree / "new").write_text("x")
    assert [file.path for file in (await shop.collect(checkout)).files] == ["new"]


async def test_the_tests_of_a_shallow_clone_see_where_its_history_ends(shop: Workshop) -> None:
    repository = parsed(as_shallow(shop), shop.root)
    checkout = await shop.workspaces.prepare(
        task_id(1), repository, "main", shop.forge, work_branch=WORK
    )
    place = await Places(shop.git, shop.sandbox).open(
        task_id(1), checkout, "base", checkout.base_commit, None
    )
    assert run_in(place.tree, "log", "--format=%s") == "Change files"
    assert run_in(place.tree, "fsck", "--no-dangling") == ""


async def test_commits_on_no_branch_are_not_called_nothing(shop: Workshop) -> None:
    folder = cloned(shop)
    run_in(folder, "checkout", "-q", "--detach")
    run_in(folder, "branch", "-D", "main")
    with pytest.raises(CloneFailed, match="is on no branch") as failed:
        await shop.workspaces.prepare(
            task_id(1), parsed(folder, shop.root), "main", shop.forge, work_branch=WORK
        )
    assert "git branch main" in failed.value.hint


async def test_a_partial_clone_is_named_and_not_called_damaged(shop: Workshop) -> None:
    run_in(shop.server.path(OWNER, NAME), "config", "uploadpack.allowFilter", "true")
    folder = cloned(shop, "--filter=blob:none", "--no-checkout")
    with pytest.raises(CloneFailed, match="is a partial clone") as failed:
        await shop.workspaces.prepare(
            task_id(1), parsed(folder, shop.root), "main", shop.forge, work_branch=WORK
        )
    assert failed.value.retry_after is None


async def test_a_folder_within_a_repository_is_answered_with_the_whole_one(shop: Workshop) -> None:
    folder = cloned(shop)
    with pytest.raises(InvalidTask, match=rf"it is a folder within one; name {folder};"):
        parsed(folder / "src", shop.root)
    with pytest.raises(InvalidTask, match="neither bare nor has"):
        parsed(folder / "src", folder / "src")


async def test_a_git_outside_of_what_is_allowed_is_named(shop: Workshop) -> None:
    folder = as_worktree(shop)
    with pytest.raises(InvalidTask, match=r"has its Git in .*/mine/.git/worktrees/aside"):
        parsed(folder, folder)
    subprocess.run(["rm", "-rf", shop.root / "mine"], check=True)  # noqa: ASYNC221 - at once
    with pytest.raises(InvalidTask, match="a linked worktree or submodule that was moved"):
        parsed(folder, shop.root)
