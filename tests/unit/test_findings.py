"""What `codebot doctor --repository` says of what it found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.doctor import as_line
from codebot.domain.egress import AccessVerdict
from codebot.domain.environment import (
    NO_ENVIRONMENT,
    Environment,
    Recipe,
    RecipeOrigin,
    SetUpState,
)
from codebot.domain.outcome import Basis, Checkout, Comparison, Gap, Verdict, VerdictState
from codebot.intake.findings import LAST_LINES, findings_of, told_output
from codebot.pipeline.rehearsal import Rehearsal
from codebot.store.egress import AccessTotal

FOLDER = Path("/nowhere")
CHECKOUT = Checkout(FOLDER, FOLDER, FOLDER, FOLDER, "main", "c0ffee" * 7)
VERDICT = Verdict(
    VerdictState.PASSED,
    "pytest",
    "detected from tox.ini",
    0,
    timedelta(seconds=9),
    "",
    "c",
    tests=3,
)
RECIPE = Recipe(RecipeOrigin.GUESSED, "uv.lock", "uv sync")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_rehearsal(**changes: Any) -> Rehearsal:
    whole = Rehearsal(CHECKOUT, timedelta(seconds=1.23), NO_ENVIRONMENT, VERDICT, ())
    return replace(whole, **changes)


def lines(rehearsal: Rehearsal) -> list[str]:
    return [as_line(finding) for finding in findings_of(rehearsal)]


def test_each_step_says_how_long_it_took() -> None:
    ready = Environment(SetUpState.READY, RECIPE, duration=timedelta(seconds=3.21))
    assert lines(a_rehearsal(environment=ready)) == [
        "ok    repository: main at c0ffeec0ffee, fetched in 1.2 s",
        "ok    set-up: from uv.lock in 3.2 s",
        "ok    tests: pass: `pytest` (exit code 0, 3 tests) in 9.0 s",
    ]


def test_where_there_is_nothing_to_set_up_none_is_claimed() -> None:
    recipe = Recipe(RecipeOrigin.GUESSED, "Makefile", "")
    told = lines(a_rehearsal(environment=Environment(SetUpState.READY, recipe)))
    assert told[1] == "ok    set-up: none (Makefile)"


def test_what_is_ready_and_may_not_do_is_told() -> None:
    ready = Environment(SetUpState.READY, RECIPE, reason="a@1 asks for Node >=22")
    assert lines(a_rehearsal(environment=ready))[2] == "off   set-up: a@1 asks for Node >=22"


def test_what_of_a_foreign_file_was_not_understood_is_told() -> None:
    recipe = replace(RECIPE, notes=("the step `uses: acme/odd` was skipped",))
    told = lines(a_rehearsal(environment=Environment(SetUpState.READY, recipe)))
    assert told[2].startswith("off   set-up: the step `uses: acme/odd` was skipped. Say how: ")


@pytest.mark.parametrize(
    ("changes", "tested", "line"),
    [
        (
            {"exit_code": 1, "comparison": Comparison(Basis.TESTS, 1, inherited=("a", "b"))},
            True,
            "ok    tests: 2 fail, known by name: `pytest` (exit code 1, 3 tests) in 9.0 s: a, b",
        ),
        (
            {"command": "t", "comparison": Comparison(Basis.TESTS, 1, inherited=("t",) * 7)},
            True,
            "ok    tests: 7 fail, known by name: `t` (exit code 0, 3 tests) in 9.0 s: t, t, t, t",
        ),
        (
            {"exit_code": 1, "comparison": Comparison(Basis.EXIT_CODE, 1)},
            False,
            "FAIL  tests: fail, and nobody can tell which: ",
        ),
        (
            {"state": VerdictState.UNTESTED, "reason": "There is no test."},
            False,
            "FAIL  tests: There is no test. Name it: `test` in .codebot.toml",
        ),
        (
            {"state": VerdictState.ENVIRONMENT, "reason": "It needs Go."},
            False,
            "FAIL  tests: It needs Go: `pytest` (exit code 0, 3 tests) in 9.0 s. Install that here",
        ),
        ({"state": VerdictState.FAILED}, False, "FAIL  tests: fail on the base branch itself: "),
    ],
)
def test_what_is_said_of_the_tests_and_whether_a_change_would_be_truly_tested(
    changes: dict[str, Any], *, tested: bool, line: str
) -> None:
    rehearsal = a_rehearsal(verdict=replace(VERDICT, **changes))
    assert rehearsal.is_truly_tested is tested
    assert lines(rehearsal)[-1].startswith(line)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("go.mod needs go, not found on this machine", "Install that here."),
        ("uv.lock failed: Python >=3.14 is not on this machine", "Install that here."),
        ("the set-up of uv.lock ended with exit code 2", "Say how: `setup` in .codebot.toml"),
    ],
)
def test_what_could_not_be_set_up_says_what_to_do(reason: str, remedy: str) -> None:
    failed = Environment(SetUpState.FAILED, RECIPE, reason=reason, failures=(reason,))
    blamed = replace(VERDICT, state=VerdictState.ENVIRONMENT, reason=f"No: {reason}.")
    told = lines(a_rehearsal(environment=failed, verdict=blamed))
    assert told[1].startswith(f"off   set-up: {reason}. {remedy}")
    assert told[-1].endswith("What the set-up lacks is said above.")


def test_hosts_that_were_refused_and_files_that_are_missing_are_named() -> None:
    refused = AccessTotal(
        *("evil.example", 443, AccessVerdict.REFUSED, "not in CODEBOT_EGRESS"), 3, 0, 0, NOW, NOW
    )
    gap = Gap("vendor/lib", "is a submodule on another host")
    told = lines(a_rehearsal(checkout=replace(CHECKOUT, gaps=(gap,)), blocked=[refused]))
    assert "off   missing file: vendor/lib is a submodule on another host" in told
    assert (
        "off   blocked host: evil.example (3): not in CODEBOT_EGRESS. "
        "If the set-up or the tests need it, name it there."
    ) in told


def test_the_end_of_the_output_is_shown_where_something_is_wrong() -> None:
    output = "\n".join(f"line {number}" for number in range(100))
    assert told_output(a_rehearsal(verdict=replace(VERDICT, output=output))) == []
    failed = a_rehearsal(verdict=replace(VERDICT, state=VerdictState.FAILED, output=output))
    assert told_output(failed)[-1] == "line 99"
    assert len(told_output(failed)) == LAST_LINES
    set_up = Environment(SetUpState.READY, RECIPE, failed_output="# it broke\n  no such mirror\n")
    told = told_output(replace(failed, environment=set_up))
    assert (told[:2], told[-1]) == (["# it broke", "  no such mirror"], "line 99")
