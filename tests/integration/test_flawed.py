"""Repositories with something wrong in them: what a task does not need is not in its way."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from codebot.errors import BranchMissing, ChangeRefused, CloneFailed, NothingChanged, PushRejected
from fakes.git_http import git
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path) as shop:
        yield shop


def hash_object(remote: Path, kind: str, content: bytes) -> str:
    (remote / "raw").write_bytes(content)
    return git("hash-object", "-w", "--literally", "-t", kind, "raw", cwd=remote)


def commit_tree(remote: Path, branch: str, *entries: tuple[bytes, bytes, str]) -> None:
    """Write a commit as git would never make it: entries are mode, name, object."""
    content = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(i) for mode, name, i in entries)
    tree = hash_object(remote, "tree", content)
    git("update-ref", f"refs/heads/{branch}", git("commit-tree", tree, "-m", "x", cwd=remote),
        cwd=remote)  # fmt: skip


def duplicate_entry(remote: Path, branch: str) -> None:
    one, two = (hash_object(remote, "blob", text) for text in (b"one\n", b"two\n"))
    commit_tree(remote, branch, (b"100644", b"a", one), (b"100644", b"a", two))


def long_attributes(remote: Path, branch: str) -> None:
    line = hash_object(remote, "blob", b"*.x " + b"a" * 3_000 + b"\n")
    commit_tree(remote, branch, (b"100644", b".gitattributes", line))


def nameless_author(remote: Path, branch: str) -> None:
    tree = git("rev-parse", "main^{tree}", cwd=remote)
    text = f"tree {tree}\nauthor\ncommitter A <a@b> 1 +0000\n\nx\n".encode()
    git("update-ref", f"refs/heads/{branch}", hash_object(remote, "commit", text), cwd=remote)


def lose(remote: Path, name: str) -> None:
    lost = git("rev-parse", name, cwd=remote)
    (remote / "objects" / lost[:2] / lost[2:]).unlink()


def missing_blob(remote: Path, branch: str) -> None:
    blob = hash_object(remote, "blob", b"soon lost\n")
    commit_tree(remote, branch, (b"100644", b"a", blob))
    lose(remote, blob)


def missing_tip(remote: Path, branch: str) -> None:
    duplicate_entry(remote, branch)
    lose(remote, branch)


FLAWS = [duplicate_entry, long_attributes, nameless_author, missing_blob, missing_tip]
HARMLESS = [duplicate_entry, long_attributes, nameless_author]


@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_flaw_on_another_branch_is_in_nobodys_way(
    shop: Workshop, flaw: Callable[[Path, str], None]
) -> None:
    remote = shop.server.path(OWNER, NAME)
    git("tag", "v1", "main", cwd=remote)
    tip = shop.server.commit(OWNER, NAME, {"later": "x"}, branch="next")
    flaw(remote, "old")

    first = await shop.prepare(1)

    assert run_in(first.tree, "status", "--porcelain") == ""
    assert run_in(first.tree, "describe", "--tags") == "v1"
    assert (await shop.prepare(2, "next")).base_commit == tip


@pytest.mark.parametrize("flaw", HARMLESS)
async def test_old_sins_in_the_base_itself_do_no_harm(
    shop: Workshop, flaw: Callable[[Path, str], None]
) -> None:
    flaw(shop.server.path(OWNER, NAME), "old")

    checkout = await shop.prepare(1, "old")

    (checkout.tree / "new.txt").write_text("x")
    assert "new.txt" in [file.path for file in (await shop.collect(checkout)).files]


@pytest.mark.parametrize("flaw", HARMLESS)
async def test_who_does_nothing_beside_an_old_sin_has_changed_nothing(
    shop: Workshop, flaw: Callable[[Path, str], None]
) -> None:
    flaw(shop.server.path(OWNER, NAME), "old")
    checkout = await shop.prepare(1, "old")
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)


async def test_a_new_file_that_git_refuses_is_refused_also_beside_an_old_one(
    shop: Workshop,
) -> None:
    long_attributes(shop.server.path(OWNER, NAME), "old")
    checkout = await shop.prepare(1, "old")
    (checkout.tree / "deeper").mkdir()
    (checkout.tree / "deeper" / ".gitattributes").write_text("*.y " + "b" * 3_000)
    with pytest.raises(ChangeRefused, match="gitattributesLineLength"):
        await shop.collect(checkout)


async def test_a_base_with_lost_objects_is_called_damaged_at_once(shop: Workshop) -> None:
    missing_blob(shop.server.path(OWNER, NAME), "old")

    with pytest.raises(CloneFailed, match="damaged where it is kept") as failed:
        await shop.prepare(1, "old")

    assert "unable to read" in failed.value.detail
    assert "aborting due to possible repository corruption" in failed.value.detail
    assert failed.value.retry_after is None
    assert "git fsck" in failed.value.hint


async def test_a_branch_that_is_missing_beside_a_flaw_is_called_so(shop: Workshop) -> None:
    duplicate_entry(shop.server.path(OWNER, NAME), "old")
    with pytest.raises(BranchMissing):
        await shop.prepare(1, "gone")


async def test_a_branch_in_the_way_of_ours_is_found_beside_a_flaw(shop: Workshop) -> None:
    shop.server.commit(OWNER, NAME, {"x": "y"}, branch="u")
    duplicate_entry(shop.server.path(OWNER, NAME), "old")
    with pytest.raises(PushRejected, match="has a branch u, beside"):
        await shop.prepare(1, "main")


async def test_what_a_server_refuses_in_its_own_words_is_final(shop: Workshop) -> None:
    remote = shop.server.path(OWNER, NAME)
    git("config", "uploadpack.allowFilter", "false", cwd=remote)
    (remote / "config").write_text("[broken\n")
    shop.forge.url = lambda _: str(remote)
    shop.forge.token = None  # type: ignore[assignment]

    with pytest.raises(CloneFailed, match="bad config line 1") as failed:
        await shop.prepare(1)

    assert failed.value.retry_after is None
