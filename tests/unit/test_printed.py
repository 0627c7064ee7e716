"""What runners print of their tests."""

import time

import pytest

from codebot.verify.printed import read_printed
from codebot.verify.printed_runners import RUNNERS
from codebot.verify.results import Results, fuller

PYTEST = """\
=========================== short test summary info ============================
FAILED tests/test_a.py::test_b[x - y] - assert 1 == 2
ERROR tests/test_c.py - ModuleNotFoundError: No module named 'c'
==== 1 failed, 7 passed, 2 skipped, 1 warning, 1 error in 61.12s (0:01:01) =====
"""
MOCHA = """
  list
    \u2713 adds
    1) takes away


  7 passing (21ms)
  2 pending
  2 failing

  1) list
       takes away:

      AssertionError [ERR_ASSERTION]: 1 == 2
      at Context.<anonymous> (test.js:3:5)

  2) holds nothing:
     Error: x

"""
JEST = """\
FAIL src/a.test.js
  \u25cf list \u203a takes away

    expect(received).toBe(expected)

Summary of all failing tests
FAIL src/a.test.js
  \u25cf list \u203a takes away

Test Suites: 1 failed, 2 passed, 3 total
Tests:       1 failed, 1 skipped, 7 passed, 9 total
"""
VITEST = """
 FAIL  test/a.test.ts > list > takes away
AssertionError: expected 1 to be 2

 Test Files  1 failed | 2 passed (3)
      Tests  1 failed | 7 passed | 1 skipped (9)
   Start at  10:00:00
"""
NODE = """\
\u2716 takes away (1.5ms)
\u2139 tests 8
\u2139 suites 0
\u2139 pass 7
\u2139 fail 1
\u2139 cancelled 0
\u2139 skipped 0

\u2716 failing tests:

test at test/a.test.js:3:1
\u2716 takes away (1.5ms)
  AssertionError
"""
TAP = """\
TAP version 13
# Subtest: list
    # Subtest: takes away
    not ok 1 - takes away
      ---
      duration_ms: 1.5
      location: '/w/test/a.test.js:3:1'
      failureType: 'testCodeFailure'
      ...
    1..1
not ok 1 - list
  ---
  duration_ms: 2.5
  type: 'suite'
  location: '/w/test/a.test.js:2:1'
  failureType: 'subtestsFailed'
  ...
# Subtest: other list
    # Subtest: takes away
    not ok 1 - takes away
      ---
      duration_ms: 1.5
      type: 'test'
      location: '/w/test/a.test.js:3:1'
      ...
    1..1
not ok 2 - other list
  ---
  duration_ms: 2.5
  type: 'suite'
  ...
1..2
# tests 9
# suites 2
# pass 7
# fail 2
# cancelled 0
# skipped 0
"""
AVA = """
  \u2714 adds
  \u2718 [fail]: takes away
  \u2500

  takes away

  1 test failed
  7 tests passed
"""
CARGO = """\
test adds ... ok
test list::takes_away ... FAILED

failures:
    list::takes_away

test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""
CTEST = """
88% tests passed, 1 tests failed out of 8

Total Test time (real) =   0.03 sec

The following tests FAILED:
\t  3 - takes_away (Failed)
Errors while running CTest
"""
AUTOMAKE = """\
PASS: adds
FAIL: takes-away
# TOTAL: 8
# PASS:  7
# SKIP:  0
# XFAIL: 0
# FAIL:  1
# XPASS: 0
# ERROR: 0
"""
OUTPUTS = {
    "pytest": PYTEST,
    "mocha": MOCHA,
    "Jest": JEST,
    "Vitest": VITEST,
    "node:test": NODE,
    "node:test, TAP": TAP,
    "AVA": AVA,
    "cargo": CARGO,
    "CTest": CTEST,
    "Automake": AUTOMAKE,
}


@pytest.mark.parametrize(
    ("runner", "failed"),
    [
        ("pytest", {"tests/test_a.py::test_b[x - y]"}),
        ("mocha", {"list takes away", "holds nothing"}),
        ("Jest", {"list \u203a takes away"}),
        ("Vitest", {"test/a.test.ts > list > takes away"}),
        ("node:test", {"takes away"}),
        (
            "node:test, TAP",
            {"/w/test/a.test.js takes away", "/w/test/a.test.js takes away (2)"},
        ),
        ("AVA", {"takes away"}),
        ("cargo", {"list::takes_away"}),
        ("CTest", {"takes_away"}),
        ("Automake", {"takes-away"}),
    ],
)
def test_what_a_runner_prints_is_read_test_by_test(runner: str, failed: set[str]) -> None:
    results = read_printed(OUTPUTS[runner])
    assert results is not None
    assert results.failed == {f"{runner}: {name}" for name in failed}
    assert results.unnamed == 7


def test_a_file_that_pytest_could_not_collect_is_no_test_that_failed() -> None:
    results = read_printed(PYTEST)
    assert results is not None
    assert results.broken == {"pytest: tests/test_c.py"}


@pytest.mark.parametrize("runner", OUTPUTS)
def test_names_that_are_not_as_many_as_are_counted_tell_nothing(runner: str) -> None:
    bad = RUNNERS[runner].bad
    assert read_printed(bad.sub("", OUTPUTS[runner])) is None


@pytest.mark.parametrize(
    "more",
    [
        f"{JEST}  \u25cf Test suite failed to run\n",
        f"{VITEST} FAIL  test/b.test.ts [ test/b.test.ts ]\n",
        f"{AVA}\n  Uncaught exception in x\n".replace("Uncaught", "1 uncaught"),
        f"{CARGO}error: could not compile `a`\n",
        TAP.replace("failureType: 'testCodeFailure'", "exitCode: 1"),
        "no tests here\n",
    ],
)
def test_more_that_is_wrong_than_tests_tells_nothing(more: str) -> None:
    assert read_printed(more) is None


def test_several_runs_are_added_up() -> None:
    results = read_printed(MOCHA + CARGO + "\n  3 passing (1s)\n")
    assert results is not None
    assert (results.count, results.endings) == (7 + 2 + 7 + 1 + 3, 3)


def test_what_was_told_into_a_file_goes_before_what_was_printed_of_the_same_run() -> None:
    told = Results(passed=frozenset({"a", "b"}))
    assert fuller(told, Results(unnamed=9)) is told
    several = Results(unnamed=9, endings=2)
    assert fuller(told, several) is several
    assert fuller(several, Results(unnamed=1, endings=2)) is several
    assert fuller(None, several) is several


@pytest.mark.parametrize(
    "part", [" ", "  1) ", "\n   ", "FAILED x - ", "\u2716 a (1", " FAIL a > "]
)
def test_no_output_makes_reading_long(part: str) -> None:
    started = time.process_time()
    read_printed("  1 passing (1s)\n  1 failing\n" + part * (200_000 // len(part)))
    assert time.process_time() - started < 5
