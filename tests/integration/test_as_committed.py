"""What git would rewrite by itself in an untouched checkout is not the agent's."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from codebot.domain.outcome import Checkout
from codebot.errors import NothingChanged
from codebot.workspace.places import Places
from fakes.git_http import git
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in, task_id

REWRITTEN: dict[str, bytes] = {
    "a.bat": b"one\r\ntwo\r\n",
    "mixed.bat": b"one\r\ntwo\n",
    "old/crlf.cmd": b"one\r\n",
    "plain.txt": b"one\r\n",
    "input.cfg": b"one\r\n",
    "id.c": b"/* $Id: committed expanded $ */\n",
    "broken.utf16": b"\xff\xfe\xfa not UTF-8",
    'we ird [1]*?/q"uo\\te.bat': b"one\r\n",
    "new\nline.bat": b"one\r\n",
    "\udcff.bat": b"one\r\n",
}
"""Files of which `git add` makes something else, under the attributes below."""
SETTLED: dict[str, bytes] = {
    "lf.bat": b"one\ntwo\n",
    "id.h": b"/* $Id$ */\n",
    "good.utf16": b"text",
    "README.md": b"hello\n",
    "run.sh": b"#!/bin/sh\n",
}
ATTRIBUTES = (
    b"* text=auto\n*.bat text eol=crlf\n*.txt text\n*.[ch] ident\n*.cfg eol=lf\n"
    b"*.utf16 text working-tree-encoding=UTF-16\n*.md export-subst\n"
)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    """Serve files that were committed first, and given attributes later."""
    async with open_workshop(tmp_path, REWRITTEN | SETTLED) as shop:
        _add_attributes(shop)
        yield shop


def _add_attributes(shop: Workshop) -> None:
    """Commit them alone: `add --all` would rewrite the files, which people forget to have done."""
    tree = shop.root / "person"
    git("clone", "-q", str(shop.server.path(OWNER, NAME)), str(tree))
    (tree / ".gitattributes").write_bytes(ATTRIBUTES)
    (tree / "old" / ".gitattributes").write_bytes(b"*.cmd crlf\n")
    run_in(tree, "add", ".gitattributes", "old/.gitattributes")
    run_in(tree, "commit", "-qm", "Add attributes")
    run_in(tree, "push", "-q", "origin", "HEAD")


def _nothing(tree: Path) -> None:
    del tree


def _touch_all(tree: Path) -> None:
    for file in tree.rglob("*"):
        if ".git" not in file.relative_to(tree).parts and file.is_file():
            os.utime(file, (1_000_000_000, 1_000_000_000))


def _lose_git(tree: Path) -> None:
    shutil.rmtree(tree / ".git")


def _lose_the_index(tree: Path) -> None:
    (tree / ".git" / "index").unlink()


def _forget_the_exceptions(tree: Path) -> None:
    shutil.rmtree(tree / ".git" / "info")
    (tree / ".git" / "info").write_text("in the way")
    _touch_all(tree)


def _begin_an_orphan(tree: Path) -> None:
    run_in(tree, "checkout", "-q", "--orphan", "fresh")
    run_in(tree, "rm", "-rq", "--cached", ".")


def _stash_and_pop(tree: Path) -> None:
    (tree / "README.md").write_text("for a while\n")
    run_in(tree, "stash")
    run_in(tree, "stash", "pop")
    (tree / "README.md").write_text("hello\n")


def _go_there_and_back(tree: Path) -> None:
    run_in(tree, "checkout", "-q", "HEAD~1")
    run_in(tree, "checkout", "-q", "main")


WAYS = [
    _nothing,
    _touch_all,
    _lose_git,
    _lose_the_index,
    _forget_the_exceptions,
    _begin_an_orphan,
    _stash_and_pop,
    _go_there_and_back,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
async def test_who_edits_nothing_changes_nothing_and_who_edits_one_file_that_one(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)
    way(checkout.tree)
    await _edit_and_collect(shop, checkout, "a.bat")


@pytest.mark.parametrize("edited", ["mixed.bat", "plain.txt", "id.c", "README.md"])
async def test_an_edit_changes_the_lines_that_were_edited(shop: Workshop, edited: str) -> None:
    await _edit_and_collect(shop, await shop.prepare(), edited)


async def _edit_and_collect(shop: Workshop, checkout: Checkout, edited: str) -> None:
    with (checkout.tree / edited).open("ab") as file:
        file.write(b"\nthree\r\n")
    change = await shop.collect(checkout)
    assert [(file.path, file.deletions) for file in change.files] == [(edited, 0)]


async def test_what_the_agent_commits_itself_holds_no_more(shop: Workshop) -> None:
    checkout = await shop.prepare()
    assert run_in(checkout.tree, "status", "--porcelain") == ""
    _touch_all(checkout.tree)
    (checkout.tree / "README.md").write_text("hello\nworld\n")
    run_in(checkout.tree, "add", "--all")
    run_in(checkout.tree, "commit", "-qm", "Greet")
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["README.md"]
    assert shop.log_of(checkout, change.tip_commit) == ["Greet"]


async def test_the_files_lie_there_as_they_were_committed(shop: Workshop) -> None:
    checkout = await shop.prepare()
    found = {name: (checkout.tree / name).read_bytes() for name in REWRITTEN}
    assert found == REWRITTEN


async def test_where_tests_run_they_lie_as_they_were_committed_as_well(shop: Workshop) -> None:
    checkout = await shop.prepare()
    place = await Places(shop.git, shop.sandbox).open(
        task_id(1), checkout, "base", checkout.base_commit, None
    )
    assert {name: (place.tree / name).read_bytes() for name in REWRITTEN} == REWRITTEN
    assert run_in(place.tree, "status", "--porcelain") == ""


async def test_what_comes_back_as_it_was_is_converted_as_ever(shop: Workshop) -> None:
    checkout = await shop.prepare()
    assert (checkout.tree / "lf.bat").read_bytes() == b"one\r\ntwo\r\n"
    assert b"$Id: " in (checkout.tree / "id.h").read_bytes()
    assert (checkout.tree / "good.utf16").read_bytes() == "text".encode("utf-16")
    (checkout.tree / "new.bat").write_bytes(b"one\r\n")
    change = await shop.collect(checkout)
    shown = git("-C", str(checkout.repository), "cat-file", "-s", f"{change.tip_commit}:new.bat")
    assert shown == "4"


async def test_line_ends_that_the_agent_was_asked_to_mend_are_its_work(shop: Workshop) -> None:
    checkout = await shop.prepare()
    for name in ("a.bat", "mixed.bat"):
        (checkout.tree / name).write_bytes(REWRITTEN[name].replace(b"\r", b""))
    change = await shop.collect(checkout)
    assert [file.path for file in change.files] == ["a.bat", "mixed.bat"]


async def test_a_base_that_moved_on_is_looked_at_anew(shop: Workshop) -> None:
    await shop.prepare()
    tree = shop.root / "person"
    (tree / ".gitattributes").write_text("* -text\n")
    (tree / "old" / ".gitattributes").write_text("* -text\n")
    run_in(tree, "commit", "-qam", "Take attributes back")
    run_in(tree, "push", "-q", "origin", "HEAD")
    checkout = await shop.prepare()
    for name, content in (REWRITTEN | SETTLED).items():
        assert (checkout.tree / name).read_bytes() == content
    assert not (checkout.repository / "info" / "attributes").exists()
    _touch_all(checkout.tree)
    with pytest.raises(NothingChanged):
        await shop.collect(checkout)
