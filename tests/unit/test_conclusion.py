from datetime import timedelta

import pytest

from codebot.domain.conclusion import (
    LONGEST_WORDS,
    WhenUntested,
    conclude,
    is_done,
    is_ready,
    unchanged,
)
from codebot.domain.outcome import AgentOutcome, AgentReport, Usage, Verdict, VerdictState
from codebot.domain.status import Outcome, TaskStatus
from codebot.errors import BudgetExhausted, NothingChanged

URL = "https://forge.example/pull/1"
DONE, TURNS, BUDGET = AgentOutcome.DONE, AgentOutcome.MAX_TURNS, AgentOutcome.MAX_BUDGET
PASSED, FAILED = VerdictState.PASSED, VerdictState.FAILED
TIMED_OUT = VerdictState.TIMED_OUT
ENVIRONMENT, UNTESTED = VerdictState.ENVIRONMENT, VerdictState.UNTESTED
DRAFT, READY, FAIL = WhenUntested.DRAFT, WhenUntested.READY, WhenUntested.FAIL


def a_report(outcome: AgentOutcome = DONE, words: str = "", summary: str = "") -> AgentReport:
    return AgentReport(outcome, "s", "", summary, "", words, Usage(), timedelta(0))


def a_verdict(state: VerdictState = PASSED) -> Verdict:
    return Verdict(state, "make test", "task", 2, timedelta(seconds=61), "", "c", "It needs Go.")


@pytest.mark.parametrize(
    ("outcome", "state", "done", "ready"),
    [
        (DONE, PASSED, True, True),
        (DONE, UNTESTED, True, False),
        (DONE, ENVIRONMENT, True, False),
        (DONE, FAILED, True, False),
        (DONE, TIMED_OUT, True, False),
        (TURNS, FAILED, False, False),
        (TURNS, PASSED, False, False),
        (BUDGET, UNTESTED, False, False),
    ],
)
def test_only_finished_work_that_holds_is_ready(
    outcome: AgentOutcome, state: VerdictState, *, done: bool, ready: bool
) -> None:
    assert is_done(a_report(outcome)) is done
    assert is_ready(a_report(outcome), a_verdict(state), DRAFT) is ready


@pytest.mark.parametrize("state", [ENVIRONMENT, UNTESTED])
def test_what_nothing_could_test_is_as_ready_as_the_operator_wants(state: VerdictState) -> None:
    assert is_ready(a_report(), a_verdict(state), READY)
    assert not is_ready(a_report(TURNS), a_verdict(state), READY)
    result = conclude(a_report(), a_verdict(state), URL, FAIL)
    assert (result.status, result.outcome) == (TaskStatus.FAILED, Outcome.UNTESTED)
    assert result.failure is not None
    assert result.failure.detail == "It needs Go."
    assert "in .codebot.toml. The work: " in result.failure.hint
    assert f"{URL} (a draft)" in result.failure.hint


@pytest.mark.parametrize("state", [PASSED, ENVIRONMENT, UNTESTED])
def test_finished_work_that_holds_is_a_pull_request(state: VerdictState) -> None:
    result = conclude(a_report(), a_verdict(state), URL, DRAFT)
    assert (result.status, result.outcome) == (TaskStatus.COMPLETED, Outcome.PULL_REQUEST)
    assert result.failure is None


@pytest.mark.parametrize(
    ("outcome", "state", "expected", "code", "said"),
    [
        (DONE, FAILED, Outcome.TESTS_FAILED, "tests_failed", "`make test` failed with exit code 2"),
        (DONE, TIMED_OUT, Outcome.TESTS_FAILED, "tests_timed_out", "within 61 seconds"),
        (TURNS, PASSED, Outcome.BUDGET_EXHAUSTED, "budget_exhausted", "turn limit"),
        (BUDGET, FAILED, Outcome.BUDGET_EXHAUSTED, "budget_exhausted", "dollar budget"),
    ],
)
def test_unfinished_work_fails_and_names_its_draft(
    outcome: AgentOutcome, state: VerdictState, expected: Outcome, code: str, said: str
) -> None:
    result = conclude(a_report(outcome), a_verdict(state), URL, FAIL)
    assert (result.status, result.outcome) == (TaskStatus.FAILED, expected)
    assert result.failure is not None
    assert result.failure.code == code
    assert said in result.failure.detail
    assert f"{URL} (a draft)" in result.failure.hint
    assert not result.failure.retryable


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (a_report(words="All is well."), "The agent made no changes: All is well."),
        (a_report(summary="Nothing to do."), "The agent made no changes: Nothing to do."),
        (a_report(), "The agent made no changes: it did not say why."),
    ],
)
def test_an_agent_that_changed_nothing_is_quoted(report: AgentReport, said: str) -> None:
    error = unchanged(report)
    assert isinstance(error, NothingChanged)
    assert error.detail == said


def test_long_closing_words_are_cut() -> None:
    error = unchanged(a_report(words="x" * 10 * LONGEST_WORDS))
    assert error.detail.count("x") == LONGEST_WORDS


@pytest.mark.parametrize(
    ("outcome", "setting"), [(TURNS, "CODEBOT_MAX_TURNS"), (BUDGET, "CODEBOT_MAX_BUDGET_USD")]
)
def test_a_cap_that_left_nothing_names_its_setting(outcome: AgentOutcome, setting: str) -> None:
    error = unchanged(a_report(outcome, words="I was about to begin."))
    assert isinstance(error, BudgetExhausted)
    assert setting in error.hint
