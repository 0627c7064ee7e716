import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.domain.repository import ForgeKind, Repository
from codebot.errors import ForgeBroken
from codebot.workspace.folders import delete_folder
from fakes.deep import make_deep
from fakes.git_http import Fault, git
from fakes.workshop import FILES, NAME, OWNER, Workshop, add_gitlink, open_workshop, run_in, task_id


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


async def test_a_task_gets_a_clean_tree_at_the_tip_of_its_base(shop: Workshop) -> None:
    tip = shop.server.commit(OWNER, NAME, {"new.txt": "x"}, branch="release/1.x")
    checkout = await shop.prepare(1, "release/1.x")
    assert (checkout.base_branch, checkout.base_commit) == ("release/1.x", tip)
    assert sorted(path.name for path in checkout.tree.iterdir()) == sorted(
        [".git", ".gitignore", "README.md", "new.txt", "src"]
    )
    assert run_in(checkout.tree, "status", "--porcelain", "--branch") == "## release/1.x"
    assert run_in(checkout.tree, "log", "-1", "--format=%H") == tip


async def test_a_tree_begun_from_what_the_mirror_knew_moves_on_with_the_news(
    shop: Workshop,
) -> None:
    await shop.prepare(1)
    person = shop.root / "person"
    git("clone", "-q", str(shop.server.path(OWNER, NAME)), str(person))
    run_in(person, "mv", "src/app.py", "README.txt")
    run_in(person, "commit", "-qm", "move")
    run_in(person, "push", "-q", "--force", "origin", "HEAD:main")
    checkout = await shop.prepare(2)
    assert checkout.base_commit == run_in(person, "rev-parse", "HEAD")
    assert {path.name for path in checkout.tree.iterdir()} == {
        *(".git", ".gitignore", "README.md", "README.txt")
    }
    assert run_in(checkout.tree, "status", "--porcelain", "--branch") == "## main"


async def test_without_a_base_branch_the_forge_names_it(tmp_path: Path) -> None:
    async with open_workshop(tmp_path) as shop:
        shop.server.commit(OWNER, NAME, {"x": "y"}, branch="trunk")
        shop.forge.default = "trunk"
        assert (await shop.prepare(1)).base_branch == "trunk"


async def test_a_forge_that_does_not_know_the_branch_ends_it(shop: Workshop) -> None:
    shop.forge.fail_next("default_branch", ForgeBroken("down"))
    with pytest.raises(ForgeBroken):
        await shop.prepare(1)


async def test_the_agent_can_commit_at_once_and_has_nowhere_to_push(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    run_in(checkout.tree, "commit", "--allow-empty", "-m", "mine")
    assert run_in(checkout.tree, "remote") == ""
    config = (checkout.tree / ".git" / "config").read_text()
    assert "url" not in config


async def test_every_folder_of_a_task_is_private(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    top = checkout.tree.parent
    for folder in (top.parent, top, checkout.tree, checkout.home, checkout.repository):
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_no_token_is_left_on_disk(shop: Workshop) -> None:
    await shop.prepare(1)
    token = shop.server.token.encode()
    files = [path for path in shop.root.rglob("*") if path.is_file()]
    assert not [path for path in files if token in path.read_bytes()]


async def test_a_tree_that_a_killed_run_left_is_made_anew(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    (checkout.tree / "half.txt").write_text("done")
    (checkout.tree / "README.md").unlink()
    (checkout.home / "session").write_text("old")
    again = await shop.open_workspaces().prepare(
        task_id(1), shop.repository, None, shop.forge, work_branch="w"
    )
    assert again == checkout
    assert run_in(checkout.tree, "status", "--porcelain") == ""
    assert not (checkout.home / "session").exists()


async def test_a_half_made_folder_is_made_anew(shop: Workshop) -> None:
    tree = shop.work_dir / task_id(1) / "tree"
    tree.mkdir(parents=True)
    (tree / "x").write_text("y")
    checkout = await shop.prepare(1)
    assert run_in(checkout.tree, "status", "--porcelain") == ""


async def test_what_an_agent_does_to_its_git_leaves_the_mirror_as_it_was(shop: Workshop) -> None:
    checkout = await shop.prepare(1)

    def mirror_files() -> dict[Path, bytes]:
        files = [path for path in shop.mirror.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files}

    before = mirror_files()
    (checkout.tree / "x").write_text("y")
    run_in(checkout.tree, "add", "-A")
    run_in(checkout.tree, "commit", "-qm", "x")
    for command in (["gc", "-q", "--prune=now", "--aggressive"], ["repack", "-adq"], ["prune"]):
        run_in(checkout.tree, *command)
    run_in(checkout.tree, "config", "core.bare", "false")
    delete_folder(checkout.tree / ".git")
    assert mirror_files() == before


async def test_submodules_and_lfs_files_are_left_as_they_are(shop: Workshop) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n"
    shop.server.commit(
        OWNER,
        NAME,
        {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "big.bin": pointer,
            ".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = https://example.org/s.git\n',
        },
    )
    remote = str(shop.server.path(OWNER, NAME))
    base = git("-C", remote, "rev-parse", "main")
    listing = git("-C", remote, "ls-tree", "main")
    add_gitlink(remote, listing, base)
    checkout = await shop.prepare(1)
    assert (checkout.tree / "big.bin").read_text() == pointer
    assert list((checkout.tree / "s").iterdir()) == []
    (checkout.tree / "README.md").write_text("changed")
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["README.md"]


async def test_links_in_a_repository_stay_links(shop: Workshop, tmp_path: Path) -> None:
    person = tmp_path / "person"
    git("clone", "-q", str(shop.server.path(OWNER, NAME)), str(person))
    (person / "out").symlink_to("/etc")
    (person / "passwd").symlink_to("/etc/passwd")
    run_in(person, "add", "-A")
    run_in(person, "commit", "-qm", "links")
    run_in(person, "push", "-q", "origin", "HEAD:main")
    checkout = await shop.prepare(1)
    assert (checkout.tree / "out").readlink() == Path("/etc")
    texts = await shop.workspaces.read_texts(
        checkout, checkout.base_commit, ["passwd", "out", "README.md", "none"]
    )
    assert texts == {"README.md": "hello\n"}


async def test_files_are_read_from_the_commit_not_from_the_tree(shop: Workshop) -> None:
    checkout = await shop.prepare(1)
    (checkout.tree / "README.md").write_text("changed")
    tree = await shop.workspaces.read_tree(checkout, checkout.base_commit)
    assert tree.paths == frozenset(FILES)
    assert tree.contents == {"README.md": b"hello\n", ".gitignore": b"*.log\n"}


async def test_removing_a_workspace_takes_odd_permissions_and_links(
    shop: Workshop, tmp_path: Path
) -> None:
    checkout = await shop.prepare(1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (checkout.tree / "link").symlink_to(outside)
    locked = checkout.tree / "locked" / "deeper"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    for folder in (locked, locked.parent):
        folder.chmod(0o000)
    await shop.workspaces.remove(task_id(1))
    assert not checkout.tree.parent.exists()
    assert (outside / "precious").exists()
    await shop.workspaces.remove(task_id(1))


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    make_deep(tmp_path / "tree", 1500)
    try:
        delete_folder(tmp_path / "tree")
        assert not (tmp_path / "tree").exists()
    finally:  # what is left of it would be too deep for pytest's own clean-up, too
        subprocess.run(["/bin/rm", "-rf", tmp_path / "tree"], check=True)


async def test_only_tasks_are_listed(shop: Workshop) -> None:
    assert shop.workspaces.task_ids() == set()
    await shop.prepare(1)
    (shop.work_dir / "somebody's notes").mkdir()
    (shop.work_dir / ("f" * 32)).mkdir()
    assert shop.workspaces.task_ids() == {task_id(1)}


async def test_a_folder_is_worked_on_like_any_remote(shop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    git("clone", "-q", str(shop.server.path(OWNER, NAME)), str(folder))
    (folder / "uncommitted").write_text("stays here")
    repository = Repository(ForgeKind.LOCAL, "localhost", "local-1", "mine", str(folder), folder)
    shop.forge.token = None  # type: ignore[assignment]
    checkout = await shop.workspaces.prepare(
        task_id(1), repository, None, shop.forge, work_branch="w"
    )
    assert not (checkout.tree / "uncommitted").exists()
    assert shop.server.fetches == 0


async def test_a_task_of_a_mirror_that_is_gone_can_still_be_removed(shop: Workshop) -> None:
    await shop.prepare(1)
    delete_folder(shop.mirrors)
    await shop.workspaces.remove(task_id(1))
    assert shop.workspaces.task_ids() == set()


async def test_a_fetch_that_failed_leaves_no_folder_of_the_task(shop: Workshop) -> None:
    shop.server.fail_next("fetch", Fault(status=404))
    with pytest.raises(Exception, match="does not exist"):
        await shop.prepare(1)
    assert shop.workspaces.task_ids() == set()
