"""What a finished run amounts to: arithmetic on its last report and verdict, nothing else."""

from enum import StrEnum

from codebot.domain.outcome import AgentOutcome, AgentReport, Failure, Verdict, VerdictState
from codebot.domain.run import RunResult
from codebot.domain.status import Outcome, TaskStatus
from codebot.errors import (
    BudgetExhausted,
    NothingChanged,
    TaskCancelled,
    TestsFailed,
    Untested,
    VerifyTimedOut,
)

LONGEST_WORDS = 1000
"""Characters of the agent's closing words that an error repeats."""

CAPS = {
    AgentOutcome.MAX_TURNS: ("turn limit", "CODEBOT_MAX_TURNS"),
    AgentOutcome.MAX_TOKENS: ("token limit", "CODEBOT_MAX_TOKENS"),
    AgentOutcome.MAX_BUDGET: ("dollar budget", "CODEBOT_MAX_BUDGET_USD"),
}
"""What stops an agent before it is done: its name, and the setting that raises it."""


class WhenUntested(StrEnum):
    """What becomes of a change that nothing could test."""

    DRAFT = "draft"
    READY = "ready"
    FAIL = "fail"


COMPLETED = RunResult(TaskStatus.COMPLETED, Outcome.PULL_REQUEST)


def is_done(report: AgentReport) -> bool:
    """Say whether the agent came to its own end; one that a cap stopped gets no further round."""
    return report.outcome is AgentOutcome.DONE


def is_ready(report: AgentReport, verdict: Verdict, untested: WhenUntested) -> bool:
    """Say whether the pull request may be opened as ready: the agent was done, the tests passed.

    What could not be tested is ready only where the operator wants it so.
    """
    is_enough = verdict.state is VerdictState.PASSED or untested is WhenUntested.READY
    return is_done(report) and verdict.holds and is_enough


def conclude(
    report: AgentReport, verdict: Verdict, pull_request_url: str, untested: WhenUntested
) -> RunResult:
    """Say how the task ends, once its work is published at `pull_request_url`."""
    if report.outcome is not AgentOutcome.DONE:
        return _failed(Outcome.BUDGET_EXHAUSTED, _partial(report, pull_request_url))
    if not verdict.holds:
        return _failed(Outcome.TESTS_FAILED, _unproven(verdict, pull_request_url))
    if untested is WhenUntested.FAIL and verdict.state is not VerdictState.PASSED:
        hint = f"{verdict.remedy} The work: {pull_request_url} (a draft).".lstrip()
        failure = Failure(Untested.code, verdict.reason, hint, retryable=False)
        return _failed(Outcome.UNTESTED, failure)
    return COMPLETED


def unchanged(report: AgentReport) -> NothingChanged | BudgetExhausted:
    """Give the error for an agent that ended and left the repository as it was."""
    if report.outcome is not AgentOutcome.DONE:
        limit, setting = CAPS[report.outcome]
        return BudgetExhausted(
            f"The agent reached its {limit} before it changed anything.",
            hint=f"Raise {setting}, or make the task smaller.",
        )
    words = report.closing_words or report.summary or "it did not say why."
    return NothingChanged(f"The agent made no changes: {words[:LONGEST_WORDS]}")


def cancelled(by: str, kept: str = "") -> RunResult:
    """Say how a task ends that somebody cancelled; `kept` says where to find what it had done.

    >>> cancelled("the API key 0123456789abcdef").failure.detail
    'The task was cancelled by the API key 0123456789abcdef.'
    """
    failure = Failure(TaskCancelled.code, f"The task was cancelled by {by}.", kept, retryable=False)
    return RunResult(TaskStatus.CANCELLED, Outcome.CANCELLED, failure)


def _failed(outcome: Outcome, failure: Failure) -> RunResult:
    return RunResult(TaskStatus.FAILED, outcome, failure)


def _partial(report: AgentReport, url: str) -> Failure:
    limit, setting = CAPS[report.outcome]
    return Failure(
        code=BudgetExhausted.code,
        detail=f"The agent reached its {limit} before it was done.",
        hint=f"Its partial work: {url} (a draft). Raise {setting} to allow more.",
        retryable=False,
    )


def _unproven(verdict: Verdict, url: str) -> Failure:
    hint = f"The work as it is: {url} (a draft)."
    if verdict.state is VerdictState.TIMED_OUT:
        seconds = round(verdict.duration.total_seconds())
        detail = f"The test command `{verdict.command}` did not end within {seconds} seconds."
        return Failure(VerifyTimedOut.code, detail, hint, retryable=False)
    detail = f"The test command `{verdict.command}` failed with exit code {verdict.exit_code}."
    return Failure(TestsFailed.code, detail, hint, retryable=False)
