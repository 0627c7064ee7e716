"""Which packages of a uv workspace have tests that pytest at its top does not run. Pure.

https://docs.astral.sh/uv/concepts/projects/workspaces/
"""

import re
import shlex

from codebot.domain.tree import ASIDE, Tree

MOST_MEMBERS = 50
LONGEST_MANIFEST = 1024 * 1024
"""Bytes; nobody writes more than that to say how the tests run."""

_WORKSPACE, _PYTEST = (
    re.compile(rf"^[ \t]*\[[ \t]*tool[ \t]*\.[ \t]*{table}\b", re.MULTILINE)
    for table in (r"uv[ \t]*\.[ \t]*workspace", "pytest")
)
"""Searched for, not parsed: of a name with 50,000 dots, tomllib makes gigabytes."""

_PATHS = re.compile(
    r"^[ \t]*testpaths[ \t]*=[ \t]*(\[[^\]]{0,10000}\]|[\"'][^\"'\n]{0,1000}[\"'])", re.MULTILINE
)
_PATH = re.compile(r"[\"']([^\"'\n]+)[\"']")


def tests_of_each(tree: Tree, test: str) -> str:
    """Give the command that runs `test` at the top and in each package that it leaves out there.

    It is "" where it leaves none out. All are run, and the first failure is the end's.
    """
    members = _left_out(tree)
    if not members:
        return ""
    folders = " ".join(map(shlex.quote, members))
    return (
        f"ended=0; for each in . {folders}; do (cd $each && {test}) || ended=$?; done;"
        " (exit $ended)"
    )


def _left_out(tree: Tree) -> list[str]:
    """Give the folders of packages that set pytest up and are none of the top's `testpaths`."""
    manifest = _text(tree, "pyproject.toml")
    named = _PATHS.search(manifest)
    if named is None or not _WORKSPACE.search(manifest):
        return []
    paths = [path.strip("./") for path in _PATH.findall(named[1])]
    if any("*" in path or not path for path in paths):
        return []
    return [folder for folder in _packages(tree) if not any(_meet(folder, path) for path in paths)]


def _packages(tree: Tree) -> list[str]:
    found = sorted(path for path in tree.paths if path.endswith("/pyproject.toml"))
    own = (path for path in found if ASIDE.isdisjoint(path.split("/")))
    set_up = (path for path in own if _PYTEST.search(_text(tree, path)))
    return [path.rpartition("/")[0] for path in set_up][:MOST_MEMBERS]


def _meet(one: str, other: str) -> bool:
    """Say whether one folder lies in the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _text(tree: Tree, path: str) -> str:
    content = tree.contents.get(path, b"")
    return "" if len(content) > LONGEST_MANIFEST else content.decode("utf-8-sig", "replace")
