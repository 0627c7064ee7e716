"""What the end of a test command proves. Nothing here runs anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from signal import Signals

from codebot.domain.bounds import SIGNALLED, bound_reached
from codebot.domain.box import Exit, ExitReason
from codebot.domain.outcome import Verdict, VerdictState
from codebot.verify.command import TestCommand

NOT_EXECUTABLE = 126
NOT_FOUND = 127

LONGEST_CLUE = 16 * 1024
"""Characters: what a command says of its end is at the end."""

NOTHING_TO_RUN = (
    "No test command was given, and none was found in the repository: there is no `test` target "
    "in a Makefile, and nothing of pytest, tox, nox, package.json, Go, Cargo, Maven or Gradle."
)


@dataclass(frozen=True, slots=True)
class TestRun:
    """A test command that ended: everything seen of it."""

    __test__ = False

    command: TestCommand
    exit: Exit
    duration: timedelta
    output: str
    commit: str
    leftovers: Sequence[str]


def not_verified(commit: str) -> Verdict:
    """Give the verdict on a change that there is no test for."""
    return Verdict(
        state=VerdictState.NOT_VERIFIED,
        command="",
        source="",
        exit_code=None,
        duration=timedelta(0),
        output=NOTHING_TO_RUN,
        commit=commit,
    )


def judge(run: TestRun) -> Verdict:
    """Give the verdict of a test run; a sentence at the end of the output explains odd endings.

    `exit_code` is as shells count: 128 and the number for a signal.
    """
    code = run.exit.code if run.exit.code >= 0 else SIGNALLED - run.exit.code
    notes = (_explanation(run.exit.reason, code, run.command.command), _of_bound(run))
    note = "\n".join(filter(None, notes))
    return Verdict(
        state=_state(run, code),
        command=run.command.command,
        source=run.command.source,
        exit_code=code,
        duration=run.duration,
        output=f"{run.output.rstrip()}\n\n{note}\n".lstrip() if note else run.output,
        commit=run.commit,
        leftovers=tuple(run.leftovers),
    )


def _state(run: TestRun, code: int) -> VerdictState:
    if run.exit.reason is ExitReason.TIMEOUT:
        return VerdictState.TIMED_OUT
    if run.exit.reason is ExitReason.EXITED and code == 0:
        return VerdictState.PASSED
    if code == NOT_FOUND and run.command.is_detected:
        return VerdictState.NOT_VERIFIED  # a guess that cannot be tried says nothing of the change
    return VerdictState.FAILED


def _explanation(reason: ExitReason, code: int, command: str) -> str:
    match reason:
        case ExitReason.EXITED:
            return _of_code(code, command)
        case ExitReason.TIMEOUT:
            return "codebot: the command was stopped at its time limit."
        case ExitReason.OUTPUT:
            return "codebot: the command was stopped: it printed more than is allowed."
        case ExitReason.MEMORY | ExitReason.DISK:
            return f"codebot: the command was stopped: it used up its {reason.value}."
        case ExitReason.KILLED:
            return "codebot: the command was ended from outside."


def _of_code(code: int, command: str) -> str:
    if code == NOT_FOUND:
        return (
            f"codebot: exit code 127 means that a program of `{command}` is not installed "
            "where the tests run."
        )
    if code == NOT_EXECUTABLE:
        return (
            f"codebot: exit code 126 means that `{command}` names a file that may not be "
            "executed; `git update-index --chmod=+x` marks it as a program."
        )
    name = _signal_name(code - SIGNALLED)
    return f"codebot: the command was ended by {name}." if name else ""


def _of_bound(run: TestRun) -> str:
    reached = bound_reached(run.exit, run.output[-LONGEST_CLUE:])
    return f"codebot: the command {reached}." if reached else ""


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return ""
