"""What runners besides unittest print of their tests: how many, and which failed. Pure.

Each says so in its own way, and several may stand in one output. What they name must be as many as
they count; otherwise nothing is known.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from codebot.verify.results import LONGEST_NAME, Results


@dataclass(frozen=True, slots=True)
class Runner:
    """How a runner prints: `end` holds the counts of one run, `bad` the name of a failed test.

    Names are looked for behind `start`, where there is one. `unclear` is what shows that more is
    wrong than tests that failed. Where a name `repeats`, since its suite is not part of it, it is
    numbered: the tests run in the same order on every commit.
    """

    end: re.Pattern[str]
    bad: re.Pattern[str]
    start: re.Pattern[str] | None = None
    unclear: re.Pattern[str] | None = None
    repeats: bool = False


def _lines(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.MULTILINE)


RUNNERS = {
    "pytest": Runner(
        _lines(
            r"^(?:=+ )?(?P<counts>\d+ (?:passed|failed|errors?|skipped|xfailed|xpassed)\b"
            r"[\w ,]{0,200}) in [\d.:]+s(?: \([\d:]+\))?(?: =+)?$"
        ),
        _lines(r"^(?:FAILED|ERROR) (?P<name>[^\s\[]+(?:\[[^\n]*?\])?)(?= - |$)"),
    ),
    "mocha": Runner(
        _lines(
            r"^ +(?P<passed>\d+) passing \([\w .]+\)"
            r"(?:\n +\d+ pending)?(?:\n +(?P<failed>\d+) failing)?$"
        ),
        _lines(r"^  \d+\) (?P<name>(?:[^\n]*[^:\n]\n {3,}(?=\S)){0,20}[^\n]*):$"),
        _lines(r"^ +\d+ failing$"),
    ),
    "Jest": Runner(
        _lines(r"^Tests: +(?P<counts>[\w ,]{1,200}), \d+ total$"),
        _lines(r"^  \u25cf (?P<name>[^\n]+)$"),
        unclear=_lines(r"Test suite failed to run$"),
    ),
    "Vitest": Runner(
        _lines(r"^ +Tests +(?P<counts>[\w |]{1,200}) \(\d+\)$"),
        _lines(r"^ FAIL +(?P<name>[^\n]+ > [^\n]+)$"),
        unclear=_lines(r"^ FAIL +(?![^\n]* > )|^ +Errors +\d+ error|Unhandled (?:Error|Rejection)"),
    ),
    "node:test": Runner(
        _lines(
            r"^\u2139 tests \d+\n(?:\u2139 suites \d+\n)?"
            r"\u2139 pass (?P<passed>\d+)\n\u2139 fail (?P<failed>\d+)\n\u2139 cancelled 0$"
        ),
        _lines(r"^ *\u2716 (?P<name>[^\n]+?)(?: \([\d.]+ms\))?$"),
        _lines(r"^\u2716 failing tests:$"),
    ),
    "node:test, TAP": Runner(
        _lines(
            r"^# tests \d+\n(?:# suites \d+\n)?"
            r"# pass (?P<passed>\d+)\n# fail (?P<failed>\d+)\n# cancelled 0$"
        ),
        _lines(
            r"^ *not ok \d+ - (?P<name>[^\n]+)\n *---\n *duration_ms: [\d.]+\n"
            r"(?: *type: 'test'\n)?(?: *location: '(?P<file>[^'\n]+):\d+:\d+'\n)?"
            r"(?! *(?:type|location): )"
        ),
        unclear=_lines(r"^ *exitCode: [1-9]\d*$"),  # of a file that could not be run
        repeats=True,
    ),
    "AVA": Runner(
        _lines(
            r"^ +(?:(?P<failed>\d+) tests? failed)?(?:\n +)?(?:(?P<passed>\d+) tests? passed)?$"
        ),
        _lines(r"^ +\u2718 \[fail\]: (?P<name>[^\n]+)$"),
        unclear=_lines(r"uncaught exception|unhandled rejection|exited due to"),
    ),
    "cargo": Runner(
        _lines(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed;"),
        _lines(r"^test (?P<name>[^\n]+?) \.\.\. FAILED$"),
        unclear=_lines(r"^error: could not compile"),
    ),
    "CTest": Runner(
        _lines(r"^\d+% tests passed, (?P<failed>\d+) tests? failed out of (?P<all>\d+)$"),
        _lines(r"^[ \t]+\d+ - (?P<name>\S+) \("),
        _lines(r"^The following tests FAILED:$"),
    ),
    "Automake": Runner(
        _lines(
            r"^# TOTAL: +\d+\n# PASS: +(?P<passed>\d+)\n# SKIP: +\d+\n# XFAIL: +\d+\n"
            r"# FAIL: +(?P<failed>\d+)\n# XPASS: +0\n# ERROR: +0$"
        ),
        _lines(r"^FAIL: (?P<name>\S+)$"),
    ),
}
_COUNT = re.compile(r"(\d{1,7}) (\w+)")
_BAD = {"failed", "error", "errors"}
_GOOD = {"passed", "xfailed", "xpassed"}


def read_runners(output: str) -> Results | None:
    r"""Read what one or several runs of known runners say; None where that is not clear.

    >>> read_runners("  2 passing (5ms)\n\n  3 passing (1s)\n").count
    5
    """
    told = [*_told(output)]
    if not told or None in told:
        return None
    known = [results for results in told if results is not None]
    return Results(
        failed=frozenset(chain.from_iterable(results.failed for results in known)),
        broken=frozenset(chain.from_iterable(results.broken for results in known)),
        unnamed=sum(results.unnamed for results in known),
        endings=sum(results.endings for results in known),
    )


def _told(output: str) -> Iterator[Results | None]:
    """Give what each runner says that has printed an end."""
    for name, runner in RUNNERS.items():
        ends = [_counts(end) for end in runner.end.finditer(output) if end[0].strip()]
        if ends:
            yield _one(output, name, runner, ends)


def _one(output: str, kind: str, runner: Runner, ends: list[tuple[int, int]]) -> Results | None:
    """Give what one runner says, None where its words are at odds with its counts."""
    named = {f"{kind}: {name}"[:LONGEST_NAME] for name in _named(output, runner)}
    is_clear = runner.unclear is None or not runner.unclear.search(output)
    if not is_clear or len(named) != sum(bad for _, bad in ends):
        return None
    broken = {name for name in named if kind == "pytest" and "::" not in name}
    return Results(
        failed=frozenset(named - broken),
        broken=frozenset(broken),
        unnamed=sum(good for good, _ in ends),
        endings=len(ends),
    )


def _named(output: str, runner: Runner) -> Iterator[str]:
    begins = [0] if runner.start is None else [at.end() for at in runner.start.finditer(output)]
    seen: Counter[str] = Counter()
    for begin in begins[:1]:
        for found in runner.bad.finditer(output, begin):
            said = found.groupdict()
            name = " ".join(f"{said.get('file') or ''} {said['name']}".split())
            seen[name] += 1
            again = runner.repeats and seen[name] > 1
            yield f"{name} ({seen[name]})" if again else name


def _counts(end: re.Match[str]) -> tuple[int, int]:
    """Give how many tests passed and how many failed, of one end."""
    groups = end.groupdict()
    if "counts" in groups:
        counted = [(int(number), word) for number, word in _COUNT.findall(groups["counts"])]
        good = sum(number for number, word in counted if word in _GOOD)
        return good, sum(number for number, word in counted if word in _BAD)
    bad = int(groups.get("failed") or 0)
    everything = groups.get("all")
    return (int(everything) - bad if everything else int(groups.get("passed") or 0)), bad
