"""What an ending proves, and what of an output is fit to be shown."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codebot.domain.bounds import bound_reached
from codebot.domain.box import Exit, ExitReason
from codebot.domain.environment import TestCommand
from codebot.domain.outcome import Basis, Verdict, VerdictState
from codebot.environment.set_up_signs import sign_in
from codebot.sandbox.output import LONGEST_OUTPUT, as_text, keep_tail
from codebot.telemetry.token_shapes import mask_tokens
from codebot.verify.printed import read_unittest
from codebot.verify.results import Results, read_junit
from codebot.verify.services import service_in
from codebot.verify.signs import why_not_tried
from codebot.verify.verdict import LONGEST_CLUE, TestRun, judge, untested
from fakes.tokens import PROOF

GIVEN = TestCommand("./check", "task")
DETECTED = TestCommand("make test", "detected from Makefile")


def a_run(
    code: int = 0,
    reason: ExitReason = ExitReason.EXITED,
    *,
    command: TestCommand = GIVEN,
    output: str = "1 failed\n",
    results: Results | None = None,
) -> TestRun:
    return TestRun(command, Exit(reason, code), timedelta(seconds=2), output, results)


def verdict_of(run: TestRun, base: TestRun | None = None) -> Verdict:
    return judge(run, base, "c0ffee")


def told(*, passed: str = "", failed: str = "", broken: str = "") -> Results:
    return Results(
        frozenset(passed.split()), frozenset(failed.split()), frozenset(), frozenset(broken.split())
    )


@pytest.mark.parametrize(
    ("reason", "code", "state", "shown", "words"),
    [
        (ExitReason.EXITED, 0, VerdictState.PASSED, 0, None),
        (ExitReason.EXITED, 1, VerdictState.FAILED, 1, None),
        (ExitReason.EXITED, 126, VerdictState.FAILED, 126, "may not be executed"),
        (ExitReason.EXITED, 127, VerdictState.FAILED, 127, "not installed"),
        (ExitReason.EXITED, -9, VerdictState.FAILED, 137, "ended by SIGKILL"),
        (ExitReason.EXITED, 139, VerdictState.FAILED, 139, "ended by SIGSEGV"),
        (ExitReason.EXITED, 255, VerdictState.FAILED, 255, None),
        (ExitReason.TIMEOUT, -9, VerdictState.TIMED_OUT, 137, "time limit"),
        (ExitReason.TIMEOUT, 0, VerdictState.TIMED_OUT, 0, "time limit"),
        (ExitReason.OUTPUT, -9, VerdictState.FAILED, 137, "printed more"),
        (ExitReason.MEMORY, -9, VerdictState.FAILED, 137, "used up its memory"),
        (ExitReason.KILLED, 0, VerdictState.FAILED, 0, "from outside"),
    ],
)
def test_an_ending_has_one_meaning(
    reason: ExitReason, code: int, state: VerdictState, shown: int, words: str | None
) -> None:
    verdict = verdict_of(a_run(code, reason))
    assert (verdict.state, verdict.exit_code) == (state, shown)
    if words is None:
        assert verdict.output == "1 failed\n"
    else:
        assert verdict.output.startswith("1 failed\n\ncodebot: ")
        assert words in verdict.output


def test_the_verdict_keeps_the_evidence() -> None:
    verdict = verdict_of(a_run(results=told(passed="a b", failed="c")))
    assert (verdict.commit, verdict.tests) == ("c0ffee", 3)
    assert verdict.duration == timedelta(seconds=2)


def test_nothing_to_run_says_so() -> None:
    verdict = untested("c0ffee")
    assert verdict.state is VerdictState.UNTESTED
    assert verdict.holds
    assert not verdict.is_proof
    assert (verdict.command, verdict.exit_code) == ("", None)
    assert "No test command" in verdict.reason


def test_a_recorded_verdict_of_an_older_version_is_still_read() -> None:
    assert VerdictState("not_verified") is VerdictState.UNTESTED


# --- The base decides ------------------------------------------------------------------------


NOT_FOUND = "make: tox: No such file or directory\nmake: *** [Makefile:2: test] Error 127\n"


def test_what_cannot_be_tried_on_the_base_either_is_the_environment() -> None:
    run = a_run(2, command=DETECTED, output=NOT_FOUND)
    verdict = verdict_of(run, run)
    assert verdict.state is VerdictState.ENVIRONMENT
    assert verdict.reason == (
        "The tests could not run: the program tox is not installed where the tests run."
    )


@pytest.mark.parametrize("command", [GIVEN, DETECTED])
@pytest.mark.parametrize("code", [126, 127, 2])
def test_an_agent_that_takes_a_tool_away_has_failed(code: int, command: TestCommand) -> None:
    verdict = verdict_of(a_run(code, command=command, output=NOT_FOUND), a_run())
    assert verdict.state is VerdictState.FAILED


def test_without_a_base_a_guess_that_cannot_be_tried_is_not_held_against_the_change() -> None:
    run = a_run(127, command=DETECTED, output="sh: 1: tox: not found\n")
    assert verdict_of(run).state is VerdictState.ENVIRONMENT
    given = replace(run, command=GIVEN)
    assert verdict_of(given).state is VerdictState.FAILED


def test_tests_that_ran_are_never_the_environment() -> None:
    output = "E   ModuleNotFoundError: No module named 'numpy'\n"
    run = a_run(1, output=output, results=told(passed="a", failed="b"))
    assert verdict_of(run, a_run(results=told(passed="a b"))).state is VerdictState.FAILED


def test_what_one_part_of_a_command_lacks_is_named_where_the_others_ran_well() -> None:
    output = "  7 passing (1s)\nError: Executable doesn't exist at /opt/chrome\n"
    run = a_run(1, command=DETECTED, output=output, results=told(passed="a"))
    assert "the browser /opt/chrome is not installed" in verdict_of(run, run).reason
    assert verdict_of(run, a_run(results=told(passed="a"))).state is VerdictState.FAILED


def test_modules_that_are_missing_on_the_base_as_well_are_the_environment() -> None:
    output = "E   ModuleNotFoundError: No module named 'numpy.linalg'\n"
    run = a_run(2, output=output, results=told(broken="test_all"))
    verdict = verdict_of(run, run)
    assert verdict.state is VerdictState.ENVIRONMENT
    assert "the Python module numpy.linalg is not installed" in verdict.reason


@pytest.mark.parametrize(
    ("here", "there", "state", "inherited", "new"),
    [
        (told(failed="x"), told(failed="x y"), VerdictState.PASSED, ("x",), ()),
        (told(failed="x z"), told(failed="x"), VerdictState.FAILED, ("x",), ("z",)),
        (told(failed="z"), told(passed="z"), VerdictState.FAILED, (), ("z",)),
        (told(broken="f", passed="b"), told(broken="f"), VerdictState.PASSED, ("f",), ()),
        (told(broken="f"), told(passed="f.a"), VerdictState.FAILED, (), ("f",)),
    ],
)
def test_only_new_failures_are_the_changes(
    here: Results, there: Results, state: VerdictState, inherited: object, new: object
) -> None:
    base_code = 1 if there.bad else 0
    verdict = verdict_of(a_run(1, results=here), a_run(base_code, results=there))
    compared = verdict.comparison
    assert verdict.state is state
    assert (compared.inherited, compared.new) == (inherited, new)
    assert (compared.by, compared.base_exit_code) == (Basis.TESTS, base_code)
    assert verdict.is_proof is (state is VerdictState.PASSED)


REFUSED = "E  ConnectionError: Error 111 connecting to localhost:6379. Connection refused.\n"


def test_most_of_a_suite_without_its_service_proves_nothing() -> None:
    most = a_run(1, command=DETECTED, output=REFUSED, results=told(passed="a", failed="b c"))
    verdict = verdict_of(most, most)
    assert verdict.state is VerdictState.ENVIRONMENT
    assert verdict.reason == "The tests could not run: it needs Redis, which boxes do not have."
    few = replace(most, results=told(passed="a d", failed="b c"))
    assert verdict_of(few, few).is_proof
    broken_by_the_change = verdict_of(most, a_run(results=told(passed="a b c")))
    assert broken_by_the_change.state is VerdictState.FAILED


def test_more_files_that_cannot_be_collected_than_tests_that_ran_prove_nothing() -> None:
    most = a_run(1, command=DETECTED, results=told(passed="a", broken="b c"))
    assert "could not be collected" in verdict_of(most, most).reason
    one = a_run(1, command=DETECTED, results=told(passed="a b", broken="c"))
    assert verdict_of(one, one).is_proof


@pytest.mark.parametrize(
    ("output", "service"),
    [
        (REFUSED, "Redis"),
        (
            'connection to server at "localhost" (127.0.0.1), port 5432 failed: Connection refused',
            "PostgreSQL",
        ),
        ("could not connect: /var/run/postgresql/.s.PGSQL.5432: No such file", "PostgreSQL"),
        ("Error: connect ECONNREFUSED 127.0.0.1:27017\n", "MongoDB"),
        ("OSError: [Errno 111] Connect call failed ('127.0.0.1', 9092)\n", "Kafka"),
        ("Can't connect to MySQL server on 'localhost' ([Errno 111]", "MySQL"),
        ("docker.errors.DockerException: Error while fetching server API version", "Docker"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "Docker"),
        ("Could not find a valid Docker environment.", "Docker"),
        ("No binary for Chrome browser on your platform.", "a browser"),
        ("SessionNotCreatedException: cannot find Chrome binary", "a browser"),
        ("Error: connect ECONNREFUSED 127.0.0.1:38111\n", ""),
        ("listening on port 6379\n", ""),
        ("took 6379 ms; refused to go on 5432.5\n", ""),
    ],
)
def test_a_service_that_is_wanted_is_named(output: str, service: str) -> None:
    assert service_in(f"FAILED a\n{output}") == service


def test_results_of_fewer_runners_than_on_the_base_are_not_compared() -> None:
    failed = frozenset({"a"})
    base = a_run(1, command=DETECTED, results=Results(failed=failed, endings=2))
    less = a_run(1, command=DETECTED, results=Results(failed=failed))
    assert verdict_of(base, base).is_proof
    assert not verdict_of(less, base).is_proof


def test_results_that_do_not_explain_the_ending_are_not_compared() -> None:
    """A run that crashed after its last test, or whose results were written by somebody else."""
    verdict = verdict_of(a_run(1, results=told(passed="a")), a_run(1, results=told(failed="a")))
    assert verdict.comparison.by is Basis.EXIT_CODE


def test_without_results_equal_exit_codes_of_a_guess_are_inherited_and_no_proof() -> None:
    run = a_run(3, command=DETECTED)
    verdict = verdict_of(run, run)
    assert verdict.state is VerdictState.PASSED
    assert not verdict.is_proof
    assert verdict_of(run, a_run(4)).state is VerdictState.FAILED
    assert verdict_of(run, a_run(0)).state is VerdictState.FAILED


def test_a_given_command_that_fails_before_and_after_may_be_what_the_task_is_about() -> None:
    verdict = verdict_of(a_run(3), a_run(3))
    assert verdict.state is VerdictState.FAILED
    assert verdict.comparison.base_exit_code == 3


def test_where_no_test_ran_before_and_after_nothing_was_tested() -> None:
    run = a_run(2, output="an error of their own\n", results=told(broken="test_a test_b"))
    verdict = verdict_of(run, run)
    assert verdict.state is VerdictState.ENVIRONMENT
    assert "no test ran" in verdict.reason
    assert not verdict.is_proof
    assert verdict_of(run, a_run(results=told(passed="a"))).state is VerdictState.FAILED


def test_where_nothing_could_be_set_up_and_no_test_ran_before_and_after_that_is_why() -> None:
    lacking = "the set-up of uv.lock ended with exit code 2"
    verdict = judge(a_run(2), a_run(2), "c0ffee", lacking=lacking)
    assert (verdict.state, verdict.reason) == (
        VerdictState.ENVIRONMENT,
        f"The tests could not run: {lacking}.",
    )
    ran = a_run(2, results=told(failed="a"))
    assert judge(ran, ran, "c0ffee", lacking=lacking).state is VerdictState.PASSED
    assert judge(a_run(2), a_run(), "c0ffee", lacking=lacking).state is VerdictState.FAILED


def test_tests_that_never_end_are_the_environment_only_where_the_base_does_not_end() -> None:
    endless = a_run(-9, ExitReason.TIMEOUT)
    assert verdict_of(endless, endless).state is VerdictState.ENVIRONMENT
    assert verdict_of(endless, a_run()).state is VerdictState.TIMED_OUT
    assert verdict_of(endless).state is VerdictState.TIMED_OUT


def test_pytest_that_finds_no_test_is_untested_unless_the_change_removed_them() -> None:
    none = a_run(5, command=TestCommand("pytest", "detected from pytest.ini"))
    assert verdict_of(none, none).state is VerdictState.UNTESTED
    assert verdict_of(none, a_run(results=told(passed="a"))).state is VerdictState.FAILED


UNITTEST = """\
E.F
======================================================================
ERROR: tests.test_c (unittest.loader._FailedTest.tests.test_c)
----------------------------------------------------------------------
ImportError: Failed to import test module: tests.test_c

======================================================================
FAIL: test_two (tests.test_a.A.test_two) (n=1)
----------------------------------------------------------------------
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 3 tests in 0.001s

FAILED (failures=1, errors=1, expected failures=1)
make: *** [Makefile:2: test] Error 1
"""
TWO = "test_two (tests.test_a.A.test_two) (n=1)"


def test_what_unittest_prints_is_read_test_by_test() -> None:
    results = read_unittest(UNITTEST)
    assert results is not None
    assert results.failed == {TWO}
    assert {name.split()[0] for name in results.broken} == {"tests.test_c"}
    assert (results.count, results.unnamed) == (2, 1)
    verdict = verdict_of(a_run(2, results=results), a_run(2, results=results))
    assert (verdict.state, verdict.comparison.by) == (VerdictState.PASSED, Basis.TESTS)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "1 failed\n",
        UNITTEST * 2,
        UNITTEST + UNITTEST[:500],
        UNITTEST.replace("FAIL: ", "FELL: "),
        UNITTEST[500:],
    ],
)
def test_what_is_not_all_that_unittest_says_tells_nothing(output: str) -> None:
    assert read_unittest(output) is None


def test_several_runs_of_unittest_are_added_up() -> None:
    another = "...\n" + "-" * 70 + "\nRan 5 tests in 0.100s\n\nOK (skipped=1)\n"
    results = read_unittest(another + UNITTEST)
    assert results is not None
    assert (results.failed, results.count, results.endings) == ({TWO}, 7, 2)


def test_unittest_that_finds_no_test_is_untested_unless_the_change_removed_them() -> None:
    results = read_unittest("\n" + "-" * 70 + "\nRan 0 tests in 0.000s\n\nOK\n")
    none = a_run(0, command=DETECTED, results=results)
    assert verdict_of(none, none).state is VerdictState.UNTESTED
    assert verdict_of(none, a_run(0, command=DETECTED)).state is VerdictState.FAILED


@pytest.mark.parametrize(
    "output",
    [
        "?   \texample.com/shop\t[no test files]\nok  \texample.com/a\t0.1s [no tests to run]\n",
        "running 0 tests\n\ntest result: ok. 0 passed; 0 failed\n",
        "\u2139 tests 0\n\u2139 pass 0\n",
        "No test files found, exiting with code 0\n",
        "Test project /home/agent/build\nNo tests were found!!!\n",
        "No tests defined.\n",
        "[INFO] No tests to run.\n[INFO] BUILD SUCCESS\n",
        "0 examples, 0 failures\n",
    ],
)
def test_a_runner_that_ends_well_without_a_test_has_tested_nothing(output: str) -> None:
    verdict = verdict_of(a_run(command=DETECTED, output=output), a_run())
    assert (verdict.state, verdict.is_proof) == (VerdictState.UNTESTED, False)
    assert verdict.reason == "`make test` found no test to run."
    told = verdict_of(a_run(command=GIVEN, output=output), a_run())
    assert told.state is VerdictState.PASSED


def test_what_fails_is_told_from_what_has_no_test() -> None:
    broken = "?   \tshop\t[no test files]\nFAIL\tshop/a [build failed]\n"
    assert verdict_of(a_run(1, command=DETECTED, output=broken)).state is VerdictState.FAILED
    none = a_run(1, command=DETECTED, output="No tests found, exiting with code 1\n")
    assert verdict_of(none, none).state is VerdictState.UNTESTED


@pytest.mark.parametrize(
    "output",
    [
        "?   \texample.com/shop\t[no test files]\nok  \texample.com/a\t0.1s\n",
        "?   \texample.com/shop\t[no test files]\nok  \texample.com/a\t(cached)\n",
        "running 7 tests\n\nrunning 0 tests\n",
        "\u2139 tests 0\n\n  12 passing (3s)\n",
        "No tests were found!!!\n1/3 parses        OK 0.01s\n",
        "[INFO] Tests run: 4, Failures: 0\n[INFO] No tests to run.\n",
        "running 0 tests\nTests:       3 passed, 3 total\n",
        "# tests 0\nok 1 - adds\n",
        "[the beginning of the output is left out]\nrunning 0 tests\n",
        "",
    ],
)
def test_one_runner_without_a_test_says_nothing_of_the_others(output: str) -> None:
    assert verdict_of(a_run(command=DETECTED, output=output), a_run()).is_proof


# --- Signs that a command could not be tried -------------------------------------------------


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ("/bin/sh: 1: tox: not found\n", "tox"),
        ("sh: 1: jest: not found\n", "jest"),
        ("bash: line 1: go: command not found\n", "go"),
        ("/bin/sh: 1: .: cannot open venv/bin/activate: No such file\n", "venv/bin/activate"),
        ("bash: line 1: ./runtests.py: No such file or directory\n", "./runtests.py"),
        ("make: pytest: No such file or directory\nmake: *** [test] Error 127\n", "pytest"),
        ("/usr/bin/env: 'python2': No such file or directory\n", "python2"),
        ("/usr/bin/python3: No module named pytest\n", "pytest"),
        ("error: unrecognized arguments: --cov=flask --cov-report\n", "--cov"),
        ("Error: Cannot find module 'mocha'\nRequire stack:\n", "mocha"),
        ("curl: (6) Could not resolve host: example.com\n", "example.com"),
        ("go: go.mod requires go >= 1.25 (running go 1.19)\n", "1.25"),
        ("a.go:3:5: undefined: errors.Join\nnote: module requires Go 1.21\n", "Go 1.21 or newer"),
        (
            "make: ./gradlew: Permission denied\nmake: *** [Makefile:2: test] Error 127\n",
            "./gradlew",
        ),
        ("env: 'bash\\r': No such file or directory\n", "bash"),
        ("quiet\nmake: *** [Makefile:2: test] Error 127\n", "Makefile:2: test"),
        (
            "./x: /opt/py: bad interpreter: No such file or directory\nmake: *** [t] 126\n",
            "/opt/py",
        ),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'vitest' imported from\n", "vitest"),
        ('ERROR Error: Failed to import module "unrun". Please ensure it is installed.\n', "unrun"),
        ("bundler: command not found: rspec\n", "rspec"),
        ("cannot load such file -- rspec (LoadError)\n", "rspec"),
        ("ERROR: JAVA_HOME is not set and no 'java' command could be found\n", "Java"),
        ("Can't locate Test/Deep.pm in @INC (you may need to install it)\n", "Test/Deep"),
        ("error: no such command: `nextest`\n", "cargo-nextest"),
        ("error: linker `cc` not found\n", "cc"),
        ("Error [X]: No such built-in module: node:sqlite\n", "node:sqlite"),
        ("Could not find '/w/test/**/*.test.mjs'\n", "/w/test/**/*.test.mjs"),
        ("/usr/bin/node: bad option: --experimental-test-module-mocks\n", "--experimental-"),
        ('TypeError [X]: Unknown file extension ".ts" for /a.ts\n', ".ts files"),
        ("a.c:1:10: fatal error: zlib.h: No such file or directory\n", "zlib.h"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file\n", "libGL.so.1"),
        ("py38: skipped because could not find python interpreter with spec(s): py38\n", "py38"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\n", "Docker"),
        ("Error: spawn chromium ENOENT\n", "chromium"),
        ("Codebot cannot fetch that. index.crates.io is not known here: it.", "index.crates.io"),
    ],
)
def test_what_is_missing_is_named(output: str, named: str) -> None:
    why = why_not_tried(Exit(ExitReason.EXITED, 2), output, None, "make test")
    assert named in why


@pytest.mark.parametrize("output", ["", "1 failed, 3 passed\n", "AssertionError: not found\n"])
def test_an_ordinary_failure_shows_no_sign(output: str) -> None:
    assert why_not_tried(Exit(ExitReason.EXITED, 1), output, None, "make test") == ""


# --- Results ---------------------------------------------------------------------------------


JUNIT = """<testsuites><testsuite><testcase classname="" name="tests.test_b">
<error message="collection failure">ImportError</error></testcase>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="tests.test_a" name="test_two"><failure message="no"/></testcase>
<testcase classname="tests.test_a" name="test_three"><error message="setup"/></testcase>
<testcase classname="tests.test_a" name="test_four"><skipped/></testcase></testsuite></testsuites>
"""


def test_pytests_results_are_read_test_by_test() -> None:
    assert read_junit(JUNIT.encode()) == Results(
        passed=frozenset({"tests.test_a.test_one"}),
        failed=frozenset({"tests.test_a.test_two", "tests.test_a.test_three"}),
        skipped=frozenset({"tests.test_a.test_four"}),
        broken=frozenset({"tests.test_b"}),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no xml",
        b"<html/>",
        b"<testsuites/>",
        b"<testsuite><testcase/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>',
    ],
)
def test_what_are_no_results_counts_as_none(content: bytes) -> None:
    assert read_junit(content) is None


# --- Output ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain\n", "plain\n"),
        (b"\x1b[1;31mred\x1b[0m\n", "red\n"),
        (b"\x1b]0;title\x07text\n", "text\n"),
        (b"\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\\n", "link\n"),
        (b"\x1b(Bascii\x1b=\n", "ascii\n"),
        (b"10%\r50%\r100%\n", "100%\n"),
        (b"dos\r\nlines\r\n", "dos\nlines\n"),
        (b"bell\x07 null\x00 back\x08\n", "bell null back\n"),
        (b"caf\xc3\xa9 \xff\n", "café \ufffd\n"),
        (b"csi \xc2\x9b1m\n", "csi 1m\n"),
        (b"tab\tstays\n", "tab\tstays\n"),
    ],
)
def test_only_text_is_left_of_an_output(raw: bytes, shown: str) -> None:
    assert as_text(raw, 0) == shown


def test_a_secret_is_masked_whatever_its_colour_and_wherever_the_output_is_cut() -> None:
    token = PROOF["ghp"]
    coloured = f"a \x1b[1m{token[:9]}\x1b[0m{token[9:]} b\n".encode()
    assert as_text(coloured, 0, mask_tokens) == "a *** b\n"
    for rest in range(LONGEST_OUTPUT - len(token), LONGEST_OUTPUT):
        shown = as_text(f"{token}{'x' * rest}".encode(), 0, lambda t: t.replace(token, "***"))
        assert token[-8:] not in shown


async def as_lines(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


async def test_the_end_of_a_long_output_is_kept_in_whole_lines() -> None:
    tail, cut = await keep_tail(as_lines(b"line %d\n" % n for n in range(500_000)))
    shown = as_text(tail, cut).splitlines()
    assert shown[0] == "[the beginning of the output is left out]"
    assert shown[-1] == "line 499999"
    assert all(line.startswith("line ") for line in shown[1:])
    assert len("\n".join(shown)) < LONGEST_OUTPUT + 100


async def test_a_line_longer_than_all_room_is_cut() -> None:
    tail, cut = await keep_tail(as_lines([b"x" * 3_000_000, b"y" * 100]))
    assert len(as_text(tail, cut)) < LONGEST_OUTPUT + 100
    assert as_text(tail, cut).endswith("y" * 100)


@given(st.lists(st.sampled_from([b"\x1b", b"[", b"]", b"\r", b"\n", b"a", b"1m", b"\xff"])))
def test_no_output_keeps_an_escape(parts: list[bytes]) -> None:
    assert not {"\x1b", "\r"} & set(as_text(b"".join(parts), 0))


@pytest.mark.parametrize("part", [b"\x1b]", b"\x1b[", b"\r", b"\x1b[0", b"a\r", b"\x1b]0;a"])
@pytest.mark.timeout(5)
def test_hostile_output_takes_no_time(part: bytes) -> None:
    as_text(part * (256 * 1024 // len(part)), 0)


LETTERS = ("a", "a/", "1", "a.", "make[", "make: a", "sh: ", "env: x", "spawn", "fork", "\n", "a\n")


@pytest.mark.parametrize(
    "part",
    [
        *LETTERS,
        *("a: Permission denied\n", "a: Permission denied\nmake", "make *** [", "fork\n"),
        *("No interpreter found for Python ", "No interpreter found for Python in in"),
        *(
            "No module named ",
            "Unsupported engine",
            "Unsupported engine\n",
            "InterpreterNotFound: ",
        ),
    ],
)
@pytest.mark.timeout(10)
def test_no_output_makes_the_look_for_a_reason_long(part: str) -> None:
    output = part * (LONGEST_OUTPUT // len(part))
    ended = Exit(ExitReason.EXITED, 1)
    why_not_tried(ended, output, None, "")
    sign_in(output)
    bound_reached(ended, output[-LONGEST_CLUE:])
