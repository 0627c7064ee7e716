"""Tags in a task's tree: versions are read from them, in the agent's checkout and by its tests."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import Network
from codebot.domain.outcome import Checkout
from codebot.sandbox.boxed import Boxed
from codebot.workspace.means import Means
from codebot.workspace.places import Places
from fakes.git_http import git
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in, task_id


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


def at_remote(shop: Workshop, *args: str) -> str:
    return git(*args, cwd=shop.server.path(OWNER, NAME))


async def test_a_version_can_be_read_from_the_tags(shop: Workshop) -> None:
    at_remote(shop, "tag", "v1.0", "main")
    at_remote(shop, "tag", "-a", "-m", "Two", "v2.0", "main")
    tip = shop.server.commit(OWNER, NAME, {"later": "x"})

    checkout = await shop.prepare(1)

    assert run_in(checkout.tree, "describe") == f"v2.0-1-g{tip[:7]}"
    assert run_in(checkout.tree, "tag").split() == ["v1.0", "v2.0"]
    (checkout.tree / "x").write_text("y")
    assert (await shop.collect(checkout)).commits == 1
    assert run_in(checkout.tree, "describe", "--tags").startswith("v2.0-2-g")


async def test_a_change_can_be_compared_with_the_base_at_its_origin(shop: Workshop) -> None:
    tip = shop.server.commit(OWNER, NAME, {"on/it": "x"}, branch="release/2.x")

    checkout = await shop.prepare(1, base_branch="release/2.x")
    (checkout.tree / "new").write_text("y")
    run_in(checkout.tree, "add", "new")
    run_in(checkout.tree, "commit", "-qm", "Mine")

    assert run_in(checkout.tree, "rev-parse", "origin/release/2.x") == tip
    assert run_in(checkout.tree, "diff", "--name-only", "origin/release/2.x...HEAD") == "new"
    assert run_in(checkout.tree, "remote") == "", "there is nothing to push to"
    place = await Places(shop.git, shop.sandbox).open(task_id(1), checkout, "base", tip, None)
    assert run_in(place.tree, "rev-parse", "origin/release/2.x") == tip
    assert (await shop.collect(checkout)).commits == 1


@pytest.mark.parametrize("means", [Means.COPY, Means.OVERLAY])
async def test_set_up_and_tests_read_the_version_as_the_agent_does(
    tmp_path: Path, means: Means
) -> None:
    async with open_workshop(tmp_path, boxed=True, means=means) as shop:
        at_remote(shop, "tag", "-a", "-m", "Two", "v2.0", "main")
        tip = shop.server.commit(OWNER, NAME, {"later": "x"})
        checkout, places = await shop.prepare(1), Places(shop.git, shop.sandbox)
        asked = ("git", "describe", "--dirty")

        async def version_in(place: Checkout) -> str:
            ended = await Boxed(shop.sandbox, task_id(1), place).run(
                *asked, limit=timedelta(seconds=30), network=Network.NONE
            )
            return ended.tail.decode().strip() or ended.stderr

        wanted = f"v2.0-1-g{tip[:7]}"
        place = await places.open(task_id(1), checkout, "base", checkout.base_commit, None)
        assert (await version_in(checkout), await version_in(place)) == (wanted, wanted)
        folders = (tmp_path / "tree", tmp_path / "home")
        for folder in folders:
            folder.mkdir(mode=0o700)
        assert await version_in(await places.open_in(task_id(1), checkout, *folders)) == wanted


async def test_tags_move_come_and_go_as_those_of_the_remote(shop: Workshop) -> None:
    for name in ("nightly", "gone", "folder"):
        at_remote(shop, "tag", name, "main")
    first = await shop.prepare(1)
    old = run_in(first.tree, "rev-parse", "nightly")
    tip = shop.server.commit(OWNER, NAME, {"later": "x"})
    at_remote(shop, "tag", "-f", "nightly", "main")
    at_remote(shop, "tag", "-d", "gone", "folder")
    at_remote(shop, "tag", "folder/now", "main")

    second = await shop.prepare(2)

    assert run_in(second.tree, "tag").split() == ["folder/now", "nightly"]
    assert run_in(second.tree, "rev-parse", "nightly") == tip
    assert run_in(first.tree, "rev-parse", "nightly") == old


async def test_no_tag_moves_anything_of_ours(shop: Workshop) -> None:
    first = await shop.prepare(1)
    other = shop.server.commit(OWNER, NAME, {"other": "x"}, branch="other")
    odd = ["main", "heads/main", "HEAD", "FETCH_HEAD", f"codebot/keep/{task_id(1)}"]
    odd += [first.base_commit, "ünï", "a&b;'$x", "refs/heads/main"]
    for name in odd:
        at_remote(shop, "update-ref", f"refs/tags/{name}", other)

    second = await shop.prepare(2)

    assert second.base_commit == first.base_commit
    assert run_in(second.tree, "symbolic-ref", "HEAD") == "refs/heads/main"
    (second.tree / "x").write_text("y")
    change = await shop.collect(second, 2)
    assert [file.path for file in change.files] == ["x"]
    keep = git("rev-parse", f"refs/codebot/keep/{task_id(1)}", cwd=shop.mirror)
    assert keep == first.base_commit


async def test_tags_of_anything_and_in_any_number_do_no_harm(shop: Workshop) -> None:
    remote = shop.server.path(OWNER, NAME)
    at_remote(shop, "tag", "a-blob", "main:README.md")
    at_remote(shop, "tag", "-a", "-m", "tree", "a-tree", "main:src")
    at_remote(shop, "tag", "-a", "-m", "tag", "a-tag", "a-tree")
    commit = at_remote(shop, "rev-parse", "main")
    with (remote / "packed-refs").open("a") as refs:
        refs.writelines(f"{commit} refs/tags/t{number:05}\n" for number in range(3_000))

    checkout = await shop.prepare(1)

    assert len(run_in(checkout.tree, "tag").split()) == 3_003
    assert run_in(checkout.tree, "describe", "--tags", "--match", "t*") == "t00000"
    (checkout.tree / "x").write_text("y")
    assert [file.path for file in (await shop.collect(checkout)).files] == ["x"]
