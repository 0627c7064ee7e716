"""A run that goes on at another node than it began at."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from codebot.domain.status import TaskStatus
from codebot.errors import GitFailed
from codebot.git.git import Git
from codebot.pipeline.moving import has_moved
from codebot.workspace import parcel
from codebot.workspace.parcel import unpack_change
from fakes.agents import a_checkout
from fakes.git_http import git
from fakes.story import MENDS, Act, open_story


async def test_what_is_too_large_to_be_kept_for_others_is_worked_on_anew_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "LARGEST", 10)
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.workspaces.node = "one"
        await story.tell_until("step.finished", "collect")

        story.workspaces.node = "two"
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 2


async def test_a_workspace_is_left_behind_once_its_task_has_ended_at_another_node(
    tmp_path: Path,
) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:

        async def moved_from() -> list[str]:
            names = ("one", "two")
            return [name for name in names if await has_moved(story.store, name, story.new.id)]

        story.workspaces.node = "one"
        await story.tell_until("step.finished", "collect")
        story.workspaces.node = "two"
        result = await story.tell()
        assert await moved_from() == []

        await story.queue.finish(story.run, result)

        assert await moved_from() == ["one"]


def pack(repository: Path, commit: str) -> bytes:
    """Give a commit and all that it needs, as a pack."""
    return subprocess.run(
        ["git", "pack-objects", "--quiet", "--revs", "--stdout"],
        input=f"{commit}\n".encode(), cwd=repository, capture_output=True, check=True,
    ).stdout  # fmt: skip


@pytest.mark.parametrize(("name", "is_taken"), [("shop.py", True), (".git", False)])
async def test_what_comes_of_a_database_is_checked_as_what_comes_of_a_box(
    tmp_path: Path, name: str, *, is_taken: bool
) -> None:
    origin, checkout = tmp_path / "origin", a_checkout(tmp_path / "task")
    git("init", "-q", "--bare", str(checkout.repository))
    git("init", "-q", str(origin))
    blob = git("hash-object", "-w", "--stdin", cwd=origin, told=b"# a shop\n")
    entry = f"100644 {name}\0".encode() + bytes.fromhex(blob)
    tree = git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", cwd=origin, told=entry)
    commit = git("commit-tree", "-m", "Mend", tree, cwd=origin)
    packed = pack(origin, commit)
    ours = Git(home=tmp_path / "git-home")
    git("commit", "-q", "--allow-empty", "-m", "Begin", cwd=origin)
    git("fetch", "-q", str(origin), "HEAD", cwd=checkout.repository)
    base = git("rev-parse", "HEAD", cwd=origin)

    taking = unpack_change(ours, replace(checkout, base_commit=base), packed)

    if is_taken:
        await taking
        assert git("cat-file", "-t", commit, cwd=checkout.repository) == "commit"
    else:
        with pytest.raises(GitFailed, match=r"\.git"):
            await taking
