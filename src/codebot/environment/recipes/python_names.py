"""How Python projects call what their tests need: extras, groups, files of requirements. Pure."""

import re
from collections.abc import Iterable

TEST_NAMES = frozenset({"test", "tests", "testing", "dev"})
_SPLIT = re.compile(r"[-_.]+")
_ALL_NAMES = frozenset({"all", "complete", "everything", "full"})
_DEVELOPERS = frozenset({"dev", "devel", "develop", "development"})
_NATIVE = (".c", ".cc", ".cpp", ".cxx", ".pyx", ".rs", ".f90", ".f")
_PLACES = frozenset({"", "requirements", "reqs", "requires"})
_TEST_PLACES = frozenset({"test", "tests"})


def test_names(given: Iterable[str]) -> tuple[str, ...]:
    """Give those of the names that say "for tests" or "for developers", in their order.

    >>> test_names(["docs", "Test", "dev", "all"])
    ('Test', 'dev')
    """
    return tuple(name for name in given if name.lower() in TEST_NAMES)


test_names.__test__ = False  # type: ignore[attr-defined]


def next_best_names(given: Iterable[str]) -> tuple[str, ...]:
    """Give the names that say it in more words, else those that say "all there is".

    >>> next_best_names(["docs", "tests_unit", "all", "latest"]), next_best_names(["x", "Complete"])
    (('tests_unit',), ('Complete',))
    """
    words = {name: {*_SPLIT.split(name.lower())} for name in given}
    said = tuple(name for name, each in words.items() if each & (TEST_NAMES | _DEVELOPERS))
    return said or tuple(name for name in words if name.lower() in _ALL_NAMES)


def requirement_files(paths: Iterable[str], named: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Give the files of requirements that tests need: those for tests before those for developers.

    Both together often pin different versions of one thing, and the ones for developers are then
    those with more than is needed. What is `named` by who runs the tests goes before both.

    >>> requirement_files(["requirements.txt", "requirements-dev.txt", "docs/requirements.txt"])
    ('requirements.txt', 'requirements-dev.txt')
    >>> requirement_files(["requirements/dev.txt", "requirements/tests.txt", "requirements/x.txt"])
    ('requirements/tests.txt',)
    >>> requirement_files(["tests/requirements.txt", "tests/data/requirements.txt", "tests/a.txt"])
    ('tests/requirements.txt',)
    """
    words = {path: _words(path) for path in sorted(paths) if path.endswith(".txt")}
    plain = [path for path, said in words.items() if said == {"requirements"} and "/" not in path]
    tests = [path for path, said in words.items() if said & {"test", "tests", "testing"}]
    developers = [path for path, said in words.items() if said & _DEVELOPERS]
    return tuple(dict.fromkeys((*plain, *(named or tests or developers))))


def is_for_developers(path: str) -> bool:
    """Say whether a file of requirements is for developers, who have more than tests need."""
    return bool(_words(path) & _DEVELOPERS)


def deciding_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Give all files of requirements and constraints: those that tests need may name the others.

    >>> deciding_files(["requirements/base.txt", "constraints.txt", "requirements.in", "notes.txt"])
    ('constraints.txt', 'requirements.in', 'requirements/base.txt')
    """
    listed = (path for path in sorted(paths) if path.endswith((".txt", ".in")))
    return tuple(path for path in listed if _words(path) or path.startswith("constraints"))


def has_native_sources(paths: Iterable[str]) -> bool:
    """Say whether an installation in place builds what other commits' files do not fit."""
    return any(path.endswith(_NATIVE) for path in paths)


def _words(path: str) -> set[str]:
    """Give the words of a file's name, none where it is no file of requirements."""
    folder, _, name = path.rpartition("/")
    words = set(_SPLIT.split(name.lower().removesuffix(".txt")))
    names_itself = bool(words & {"requirements", "requires", "reqs"})
    if folder in _TEST_PLACES:
        return words | {"tests"} if names_itself else set()
    return words if folder in _PLACES and (folder or names_itself) else set()
