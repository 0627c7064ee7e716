"""The one project of a repository whose top folder says nothing of any. Pure."""

import re

from codebot.domain.tree import ASIDE, Tree

_SAYS_HOW = re.compile(
    r"pyproject\.toml|setup\.(?:py|cfg)|requirements\.txt|package\.json|go\.mod|Cargo\.toml|pom\.xml|"
    r"build\.gradle(?:\.kts)?|CMakeLists\.txt|meson\.build|configure(?:\.ac)?|mix\.exs|"
    r"composer\.json|Gemfile"
)
"""What a project is set up or built by."""

_TEST = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec)/|(?:^|/)test_[^/]*\.py$|_test\.(?:go|py)$|"
    r"\.(?:test|spec)\.[cm]?[jt]sx?$"
)


def only_project(tree: Tree) -> str:
    """Give the one folder that says how it is set up and has tests, "" where there is no such one.

    >>> only_project(Tree(frozenset({"lib/configure.ac", "lib/tests/a.c", "docs/conf.py"})))
    'lib'
    """
    says = {path.partition("/")[0] for path in tree.paths if _says_how(path)}
    tested = [folder for folder in sorted(says - ASIDE) if _has_tests(tree.below(folder))]
    return tested[0] if len(tested) == 1 else ""


def _says_how(path: str) -> bool:
    _, slash, name = path.partition("/")
    return bool(slash) and _SAYS_HOW.fullmatch(name) is not None


def _has_tests(tree: Tree) -> bool:
    return any(map(_TEST.search, tree.paths))
