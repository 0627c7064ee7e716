"""What each test of a run said, where the runner can be asked without touching the command.

pytest is asked through `PYTEST_ADDOPTS` for JUnit XML, in a file outside the tree and under a name
that is drawn for the run; and to go on after a file that it cannot collect, which hides all others.
The file is a stranger's: no link is followed, nothing but a regular file of a bounded size is read,
and no entity in it is expanded.
https://docs.pytest.org/en/stable/how-to/output.html#creating-junitxml-format-files
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from uuid import uuid4
from xml.etree.ElementTree import ElementTree, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse
from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase, TestSuite

LARGEST = 32 * 1024**2
MOST_TESTS = 200_000
LONGEST_NAME = 500


KINDS = ("passed", "failed", "skipped", "broken")


@dataclass(frozen=True, slots=True)
class Results:
    """What the tests of one run said, by name; `broken` are files that could not be collected.

    `unnamed` counts those of which only that is known: they did not fail. `endings` is how often a
    runner said that it had come to its end.
    """

    passed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    unnamed: int = 0
    endings: int = 1

    def masked(self, redact: Callable[[str], str]) -> "Results":
        """Give the same with no secret in any name."""
        kinds = (self.passed, self.failed, self.skipped, self.broken)
        passed, failed, skipped, broken = (frozenset(map(redact, names)) for names in kinds)
        return Results(passed, failed, skipped, broken, self.unnamed, self.endings)

    @property
    def bad(self) -> frozenset[str]:
        """All that is not as it should be."""
        return self.failed | self.broken

    @property
    def count(self) -> int:
        """How many tests there were, skipped ones included."""
        return len(self.passed) + len(self.failed) + len(self.skipped) + self.unnamed

    @property
    def good(self) -> int:
        """How many did not fail."""
        return len(self.passed) + self.unnamed

    @property
    def is_mostly_bad(self) -> bool:
        """Whether more of it is not as it should be than is."""
        return len(self.bad) > self.good

    @property
    def is_mostly_broken(self) -> bool:
        """Whether more files could not be collected than tests ran."""
        return len(self.broken) > self.good + len(self.failed)

    @property
    def has_run(self) -> bool:
        """Whether a single test is known to have run."""
        return bool(self.passed or self.failed or self.unnamed)


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """Where the runner of one test run is asked to put its results."""

    name: str = field(default_factory=lambda: f".results-{uuid4().hex}.xml")

    def variables(self, home: Path, given: Mapping[str, str]) -> dict[str, str]:
        """Give what the run's environment needs besides `given`; HOME is `home` in the box."""
        wanted = f"--continue-on-collection-errors --junitxml={home / self.name}"
        return {"PYTEST_ADDOPTS": f"{given.get('PYTEST_ADDOPTS', '')} {wanted}".lstrip()}

    def read(self, home: Path) -> Results | None:
        """Give what was answered, from the host's side of HOME; None where nothing usable was."""
        content = _read_file(home, self.name)
        return None if content is None else read_junit(content)


def fuller(told: Results | None, printed: Results | None) -> Results | None:
    """Give what was told into a file, unless it is less than what was printed.

    Of several runs in one command the last one's file is left, and none where a repository has its
    own file written.

    >>> fuller(Results(passed=frozenset("ab")), Results(unnamed=5, endings=2)).count
    5
    """
    if told is None or printed is None:
        return told or printed
    return printed if printed.endings > 1 and printed.count > told.count else told


def read_junit(content: bytes) -> Results | None:
    """Read JUnit XML; None when it is none, holds no test, or has a document type."""
    try:
        report = JUnitXml.fromfile(BytesIO(content), parse_func=_parse)
    except (ParseError, DefusedXmlException, JUnitXmlError, ValueError, TypeError, RecursionError):
        return None
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for number, case in enumerate(_cases(report)):
        if number == MOST_TESTS:
            return None
        found[_kind(case)].add(_name(case))
    passed, failed, skipped, broken = map(frozenset, found.values())
    results = Results(passed, failed, skipped, broken)
    return results if results.count or results.broken else None


def _parse(file: BytesIO) -> ElementTree:
    return parse(file, forbid_dtd=True)


def _cases(report: Iterable[TestSuite | TestCase]) -> Iterator[TestCase]:
    for entry in report:
        if isinstance(entry, TestCase):
            yield entry
        else:
            yield from entry


def _kind(case: TestCase) -> str:
    """Say how a test ended; with two reports of one test the worse one counts."""
    kinds = {type(result) for result in case.result}
    if Error in kinds and not case.classname:
        return "broken"  # pytest: a file that it could not collect
    if Error in kinds or Failure in kinds:
        return "failed"
    return "skipped" if Skipped in kinds else "passed"


def _name(case: TestCase) -> str:
    words = ".".join(filter(None, (case.classname, case.name)))
    return words[:LONGEST_NAME]


def _read_file(home: Path, name: str) -> bytes | None:
    with suppress(OSError):
        folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            with open(os.open(name, flags, dir_fd=folder), "rb") as file:  # noqa: PTH123
                status = os.fstat(file.fileno())
                is_usable = S_ISREG(status.st_mode) and status.st_size <= LARGEST
                return file.read(LARGEST) if is_usable else None
        finally:
            os.close(folder)
    return None
