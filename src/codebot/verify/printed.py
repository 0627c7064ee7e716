"""What unittest printed of its tests, Django's runner included. Pure.

It says how many ran, and names those that failed. https://docs.python.org/3/library/unittest.html
"""

import re

from codebot.verify.printed_runners import read_runners
from codebot.verify.results import LONGEST_NAME, Results

_END = re.compile(
    r"^Ran (?P<ran>\d{1,7}) tests? in [\d.]+s\n\n"
    r"(?:OK|NO TESTS RAN|FAILED)(?: \((?P<counts>[a-z0-9=, ]*)\))?$",
    re.MULTILINE,
)
_BAD = re.compile(r"^={70}\n(?:FAIL|ERROR): (?P<name>[^\n]+)$", re.MULTILINE)
_BROKEN = "unittest.loader._FailedTest"
"""Whom unittest blames for a file that it could not import."""


def read_printed(output: str) -> Results | None:
    """Read what any known runner printed of its tests; None where nothing is clear."""
    return read_unittest(output) or read_runners(output)


def read_unittest(output: str) -> Results | None:
    r"""Read how the runs of unittest ended; None where there was none, or a part of one.

    >>> run = "..\n" + "-" * 70 + "\nRan 2 tests in 0.001s\n\nOK\n"
    >>> read_unittest(run).count, read_unittest(run + run).count
    (2, 4)
    """
    ends = [*_END.finditer(output)]
    if not ends:
        return None
    counts = [_counts(end["counts"] or "") for end in ends]
    bad = sum(count.get("failures", 0) + count.get("errors", 0) for count in counts)
    named = [match["name"][:LONGEST_NAME] for match in _BAD.finditer(output)]
    if len(named) != bad or len(set(named)) != bad:
        return None
    broken = frozenset(name for name in named if _BROKEN in name)
    ran = sum(int(end["ran"]) for end in ends)
    return Results(
        failed=frozenset(named) - broken,
        broken=broken,
        unnamed=max(0, ran - bad),
        endings=len(ends),
    )


def _counts(listed: str) -> dict[str, int]:
    """Give the numbers that unittest ends with.

    >>> _counts("failures=1, expected failures=2")
    {'failures': 1, 'expected failures': 2}
    """
    pairs = (entry.partition("=") for entry in listed.split(", ") if "=" in entry)
    return {name: int(number) for name, _, number in pairs if number.isdecimal()}
