"""Names of branches against a real repository: the one that is meant, those near, those in the way.

Every name here is one that git and GitHub take.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.errors import BranchMissing, PushRejected
from codebot.workspace.branches import near_names
from fakes.git_http import git
from fakes.story import Act, open_story
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


def make_branches(shop: Workshop, *names: str) -> None:
    for name in names:
        git("branch", name, "main", cwd=shop.server.path(OWNER, NAME))


@pytest.mark.parametrize("below", [["release/2026.4"], ["release/2026.3", "release/2026.4"]])
@pytest.mark.parametrize("mirrored", [False, True])
async def test_the_beginning_of_a_name_is_no_branch(
    shop: Workshop, below: list[str], *, mirrored: bool
) -> None:
    make_branches(shop, *below)
    if mirrored:
        await shop.prepare(1)

    with pytest.raises(BranchMissing) as missing:
        await shop.prepare(2, "release")

    assert missing.value.hint == f"Name one that does, such as {', '.join(below)}."


async def test_nothing_but_a_branch_is_a_base(shop: Workshop) -> None:
    remote = shop.server.path(OWNER, NAME)
    for ref in ("refs/tags/v1", "refs/heads/refs/heads/v1", "refs/tags/refs/heads/v1"):
        git("update-ref", ref, "main", cwd=remote)

    with pytest.raises(BranchMissing):
        await shop.prepare(1, "v1")


async def test_whatever_git_takes_for_a_name_is_a_base(shop: Workshop) -> None:
    names = ["feature/AB#12-x", "v1+build", "T-1@x", "feat(api)-x", "_wip", "ünï", "100%", "it's"]
    names += ["$HOME", "`id`", 'say-"hi"', "a&b;c|d", "功能/一", "x" * 244]
    make_branches(shop, *names)
    for number, name in enumerate(names):
        checkout = await shop.prepare(number, name)
        assert checkout.base_branch == name
        assert run_in(checkout.tree, "symbolic-ref", "HEAD") == f"refs/heads/{name}"


@pytest.mark.parametrize(
    ("wanted", "near"),
    [("Main", "main"), ("mian", "main"), ("2.x", "stable/2.x"), ("main/next", "main")],
)
def test_a_name_that_is_not_there_is_answered_with_those_near_to_it(wanted: str, near: str) -> None:
    assert near_names(wanted, ["docs", "main", "stable/2.x"])[0] == near


async def test_a_name_that_would_write_over_a_terminal_is_not_shown(shop: Workshop) -> None:
    make_branches(shop, "mai\u202en")

    with pytest.raises(BranchMissing) as missing:
        await shop.prepare(1, "mai")

    assert missing.value.hint == "Name one that does, such as main."


@pytest.mark.parametrize("name", ["u", "u/codebot"])
async def test_a_branch_in_the_way_of_ours_is_found_before_the_work(
    shop: Workshop, name: str
) -> None:
    make_branches(shop, name)

    with pytest.raises(PushRejected, match=f"a branch {name}, beside which") as refused:
        await shop.prepare(1)

    assert refused.value.hint.startswith(f"Rename the branch {name} or delete it")
    assert shop.workspaces.task_ids() == set()


async def test_branches_of_other_tasks_are_not_in_the_way(shop: Workshop) -> None:
    make_branches(shop, "u/codebot/abc1234/one", "codebot", "v")
    assert run_in((await shop.prepare(1)).tree, "status", "--porcelain") == ""


async def test_nobody_is_paid_for_work_that_could_not_be_pushed(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act("true")) as story:
        git("branch", "u", cwd=story.origin)
        with pytest.raises(PushRejected):
            await story.tell()
        assert story.agent.jobs == []
