import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codebot.domain.repository import Identity
from codebot.errors import ChangeRefused, DiskFull, NothingChanged
from codebot.workspace.limits import Limits
from fakes.git_http import git
from fakes.workshop import BOT, FILES, NAME, OWNER, Workshop, open_workshop, run_in


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


# --- what comes out -----------------------------------------------------------------------------


async def test_what_is_not_committed_becomes_a_commit_of_the_bot(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "README.md").write_text("hello\nworld\n")
    (checkout.tree / "new dir").mkdir()
    (checkout.tree / "new dir" / "ünï.txt").write_text("a\nb\n")
    (checkout.tree / "src" / "app.py").unlink()
    (checkout.tree / "noise.log").write_text("ignored")
    change = await shop.collect(checkout, message="Greet the world\n\nWhy not.")
    assert shop.files_of(checkout, change.tip_commit) == {
        ".gitignore": "*.log",
        "README.md": "hello\nworld",
        "new dir/ünï.txt": "a\nb",
    }
    assert {(file.path, file.additions, file.deletions) for file in change.files} == {
        ("README.md", 1, 0),
        ("new dir/ünï.txt", 2, 0),
        ("src/app.py", 0, 1),
    }
    assert (change.commits, change.base_commit) == (1, checkout.base_commit)
    assert shop.log_of(checkout, change.tip_commit, "%an <%ae> %cn <%ce> %s") == [
        f"{BOT.name} <{BOT.email}> {BOT.name} <{BOT.email}> Greet the world"
    ]


async def test_the_agents_tree_stands_at_what_was_collected(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "x").write_text("y")
    change = await shop.collect(checkout)
    assert run_in(checkout.tree, "rev-parse", "HEAD") == change.agent_commit
    assert run_in(checkout.tree, "status", "--porcelain") == ""
    ours = git("-C", str(checkout.repository), "rev-parse", f"{change.tip_commit}^{{tree}}")
    assert run_in(checkout.tree, "rev-parse", "HEAD^{tree}") == ours


async def test_the_agents_commits_are_kept_in_order_and_signed_by_the_bot(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for number in range(3):
        (checkout.tree / f"{number}.txt").write_text("x")
        run_in(checkout.tree, "add", "-A")
        message = f"Step {number}\n\nCo-Authored-By: Claude <noreply@anthropic.com>"
        run_in(checkout.tree, "commit", "-qm", message)
    (checkout.tree / "rest.txt").write_text("x")
    change = await shop.collect(checkout, message="The rest")
    assert shop.log_of(checkout, change.tip_commit) == ["Step 0", "Step 1", "Step 2", "The rest"]
    assert set(shop.log_of(checkout, change.tip_commit, "%an%cn")) == {BOT.name * 2}
    bodies = "\n".join(shop.log_of(checkout, change.tip_commit, "%B"))
    assert "anthropic" not in bodies.lower()
    assert change.commits == 4


async def test_messages_of_many_megabytes_stop_nobody_else(shop: Workshop) -> None:
    checkout = await shop.prepare()
    made, tree = checkout.base_commit, run_in(checkout.tree, "rev-parse", "HEAD^{tree}")
    words = checkout.home / "words"
    words.write_text("Mend it\n\n" + (" " * 7000 + ".") * 20)
    for _ in range(20):
        made = run_in(checkout.tree, "commit-tree", tree, "-p", made, "-F", str(words))
    run_in(checkout.tree, "update-ref", "HEAD", made)
    (checkout.tree / "README.md").write_text("mended\n")
    longest, collecting = 0.0, asyncio.create_task(shop.collect(checkout))
    while not collecting.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
    assert (await collecting).commits == 21
    assert longest < 0.2


async def test_a_merge_keeps_its_shape(shop: Workshop) -> None:
    checkout = await shop.prepare()
    run_in(checkout.tree, "checkout", "-q", "-b", "side")
    (checkout.tree / "side.txt").write_text("x")
    run_in(checkout.tree, "add", "-A")
    run_in(checkout.tree, "commit", "-qm", "side")
    run_in(checkout.tree, "checkout", "-q", "main")
    (checkout.tree / "main.txt").write_text("x")
    run_in(checkout.tree, "add", "-A")
    run_in(checkout.tree, "commit", "-qm", "main")
    run_in(checkout.tree, "merge", "-q", "--no-ff", "-m", "both", "side")
    change = await shop.collect(checkout)
    assert change.commits == 3
    parents = git("-C", str(checkout.repository), "log", "-1", "--format=%P", change.tip_commit)
    assert len(parents.split()) == 2
    assert {"side.txt", "main.txt"} <= set(shop.files_of(checkout, change.tip_commit))


async def test_commits_of_people_that_the_agent_merged_stay_theirs(shop: Workshop) -> None:
    theirs = shop.server.commit(OWNER, NAME, {"theirs.txt": "x"}, branch="topic")
    checkout = await shop.prepare()
    (checkout.tree / "x").write_text("y")
    run_in(checkout.tree, "add", "-A")
    run_in(checkout.tree, "commit", "-qm", "mine")
    run_in(checkout.tree, "merge", "-q", "-m", "merge", theirs)
    change = await shop.collect(checkout)
    assert change.commits == 2
    history = git("-C", str(checkout.repository), "rev-list", change.tip_commit).splitlines()
    assert theirs in history


async def test_collecting_twice_gives_the_same_commits(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "x").write_text("y")
    first = await shop.collect(checkout)
    assert await shop.collect(checkout) == first
    (checkout.tree / "z").write_text("y")
    second = await shop.collect(checkout, message="More")
    assert shop.log_of(checkout, second.tip_commit) == ["Do it", "More"]
    parent = git("-C", str(checkout.repository), "rev-parse", f"{second.tip_commit}^")
    assert parent == first.tip_commit


async def test_odd_names_of_authors_do_no_harm(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "x").write_text("y")
    odd = Identity("Robert <x>\ncommitter y", "a@b>\n")
    change = await shop.collect(checkout, author=odd)
    assert shop.log_of(checkout, change.tip_commit, "%an|%ae") == ["Robert xcommitter y|a@b"]


async def test_modes_links_and_binaries_come_through(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "run.sh").write_text("#!/bin/sh\n")
    (checkout.tree / "run.sh").chmod(0o755)
    (checkout.tree / "link").symlink_to("src/app.py")
    (checkout.tree / "data.bin").write_bytes(bytes(range(256)))
    change = await shop.collect(checkout)
    listing = git("-C", str(checkout.repository), "ls-tree", change.tip_commit)
    modes = {line.split("\t")[1]: line.split()[0] for line in listing.splitlines()}
    assert modes["run.sh"] == "100755"
    assert modes["link"] == "120000"
    diff = await shop.workspaces.diff(checkout, change.tip_commit, 100_000)
    assert "Binary files /dev/null and b/data.bin differ" in diff
    assert "root:" not in diff


def _write_each(folder: Path, names: list[bytes]) -> None:
    """Write files that all differ: of equal ones git lists the first alone."""
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(name + b"\n")


async def test_names_of_any_kind_come_through(shop: Workshop) -> None:
    checkout = await shop.prepare()
    names = [
        b"HEAD",
        b"main",
        b"--upload-pack=x",
        b"new\nline",
        b"old\rline",
        b"Icon\r",
        b"\xff\xfe",
        b'quo"te\\',
        b":(glob)*",
    ]
    _write_each(checkout.tree, names)
    change = await shop.collect(checkout)
    assert {file.path for file in change.files} == {name.decode(errors="replace") for name in names}


async def test_a_rename_counts_as_one_file(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "src" / "app.py").rename(checkout.tree / "main.py")
    change = await shop.collect(checkout)
    assert [(file.path, file.additions, file.deletions) for file in change.files] == [
        ("main.py", 0, 0)
    ]


async def test_a_diff_is_cut_at_its_bound_and_says_so(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "long.txt").write_text("line\n" * 50_000)
    change = await shop.collect(checkout)
    whole = await shop.workspaces.diff(checkout, change.tip_commit, 10_000_000)
    assert whole.count("\n+line") == 50_000
    cut = await shop.workspaces.diff(checkout, change.tip_commit, 1000)
    assert len(cut) < 1200
    assert "longer than 1000 bytes" in cut.splitlines()[-1]


# --- nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["nothing", "an ignored file", "there and back", "no content"])
async def test_a_tree_as_it_was_is_no_change(shop: Workshop, what: str) -> None:
    checkout = await shop.prepare()
    match what:
        case "an ignored file":
            (checkout.tree / "noise.log").write_text("x")
        case "there and back":
            (checkout.tree / "x").write_text("y")
            run_in(checkout.tree, "add", "-A")
            run_in(checkout.tree, "commit", "-qm", "there")
            run_in(checkout.tree, "revert", "--no-edit", "HEAD")
        case "no content":
            run_in(checkout.tree, "commit", "--allow-empty", "-qm", "nothing")
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)


# --- whatever the agent did to its git ----------------------------------------------------------


def _delete_git(tree: Path) -> None:
    shutil.rmtree(tree / ".git")


def _begin_anew(tree: Path) -> None:
    _delete_git(tree)
    run_in(tree, "init", "-q")
    run_in(tree, "add", "-A")
    run_in(tree, "commit", "-qm", "all of it")


def _make_git_a_file(tree: Path) -> None:
    (tree / ".git").rename(tree.parent / "home" / "elsewhere.git")
    (tree / ".git").write_text(f"gitdir: {tree.parent / 'home' / 'elsewhere.git'}\n")


def _make_git_a_link(tree: Path) -> None:
    (tree / ".git").rename(tree.parent / "home" / "elsewhere.git")
    (tree / ".git").symlink_to(tree.parent / "home" / "elsewhere.git")


def _break_the_index(tree: Path) -> None:
    (tree / ".git" / "index").write_bytes(b"DIRC nonsense")


def _break_the_config(tree: Path) -> None:
    (tree / ".git" / "config").write_text("[core\n")


def _forget_the_mirror(tree: Path) -> None:
    (tree / ".git" / "objects" / "info" / "alternates").unlink()


def _leave_locks(tree: Path) -> None:
    for lock in ("index.lock", "HEAD.lock", "refs/heads/main.lock", "config.lock"):
        (tree / ".git" / lock).touch()


def _leave_pipes(tree: Path) -> None:
    (tree / ".git" / "config").unlink()
    (tree / ".git" / "info").mkdir(exist_ok=True)
    for pipe in (".git/config", ".git/info/exclude", ".gitattributes", "src/pipe"):
        os.mkfifo(tree / pipe)


def _go_to_another_branch(tree: Path) -> None:
    run_in(tree, "checkout", "-q", "-b", "topic/of-mine")


def _detach(tree: Path) -> None:
    run_in(tree, "checkout", "-q", "--detach")


def _orphan(tree: Path) -> None:
    run_in(tree, "checkout", "-q", "--orphan", "fresh")


def _rewind(tree: Path) -> None:
    run_in(tree, "reset", "-q", "--soft", "HEAD~1")


def _amend(tree: Path) -> None:
    run_in(tree, "commit", "-q", "--amend", "-m", "mine now", "--allow-empty")


def _work_elsewhere(tree: Path) -> None:
    (tree.parent / "home" / "other").mkdir()
    run_in(tree, "config", "core.worktree", str(tree.parent / "home" / "other"))


def _be_bare(tree: Path) -> None:
    run_in(tree, "config", "core.bare", "true")


def _break_head(tree: Path) -> None:
    (tree / ".git" / "HEAD").write_text("ref: refs/heads/never-made\n")


def _replace_the_base(tree: Path) -> None:
    run_in(tree, "replace", "--graft", "HEAD")


WAYS = [
    _delete_git,
    _begin_anew,
    _make_git_a_file,
    _make_git_a_link,
    _break_the_index,
    _break_the_config,
    _forget_the_mirror,
    _leave_locks,
    _leave_pipes,
    _go_to_another_branch,
    _detach,
    _orphan,
    _rewind,
    _amend,
    _work_elsewhere,
    _be_bare,
    _break_head,
    _replace_the_base,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_the_work_in_the_tree_is_what_counts(shop: Workshop, way: object) -> None:
    assert callable(way)
    shop.server.commit(OWNER, NAME, {"second.txt": "x"})
    checkout = await shop.prepare()
    way(checkout.tree)
    (checkout.tree / "work.txt").write_text("paid for\n")
    change = await shop.collect(checkout)
    wanted = {*FILES, "second.txt", "work.txt"}
    assert set(shop.files_of(checkout, change.tip_commit)) == wanted
    assert [file.path for file in change.files] == ["work.txt"]
    assert shop.log_of(checkout, change.tip_commit) == ["Do it"]
    here = (f"--git-dir={checkout.tree / '.git'}", f"--work-tree={checkout.tree}")
    assert git(*here, "status", "--porcelain", "--untracked-files=all") == ""
    assert git(*here, "rev-parse", "HEAD") == change.agent_commit


async def test_a_disk_that_is_full_is_named_as_such(shop: Workshop) -> None:
    checkout = await shop.prepare()
    (checkout.tree / "work.txt").write_text("paid for\n")
    says_full = "cat >/dev/null; echo 'fatal: write error: No space left on device' >&2; exit 1"
    run_in(checkout.tree, "config", "filter.full.clean", says_full)
    run_in(checkout.tree, "config", "filter.full.required", "true")
    (checkout.tree / ".gitattributes").write_text("*.txt filter=full\n")
    with pytest.raises(DiskFull):
        await shop.collect(checkout)


@pytest.mark.parametrize("name", ["tree", "repository.git"])
@pytest.mark.parametrize("by", ["nothing", "a link"])
async def test_a_workspace_without_its_folders_is_refused_by_name(
    shop: Workshop, name: str, by: str
) -> None:
    checkout = await shop.prepare()
    folder = checkout.tree.parent / name
    folder.rename(folder.with_name("elsewhere"))
    if by == "a link":
        folder.symlink_to("elsewhere")
    with pytest.raises(ChangeRefused, match=f"the folder {name} of its own workspace"):
        await shop.collect(checkout)


async def test_a_merge_half_done_is_collected_as_it_lies(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for branch, text in (("side", "from the side\n"), ("main", "from here\n")):
        run_in(checkout.tree, "checkout", "-q", "-B", branch, checkout.base_commit)
        (checkout.tree / "README.md").write_text(text)
        run_in(checkout.tree, "commit", "-qam", branch)
    with pytest.raises(AssertionError, match="merge"):
        run_in(checkout.tree, "merge", "side")
    (checkout.tree / "README.md").write_text("both\n")
    change = await shop.collect(checkout)
    assert shop.files_of(checkout, change.tip_commit)["README.md"] == "both"


async def test_a_rebase_half_done_is_collected_as_it_lies(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for branch, text in (("side", "from the side\n"), ("main", "from here\n")):
        run_in(checkout.tree, "checkout", "-q", "-B", branch, checkout.base_commit)
        (checkout.tree / "README.md").write_text(text)
        run_in(checkout.tree, "commit", "-qam", branch)
    with pytest.raises(AssertionError, match="rebase"):
        run_in(checkout.tree, "rebase", "side")
    (checkout.tree / "README.md").write_text("both\n")
    change = await shop.collect(checkout)
    assert shop.files_of(checkout, change.tip_commit)["README.md"] == "both"
    assert change.commits == 2


# --- what may not cross the border --------------------------------------------------------------


async def test_a_repository_in_the_tree_is_refused_by_its_path(shop: Workshop) -> None:
    checkout = await shop.prepare()
    nested = checkout.tree / "vendor" / "tool"
    nested.mkdir(parents=True)
    run_in(nested, "init", "-q")
    run_in(nested, "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(ChangeRefused, match="vendor/tool"):
        await shop.collect(checkout)


async def test_a_repository_without_a_commit_is_refused_by_its_path(shop: Workshop) -> None:
    checkout = await shop.prepare()
    nested = checkout.tree / "empty-one"
    nested.mkdir()
    run_in(nested, "init", "-q")
    with pytest.raises(ChangeRefused, match="empty-one"):
        await shop.collect(checkout)


async def test_an_ignored_repository_in_the_tree_is_nobodys_business(shop: Workshop) -> None:
    checkout = await shop.prepare()
    nested = checkout.tree / "cache.log"
    nested.mkdir()
    run_in(nested, "init", "-q")
    (checkout.tree / "x").write_text("y")
    assert len((await shop.collect(checkout)).files) == 1


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(max_files=2), "3 files"),
        (Limits(max_commits=1), "2 commits"),
        (Limits(max_file_bytes=1000), r"[a-z]+\.txt, a file of more"),
        (Limits(max_pack_bytes=2000), "too large"),
    ],
    ids=["files", "commits", "size of a file", "size of all"],
)
async def test_a_change_beyond_the_limits_is_refused(
    tmp_path: Path, limits: Limits, words: str
) -> None:
    async with open_workshop(tmp_path, limits=limits) as shop:
        checkout = await shop.prepare()
        noise = random.Random(1).randbytes(4000).hex()
        for name in ("a.txt", "big.txt"):
            (checkout.tree / name).write_text(noise)
        run_in(checkout.tree, "add", "-A")
        run_in(checkout.tree, "commit", "-qm", "one")
        (checkout.tree / "c.txt").write_text("x")
        with pytest.raises(ChangeRefused, match=words):
            await shop.collect(checkout)


async def test_a_large_file_that_was_removed_again_is_found_all_the_same(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, limits=Limits(max_file_bytes=100_000)) as shop:
        checkout = await shop.prepare()
        (checkout.tree / "zeros").write_bytes(bytes(200_000))
        run_in(checkout.tree, "add", "-A")
        run_in(checkout.tree, "commit", "-qm", "zeros")
        (checkout.tree / "zeros").unlink()
        (checkout.tree / "x").write_text("y")
        with pytest.raises(ChangeRefused, match="zeros"):
            await shop.collect(checkout)


async def test_a_file_that_git_cannot_read_is_named(shop: Workshop) -> None:
    checkout = await shop.prepare()
    run_in(checkout.tree, "config", "filter.broken.clean", "false")
    run_in(checkout.tree, "config", "filter.broken.required", "true")
    (checkout.tree / ".gitattributes").write_text("*.x filter=broken\n")
    (checkout.tree / "file.x").write_text("y")
    with pytest.raises(ChangeRefused, match=r"file\.x"):
        await shop.collect(checkout)
