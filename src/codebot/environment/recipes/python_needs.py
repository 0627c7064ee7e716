"""What tox and nox install for the tests, as far as it is spelled out. Pure.

Of nox only texts that stand in the calls of the session's own `install` are read.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from codebot.environment.recipes.clues import Clues, one_line
from codebot.environment.recipes.tox_environments import holds, tox_environment
from codebot.environment.recipes.tox_settings import ToxSettings, tox_settings

NOX_SESSION = re.compile(r"^(?:async\s+)?def\s+(tests?|unit|unit_tests?|pytest)\s*\(", re.MULTILINE)
MOST_INSTALLED = 200
_NEXT = re.compile(r"^(?:@|def |async def |class )", re.MULTILINE)
_INSTALL = re.compile(r"\.install\(([^()]{0,4000})\)")
_TEXT = re.compile(r"""(?:^|,)\s*["']([^"'\n]{1,200})["']\s*(?=,|$)""")
_FILE = re.compile(r"(?:-r|--requirements?)[ =]?(.+)")
_GROUP = re.compile(r"--group[ =](.+)")
_OF_PROJECT = re.compile(r"(?:-e ?|--editable[ =])?\.(?:\[([\w., -]+)\])?")
_TOP = re.compile(r"\{(?:toxinidir|tox_root)\}/")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[\w,\s.-]*\])?\s*(?:[<>=!~@;(].*)?")
_CONDITIONAL = re.compile(r"(?P<condition>[\w.,!{}-]+(?: *, *[\w.,!{}-]+)*): +(?P<line>\S.*)")
_ALONE = {"-r", "--requirement", "--requirements", "--group", "-e", "--editable"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What tests need besides the project: requirements, files of such, its extras and groups."""

    requirements: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def runner_needs(clues: Clues) -> Needs:
    """Give what tox's and nox's environment for tests is made of."""
    settings = tox_settings(clues)
    tox = _sorted_out(_own_lines(settings, clues.python)) if settings else Needs()
    nox = _sorted_out(_joined(_installed(clues.text("noxfile.py"))))
    files = (*tox.files, *nox.files)
    return Needs(
        (*tox.requirements, *nox.requirements),
        tuple(path for path in dict.fromkeys(files) if clues.has(path)),
        (*(settings.extras if settings else ()), *nox.extras),
        (*(settings.groups if settings else ()), *nox.groups),
    )


def _own_lines(settings: ToxSettings, python: str) -> Iterator[str]:
    """Give what of tox's `deps` is meant for the environment that runs the tests."""
    environment = tox_environment(settings.envlist, python)
    for line in settings.deps:
        conditional = _CONDITIONAL.fullmatch(line.strip())
        if conditional is None:
            yield line
        elif holds(conditional["condition"], environment):
            yield conditional["line"]


def usable_requirements(lines: Iterable[str]) -> Iterator[str]:
    """Give those that are one requirement, without variables and conditions of a tool's own."""
    for line in lines:
        text = line.split(" #")[0].strip()
        if one_line([text]) and "{" not in text and _REQUIREMENT.fullmatch(text):
            yield text


def _sorted_out(lines: Iterable[str]) -> Needs:
    """Tell requirements from files of them, and from what belongs to the project.

    >>> _sorted_out(["-r{toxinidir}/checks/needs.txt", "-e .[cli]", "attrs>=20", "{posargs}"])
    Needs(requirements=('attrs>=20',), files=('checks/needs.txt',), extras=('cli',), groups=())
    """
    given = [_TOP.sub("", line.split(" #")[0].strip()) for line in lines]
    files = (_FILE.fullmatch(line) for line in given)
    groups = (_GROUP.fullmatch(line) for line in given)
    projects = (_OF_PROJECT.fullmatch(line) for line in given)
    extras = (found[1].split(",") for found in projects if found and found[1])
    return Needs(
        tuple(usable_requirements(given)),
        tuple(found[1].strip().removeprefix("./") for found in files if found),
        tuple(name.strip() for name in chain.from_iterable(extras)),
        tuple(found[1].strip() for found in groups if found),
    )


def _installed(noxfile: str) -> list[str]:
    """Give the texts that the session for tests hands to `install`, in their order."""
    session = NOX_SESSION.search(noxfile)
    if session is None:
        return []
    end = _NEXT.search(noxfile, session.end())
    body = noxfile[session.end() : end.start() if end else len(noxfile)]
    calls = _INSTALL.findall(body)
    return [text for call in calls for text in _TEXT.findall(call)][:MOST_INSTALLED]


def _joined(texts: list[str]) -> Iterator[str]:
    """Put an option and its value together.

    >>> [*_joined(["-r", "a.txt", "-e", ".[test]", "attrs"])]
    ['-r a.txt', '-e .[test]', 'attrs']
    """
    left = iter(texts)
    for text in left:
        yield f"{text} {next(left, '')}" if text in _ALONE else text
