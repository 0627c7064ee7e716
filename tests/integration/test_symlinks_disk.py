"""Where links lead to on a real disk, compared with what their names alone say."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from codebot.workspace.symlinks import why_it_leaves

NAME = st.sampled_from("abcd")
PATH = st.lists(NAME, min_size=1, max_size=3).map("/".join)
TARGET = st.lists(st.sampled_from(["a", "b", "c", "d", ".", "..", ".."]), min_size=1, max_size=5)
DEPTH = "a/b/c/d/a/b/c/d/a/b/c/d/top"
"""As deep as any target goes up: from outside of the top no name leads back in."""


@settings(max_examples=300)
@given(st.dictionaries(PATH, TARGET.map("/".join), max_size=6), st.sets(PATH, max_size=3))
def test_a_link_leaves_where_the_disk_says_so(links: dict[str, str], folders: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder).resolve() / DEPTH
        top.mkdir(parents=True)
        made = {path: target for path, target in links.items() if _link(top / path, target)}
        for path in folders:
            _make_folder(top / path)
        for path in made:
            where = why_it_leaves(path, made)
            if where != "in circles":
                real = os.path.realpath(top / path)
                assert (where is not None) != Path(real).is_relative_to(top), (path, made)


def _link(path: Path, target: str) -> bool:
    """Make the link; say no where the path is taken, or leads through another link."""
    if not _make_folder(path.parent) or path.is_symlink() or path.exists():
        return False
    path.symlink_to(target)
    return True


def _make_folder(path: Path) -> bool:
    parents = [path, *path.parents]
    if any(parent.is_symlink() for parent in parents):
        return False
    path.mkdir(parents=True, exist_ok=True)
    return True


def test_what_runs_in_circles_is_nothing_the_disk_can_open(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b/x")
    (tmp_path / "b").symlink_to("a")
    assert why_it_leaves("a", {"a": "b/x", "b": "a"}) == "in circles"
    assert not (tmp_path / "a").exists()
