"""What an error that ended a run means for its task."""

from codebot.domain.outcome import Failure
from codebot.domain.run import RunResult
from codebot.domain.status import Outcome, TaskStatus
from codebot.errors import (
    AgentTimedOut,
    BudgetExhausted,
    CodebotError,
    NothingChanged,
    RunPoisoned,
    TestsFailed,
    VerifyTimedOut,
)
from codebot.queue.policy import MAX_CRASHES
from codebot.store.transitions import Poison

_OUTCOMES: dict[type[CodebotError], Outcome] = {
    NothingChanged: Outcome.NO_CHANGES,
    TestsFailed: Outcome.TESTS_FAILED,
    VerifyTimedOut: Outcome.TESTS_FAILED,
    BudgetExhausted: Outcome.BUDGET_EXHAUSTED,
    AgentTimedOut: Outcome.TIMED_OUT,
}

BUG = RunResult(
    TaskStatus.FAILED,
    Outcome.ERROR,
    Failure(
        CodebotError.code,
        "Codebot itself failed while it worked on this task.",
        "The service's log has the details; please report them, then submit the task again.",
        retryable=False,
    ),
)
"""What a caller is told of a bug: never the Python message, which is in the log."""

POISON = Poison(
    MAX_CRASHES,
    RunResult(
        TaskStatus.FAILED,
        Outcome.ERROR,
        Failure(
            RunPoisoned.code,
            f"The run took its worker down {MAX_CRASHES} times.",
            "Look at the service's log and the machine's memory, then submit the task again.",
            retryable=False,
        ),
    ),
)
"""When a run is given up whose workers die of it, and what its task says then."""


def result_of(error: CodebotError) -> RunResult:
    """Give the end of a task whose run failed with an error that we understand.

    >>> result_of(NothingChanged("The agent made no changes.")).outcome
    <Outcome.NO_CHANGES: 'no_changes'>
    """
    outcome = next((o for kind, o in _OUTCOMES.items() if isinstance(error, kind)), Outcome.ERROR)
    retryable = error.retry_after is not None
    failure = Failure(error.code, error.detail, error.hint, retryable=retryable)
    return RunResult(TaskStatus.FAILED, outcome, failure)
