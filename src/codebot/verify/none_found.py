"""Whether a runner had anything to run: most of them end well without. Pure."""

import re

from codebot.sandbox.output import LEFT_OUT

_NONE_AND_FAILS = (
    r"No test(?: file)?s found, exiting with code \d",  # Jest, Vitest
    r"^Error: No test files found",  # Mocha
)
_NONE = (
    *_NONE_AND_FAILS,
    r"^\?\s+\S+\s+\[no test files\]$",  # Go
    r"^ok\s.*\[no tests to run\]$",
    r"^running 0 tests$",  # Rust
    r"^(?:#|\u2139) tests 0$",  # Node
    r"^No tests were found!!!",  # CTest
    r"^No tests defined\.",  # Meson
    r"No tests to run\.$",  # Maven
    r"^No test is available in",  # .NET
    r"^No tests executed!",  # PHPUnit
    r"^0 examples, 0 failures",  # RSpec
    r"^0 runs, 0 assertions",  # minitest
)
_SOME = (
    r"^ok\s+\S+\s+(?:[\d.]+s|\(cached\))(?!.*\[no tests to run\])|^\s*--- |^=== RUN",  # Go
    r"^running [1-9]",
    r"^(?:#|\u2139) tests [1-9]",
    r"Tests run: [1-9]",
    r"^ *\d+/\d+ ",  # CTest, Meson
    r"^\s*(?:not )?ok \d",  # TAP
    r"\b[1-9]\d* (?:tests?|pass(?:ed|ing)?|fail(?:ed|ing|ures)?|runs|examples|assertions)\b",
    r"(?i:tests?:\s+[1-9])",
)
_TOLD_OF_NONE, _FAILED_OF_NONE, _TOLD_OF_SOME = (
    re.compile("|".join(patterns), re.MULTILINE) for patterns in (_NONE, _NONE_AND_FAILS, _SOME)
)


def found_no_test(output: str, *, ended_well: bool) -> bool:
    r"""Say whether a runner told that it found no test, and none told of one.

    Where the beginning of the output is left out, nobody knows.

    >>> found_no_test("?   \texample.com/shop\t[no test files]\n", ended_well=True)
    True
    >>> found_no_test("running 2 tests\n\nrunning 0 tests\n", ended_well=True)
    False
    """
    if output.startswith(LEFT_OUT) or _TOLD_OF_SOME.search(output):
        return False
    pattern = _TOLD_OF_NONE if ended_well else _FAILED_OF_NONE
    return pattern.search(output) is not None
