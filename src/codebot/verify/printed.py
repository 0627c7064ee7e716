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
    r"""Read how one run of unittest ended; None where there was none, several, or a part of it.

    >>> read_unittest("..\n" + "-" * 70 + "\nRan 2 tests in 0.001s\n\nOK\n").count
    2
    """
    ends = [*_END.finditer(output)]
    if len(ends) != 1:
        return None
    counts = _counts(ends[0]["counts"] or "")
    named = [match["name"][:LONGEST_NAME] for match in _BAD.finditer(output)]
    if len(named) != counts.get("failures", 0) + counts.get("errors", 0):
        return None
    broken = frozenset(name for name in named if _BROKEN in name)
    failed = frozenset(named) - broken
    return Results(
        failed=failed, broken=broken, unnamed=max(0, int(ends[0]["ran"]) - len(failed | broken))
    )


def _counts(listed: str) -> dict[str, int]:
    """Give the numbers that unittest ends with.

    >>> _counts("failures=1, expected failures=2")
    {'failures': 1, 'expected failures': 2}
    """
    pairs = (entry.partition("=") for entry in listed.split(", ") if "=" in entry)
    return {name: int(number) for name, _, number in pairs if number.isdecimal()}
