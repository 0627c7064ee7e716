"""Trees that stand on a template: laid above it, or copied from it by sharing its blocks."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Network
from codebot.domain.outcome import Checkout
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.program import find_bubblewrap
from codebot.workspace import means as trying
from codebot.workspace.means import Means, find_means
from fakes.egress import NoEgress
from fakes.git_http import git
from fakes.workshop import NAME, OWNER, Workshop, add_gitlink, open_workshop, run_in, task_id

PATH = "/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path, boxed=True, means=Means.OVERLAY) as shop:
        yield shop


async def sh(shop: Workshop, checkout: Checkout, script: str) -> str:
    """Run a script as an agent would, and give what it printed."""
    spec = BoxSpec(
        task_id=task_id(1),
        argv=("sh", "-c", f"exec 2>&1; {script}"),
        workspace=checkout.tree,
        home=checkout.home,
        network=Network.NONE,
        timeout=timedelta(seconds=30),
        read_only=(checkout.mirror,),
        layers=checkout.layers,
        home_layers=checkout.home_layers,
    )
    box = await shop.sandbox.start(spec)
    said = b"".join([line async for line in box.stdout()]).decode()
    await box.wait()
    return said


async def test_a_tree_above_a_template_is_clean_and_on_its_branch(shop: Workshop) -> None:
    tip = shop.server.commit(OWNER, NAME, {"new.txt": "x"}, branch="release/1.x")
    checkout = await shop.prepare(1, "release/1.x")
    assert (checkout.base_commit, len(checkout.layers)) == (tip, 1)
    assert [path.name for path in checkout.tree.iterdir()] == [".git"]
    said = await sh(shop, checkout, "git status -sb; git log -1 --format=%H; ls; cat README.md")
    assert said == f"## release/1.x\n{tip}\nREADME.md\nnew.txt\nsrc\nhello\n"


async def test_the_work_above_a_template_is_collected_and_the_template_stays(
    shop: Workshop,
) -> None:
    checkout = await shop.prepare(1)
    await sh(shop, checkout, "echo more >> README.md; mv src lib; rm .gitignore; git add -A")
    change = await shop.collect(checkout)
    assert shop.files_of(checkout, change.tip_commit) == {
        "README.md": "hello\nmore",
        "lib/app.py": "print('hi')",
    }
    assert run_in(checkout.layers[0], "status", "--porcelain") == ""


async def test_tags_that_came_after_a_template_was_made_are_seen_above_it(shop: Workshop) -> None:
    await shop.prepare(1)
    remote = str(shop.server.path(OWNER, NAME))
    git("-C", remote, "tag", "-a", "-m", "x", "v1.2", "main")
    checkout = await shop.prepare(2)
    assert len(shop.shelf.kept()) == 1
    assert await sh(shop, checkout, "git describe --tags") == "v1.2\n"


async def test_tasks_of_one_commit_share_a_template_that_is_made_once(shop: Workshop) -> None:
    checkouts = await asyncio.gather(*(shop.prepare(number) for number in range(1, 5)))
    assert len({checkout.layers for checkout in checkouts}) == 1
    assert len(shop.shelf.kept()) == 1
    assert len({checkout.tree for checkout in checkouts}) == 4


async def test_with_news_a_task_stands_on_a_template_of_the_news(shop: Workshop) -> None:
    before = await shop.prepare(1)
    tip = shop.server.commit(OWNER, NAME, {"news.txt": "x"})
    after = await shop.prepare(2)
    assert after.base_commit == tip
    assert after.layers != before.layers
    assert await sh(shop, after, "git status --short; cat news.txt") == "x"


async def test_two_branches_at_one_commit_are_told_apart(shop: Workshop) -> None:
    remote = str(shop.server.path(OWNER, NAME))
    git("-C", remote, "branch", "twin", "main")
    checkouts = [await shop.prepare(1, "main"), await shop.prepare(2, "twin")]
    said = [await sh(shop, checkout, "git branch") for checkout in checkouts]
    assert said == ["* main\n", "* twin\n"]


async def test_git_trusts_the_index_of_a_template(shop: Workshop) -> None:
    """Else it would read every file again, in every task, and write an index of its own."""
    checkout = await shop.prepare(1)
    await sh(shop, checkout, "git status; git diff")
    assert not (checkout.tree / ".git" / "index").exists()


async def test_git_sees_what_an_agent_changes_at_once_and_to_the_same_size(
    shop: Workshop,
) -> None:
    checkout = await shop.prepare(1)
    assert await sh(shop, checkout, "printf HELLO > README.md; echo >> README.md; git status -s")
    assert [file.path for file in (await shop.collect(checkout)).files] == ["README.md"]


async def test_a_template_is_held_while_its_task_runs_and_made_again_when_it_went(
    shop: Workshop,
) -> None:
    checkout = await shop.prepare(1)
    await sh(shop, checkout, "echo mine > README.md")
    name = checkout.layers[0].parent.name
    assert not shop.shelf.evict(name)
    shop.workspaces.release(task_id(1))
    assert shop.shelf.evict(name)
    after_restart = shop.open_workspaces()
    await after_restart.hold(task_id(1), checkout)
    assert not shop.shelf.evict(name)
    assert await sh(shop, checkout, "git status -s; cat src/app.py") == (
        " M README.md\nprint('hi')\n"
    )
    await after_restart.remove(task_id(1))
    assert shop.shelf.evict(name)


async def test_a_task_that_could_not_be_prepared_holds_nothing(shop: Workshop) -> None:
    await shop.prepare(1)
    with pytest.raises(Exception, match="does not exist"):
        await shop.prepare(1, "no-such-branch")
    assert shop.shelf.evict(shop.shelf.kept()[0].name)


async def test_what_git_would_rewrite_is_left_alone_above_a_template_too(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {".gitattributes": "*.txt eol=crlf\n", "a.txt": b"a\r\nb\r\n"}
    async with open_workshop(tmp_path, files, boxed=True, means=Means.OVERLAY) as shop:
        checkout = await shop.prepare(1)
        assert await sh(shop, checkout, "git status --short") == ""
        await sh(shop, checkout, "echo > other; rm -rf .git/info")
        assert [file.path for file in (await shop.collect(checkout)).files] == ["other"]


async def test_a_copy_that_shares_its_blocks_is_as_clean(tmp_path: Path) -> None:
    """Few file systems share blocks: elsewhere it is an ordinary copy."""
    async with open_workshop(tmp_path, means=Means.REFLINK) as shop:
        first, second = await shop.prepare(1), await shop.prepare(2)
        assert (first.layers, len(shop.shelf.kept())) == ((), 1)
        (first.tree / "README.md").write_text("changed")
        assert run_in(second.tree, "status", "--porcelain", "--branch") == "## main"
        assert [file.path for file in (await shop.collect(first)).files] == ["README.md"]


async def test_a_tree_with_submodules_is_a_copy_that_stands_alone(shop: Workshop) -> None:
    remote = str(shop.server.path(OWNER, NAME))
    base, listing = git("-C", remote, "rev-parse", "main"), git("-C", remote, "ls-tree", "main")
    add_gitlink(remote, listing, base)
    checkout = await shop.prepare(1)
    assert checkout.layers == ()
    assert [gap.path for gap in checkout.gaps] == ["s"]
    assert list((checkout.tree / "s").iterdir()) == []
    assert await sh(shop, checkout, "git status --short; cat README.md") == "hello\n"


# --- Which means --------------------------------------------------------------------------------


def boxes(mark: Path) -> BubblewrapSandbox:
    return BubblewrapSandbox(find_bubblewrap(), path=PATH, mark=str(mark), egress=NoEgress())


async def test_overlays_are_really_tried_and_the_trial_leaves_nothing(tmp_path: Path) -> None:
    places = {"templates": tmp_path / "templates", "work_dir": tmp_path / "work"}
    chosen = await find_means(boxes(tmp_path), **places)
    assert (chosen.means, chosen.reasons) == (Means.OVERLAY, [])
    assert chosen.finding().ok
    assert [list(place.iterdir()) for place in places.values()] == [[], []]


async def test_without_a_box_there_is_no_overlay_and_it_is_said_why(tmp_path: Path) -> None:
    chosen = await find_means(
        DirectSandbox(path=PATH, mark="x"), templates=tmp_path / "a", work_dir=tmp_path / "b"
    )
    assert chosen.means is not Means.OVERLAY
    assert chosen.reasons[0] == "No overlay: Without a box nothing can be laid below a folder."
    assert not chosen.finding().required


async def test_overlays_can_be_switched_off(tmp_path: Path) -> None:
    chosen = await find_means(
        boxes(tmp_path), templates=tmp_path / "a", work_dir=tmp_path / "b", overlays=False
    )
    assert chosen.means is not Means.OVERLAY
    assert "CODEBOT_OVERLAY is off" in chosen.finding().detail


async def test_a_box_that_could_change_a_layer_is_no_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spoil(_: object, layer: Path, __: Path) -> str:
        (layer / "gone").unlink()
        return ""

    monkeypatch.setattr(trying, "_said_in_box", spoil)
    chosen = await find_means(boxes(tmp_path), templates=tmp_path / "a", work_dir=tmp_path / "b")
    assert chosen.reasons[0] == "No overlay: a box could change a layer."
