"""A file whose filter is not run here does not go out as it is."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from codebot.errors import ChangeRefused
from codebot.workspace.limits import Limits
from fakes.workshop import NAME, OWNER, Workshop, open_workshop, run_in

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
NO_GIT_LFS = frozenset({"git-lfs"})
FILES = {
    ".gitattributes": "[attr]big filter=lfs diff=lfs -text\n*.png big\n",
    "vault/.gitattributes": "* filter=git-crypt diff=git-crypt\n.gitattributes !filter !diff\n",
    "vault/key": "\0GITCRYPT\0 nobody can read this",
    "logo.png": POINTER,
    "README.md": "hello\n",
}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with open_workshop(tmp_path, FILES, lacking=NO_GIT_LFS) as shop:
        yield shop


def _commit(tree: Path) -> None:
    run_in(tree, "add", "-A")
    run_in(tree, "commit", "-qm", "step")


def _overwrite_a_pointer(tree: Path) -> None:
    (tree / "logo.png").write_bytes(b"\x89PNG raw")


def _add_a_file(tree: Path) -> None:
    (tree / "img").mkdir()
    (tree / "img" / "new.png").write_bytes(b"\x89PNG raw")


def _write_plaintext(tree: Path) -> None:
    (tree / "vault" / "key").write_text("plaintext")


def _take_it_back_later(tree: Path) -> None:
    _write_plaintext(tree)
    _commit(tree)
    run_in(tree, "revert", "--no-edit", "HEAD")
    (tree / "README.md").write_text("hello again\n")


def _disarm_it(tree: Path) -> None:
    (tree / "vault" / ".gitattributes").unlink()
    (tree / ".gitattributes").write_text("* !filter -filter\n[attr]big -text\n")
    _write_plaintext(tree)


def _disarm_it_first(tree: Path) -> None:
    (tree / "vault" / ".gitattributes").write_text("* -filter\n")
    _commit(tree)
    _write_plaintext(tree)


def _disarm_it_deeper(tree: Path) -> None:
    (tree / "vault" / "in").mkdir()
    (tree / "vault" / "in" / ".gitattributes").write_text("* -filter\n")
    (tree / "vault" / "in" / "new").write_text("plaintext")


def _disarm_it_for_this_repository(tree: Path) -> None:
    (tree / ".git" / "info").mkdir(exist_ok=True)
    (tree / ".git" / "info" / "attributes").write_text("* -filter\n")
    run_in(tree, "config", "filter.git-crypt.clean", "cat")
    _write_plaintext(tree)


def _move_a_file_in(tree: Path) -> None:
    (tree / "README.md").write_text("no longer what it was\n")
    (tree / "README.md").rename(tree / "vault" / "README.md")


def _move_a_file_in_as_it_is(tree: Path) -> None:
    (tree / "README.md").rename(tree / "vault" / "README.md")


def _copy_a_file_in(tree: Path) -> None:
    (tree / "copy.png").write_bytes((tree / "README.md").read_bytes())


def _move_it_from_one_filter_to_another(tree: Path) -> None:
    (tree / "logo.png").rename(tree / "vault" / "logo")


def _bring_a_filter_along(tree: Path) -> None:
    (tree / ".gitattributes").write_text("*.dat filter=sops\n")
    (tree / "x.dat").write_text("plaintext")


def _merge_it_in(tree: Path) -> None:
    run_in(tree, "checkout", "-qb", "side")
    _write_plaintext(tree)
    _commit(tree)
    run_in(tree, "checkout", "-q", "main")
    run_in(tree, "merge", "-q", "--no-ff", "-m", "merge", "side")


@pytest.mark.parametrize(
    ("way", "path", "name"),
    [
        (_overwrite_a_pointer, "logo.png", "lfs"),
        (_add_a_file, "img/new.png", "lfs"),
        (_write_plaintext, "vault/key", "git-crypt"),
        (_take_it_back_later, "vault/key", "git-crypt"),
        (_disarm_it, "vault/key", "git-crypt"),
        (_disarm_it_first, "vault/key", "git-crypt"),
        (_disarm_it_deeper, "vault/in/new", "git-crypt"),
        (_disarm_it_for_this_repository, "vault/key", "git-crypt"),
        (_move_a_file_in, "vault/README.md", "git-crypt"),
        (_move_a_file_in_as_it_is, "vault/README.md", "git-crypt"),
        (_copy_a_file_in, "copy.png", "lfs"),
        (_move_it_from_one_filter_to_another, "vault/logo", "git-crypt"),
        (_bring_a_filter_along, "x.dat", "sops"),
        (_merge_it_in, "vault/key", "git-crypt"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
async def test_a_file_that_should_have_been_filtered_is_refused_by_its_name(
    shop: Workshop, way: Callable[[Path], None], path: str, name: str
) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    with pytest.raises(ChangeRefused, match=rf"{path}[^;]* the filter '{name}'") as refused:
        await shop.collect(checkout)
    assert "CODEBOT_FILTERS" in refused.value.hint


def _move_a_pointer(tree: Path) -> None:
    (tree / "logo.png").rename(tree / "icon.png")


def _delete_a_secret(tree: Path) -> None:
    (tree / "vault" / "key").unlink()


def _make_it_executable(tree: Path) -> None:
    (tree / "vault" / "key").chmod(0o755)


def _add_an_empty_file(tree: Path) -> None:
    (tree / "vault" / "none").touch()


def _add_a_link(tree: Path) -> None:
    (tree / "vault" / "link").symlink_to("key")


def _edit_attributes(tree: Path) -> None:
    (tree / ".gitattributes").write_text("*.png filter=lfs\n*.md text\n")


def _edit_what_has_none(tree: Path) -> None:
    (tree / "README.md").write_text("hello again\n")


@pytest.mark.parametrize(
    "way",
    [
        _move_a_pointer,
        _delete_a_secret,
        _make_it_executable,
        _add_an_empty_file,
        _add_a_link,
        _edit_attributes,
        _edit_what_has_none,
    ],
    ids=lambda way: way.__name__.strip("_"),
)
async def test_what_holds_nothing_unfiltered_may_go_out(
    shop: Workshop, way: Callable[[Path], None]
) -> None:
    checkout = await shop.prepare()
    way(checkout.tree)
    assert (await shop.collect(checkout)).files


async def test_what_people_changed_on_a_branch_that_was_merged_may_go_out(shop: Workshop) -> None:
    theirs = shop.server.commit(OWNER, NAME, {"logo.png": POINTER.replace("5", "6")}, "topic")
    checkout = await shop.prepare()
    (checkout.tree / "README.md").write_text("hello again\n")
    _commit(checkout.tree)
    run_in(checkout.tree, "merge", "-q", "--no-ff", "-m", "merge", theirs)
    assert len((await shop.collect(checkout)).files) == 2


async def test_a_filter_that_the_operator_named_lets_its_files_out(tmp_path: Path) -> None:
    limits = Limits(allowed_filters=("lfs",))
    async with open_workshop(tmp_path, FILES, limits, lacking=NO_GIT_LFS) as shop:
        checkout = await shop.prepare()
        _overwrite_a_pointer(checkout.tree)
        assert (await shop.collect(checkout)).files
        _write_plaintext(checkout.tree)
        with pytest.raises(ChangeRefused, match="git-crypt"):
            await shop.collect(checkout)
