"""What the end of a test command proves, beside that of its base. Nothing here runs anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from signal import Signals

from codebot.domain.bounds import SIGNALLED, bound_reached
from codebot.domain.box import Exit, ExitReason
from codebot.domain.environment import BaseTests, TestCommand
from codebot.domain.outcome import Basis, Comparison, Verdict, VerdictState
from codebot.verify.none_found import found_no_test
from codebot.verify.results import Results
from codebot.verify.services import service_in
from codebot.verify.signs import NEEDS, NO_TESTS, NOT_EXECUTABLE, NOT_FOUND, why_not_tried

LONGEST_CLUE = 16 * 1024
"""Characters: what a command says of its end is at the end."""

MOST_NAMES = 200
"""Tests that a verdict names of each kind."""

NOTHING_TO_RUN = (
    "No test command was given, and none was found in the repository: there is no `test` target "
    "in a Makefile, and nothing of pytest, tox, nox, package.json, Go, Cargo, Maven or Gradle."
)


FEW_RAN = "more of its test files could not be collected than tests ran, as on the base branch"
NONE_RAN = "no test ran: its files could not be collected, on the base branch neither"

NEVER_ENDING = (
    "The tests do not end within their time limit (CODEBOT_TEST_TIMEOUT), not even on the base "
    "branch."
)


@dataclass(frozen=True, slots=True)
class TestRun:
    """A test command that ended: everything seen of it. `results` are None where nobody told.

    `lacking` says why the set-up of this very commit had failed before, "" where it had not.
    """

    __test__ = False

    command: TestCommand
    exit: Exit
    duration: timedelta
    output: str
    results: Results | None = None
    lacking: str = ""

    @property
    def code(self) -> int:
        """The exit code as shells count: 128 and the number for a signal."""
        return self.exit.code if self.exit.code >= 0 else SIGNALLED - self.exit.code

    @property
    def why_not_tried(self) -> str:
        """Why the command could not do its work, "" where it seems it could."""
        return why_not_tried(self.exit, self.output, self.results, self.command.command)

    @property
    def is_good(self) -> bool:
        """Whether it ended as one wants it to."""
        return self.exit == Exit(ExitReason.EXITED, 0)


def untested(commit: str, reason: str = NOTHING_TO_RUN) -> Verdict:
    """Give the verdict on a change that there is no test for."""
    return Verdict(
        state=VerdictState.UNTESTED,
        command="",
        source="",
        exit_code=None,
        duration=timedelta(0),
        output="",
        commit=commit,
        reason=reason,
    )


def judge(run: TestRun, base: TestRun | None, commit: str, *, lacking: str = "") -> Verdict:
    """Give the verdict of a test run at `commit`, beside the run of its base where there is one.

    `lacking` says why the environment could not be set up, "" where it could. A sentence at the
    end of the output explains odd endings.
    """
    comparison = compare(run, base)
    state, reason = _judge(run, base, comparison, lacking)
    notes = (
        _explanation(run.exit.reason, run.code, run.command.command),
        _of_bound(run),
        f"codebot: before that, {run.lacking.rstrip()}" if run.lacking else "",
    )
    note = "\n".join(filter(None, notes))
    return Verdict(
        state=state,
        command=run.command.command,
        source=run.command.source,
        exit_code=run.code,
        duration=run.duration,
        output=f"{run.output.rstrip()}\n\n{note}\n".lstrip() if note else run.output,
        commit=commit,
        reason=reason,
        tests=None if run.results is None else run.results.count,
        comparison=comparison,
    )


def can_be_compared_with(base: TestRun) -> bool:
    """Say whether changes can be held to a base's run: it ended well, or its failures are named."""
    if _had_nothing_to_run(base) or _has_no_tests(base):
        return False
    return base.is_good or _tells(base)


def as_base(run: TestRun) -> BaseTests:
    """Give what of a base's run an agent is told before it begins."""
    bad = run.results.bad if _tells(run) and run.results else ()
    return BaseTests(run.is_good, _named(bad))


def compare(run: TestRun, base: TestRun | None) -> Comparison:
    """Say which of a run's failures its base has as well: test by test where both were told."""
    if base is None:
        return Comparison()
    if run.is_good:
        return Comparison(base_exit_code=base.code)
    if _is_comparable(run, base) and run.results and base.results:
        bad = run.results.bad
        return Comparison(
            Basis.TESTS, base.code, _named(bad & base.results.bad), _named(bad - base.results.bad)
        )
    by = Basis.NOTHING if base.is_good else Basis.EXIT_CODE
    return Comparison(by, base.code)


def _is_comparable(run: TestRun, base: TestRun) -> bool:
    """Say whether the tests of both are known: of several runners, none is silent that spoke."""
    if not (_tells(run) and _tells(base) and run.results and base.results):
        return False
    return run.results.endings >= base.results.endings


def _tells(run: TestRun) -> bool:
    """Say whether the results explain the ending: no failure without its test."""
    return (
        run.exit.reason is ExitReason.EXITED
        and run.results is not None
        and (run.is_good or bool(run.results.bad))
    )


def _judge(
    run: TestRun, base: TestRun | None, compared: Comparison, lacking: str
) -> tuple[VerdictState, str]:
    """Give the state, and the sentence that says why nothing was tested."""
    if _had_nothing_to_run(run):
        return VerdictState.UNTESTED, f"`{run.command.command}` found no test to run."
    if run.is_good and not _has_no_tests(run):
        return VerdictState.PASSED, ""
    if not_tried := _not_tried(run, base, lacking) or _hardly_tried(run, base):
        return VerdictState.ENVIRONMENT, f"The tests could not run: {not_tried}."
    if base is not None and ExitReason.TIMEOUT == run.exit.reason == base.exit.reason:
        return VerdictState.ENVIRONMENT, NEVER_ENDING
    if _has_no_tests(run) and (base is None or _has_no_tests(base)):
        return VerdictState.UNTESTED, f"`{run.command.command}` found no test to run."
    return _blame(run, base, compared), ""


def _blame(run: TestRun, base: TestRun | None, compared: Comparison) -> VerdictState:
    """Say whether the change is to blame for a bad end, or its base.

    A command that the task gave and that says nothing of single tests may be what the task is
    about: its failing on the base is no excuse then.
    """
    if run.exit.reason is ExitReason.TIMEOUT:
        return VerdictState.TIMED_OUT
    if run.is_good:  # and found no test, where its base had some
        return VerdictState.FAILED
    if compared.by is Basis.TESTS:
        is_inherited = bool(compared.inherited) and not compared.new
    else:
        alike = base is not None and base.exit == run.exit
        is_inherited = alike and run.command.is_detected
    return VerdictState.PASSED if is_inherited else VerdictState.FAILED


def _not_tried(run: TestRun, base: TestRun | None, lacking: str) -> str:
    """Say why the command cannot be tried here; the base decides, for an agent could break it.

    Where the base was not tried, a guess of ours gets the benefit of the doubt and a command that
    somebody gave does not.
    """
    if lacking and not _ran(run) and base is not None and not base.is_good and not _ran(base):
        return lacking
    why = run.why_not_tried
    if why and (run.command.is_detected if base is None else base.why_not_tried):
        return why
    return NONE_RAN if base is not None and _none_ran(run) and _none_ran(base) else ""


def _hardly_tried(run: TestRun, base: TestRun | None) -> str:
    """Say why most of the tests could do nothing, here as on the base: "" where they could.

    Some pass all the same. What is left of a suite without its database proves little of a change.
    """
    if base is None or not (_is_mostly_bad(run) and _is_mostly_bad(base)):
        return ""
    service = service_in(run.output)
    if service and service == service_in(base.output):
        return NEEDS.format(service)
    few = run.results and run.results.is_mostly_broken
    few_there = base.results and base.results.is_mostly_broken
    return FEW_RAN if few and few_there else ""


def _is_mostly_bad(run: TestRun) -> bool:
    return not run.is_good and run.results is not None and run.results.is_mostly_bad


def _none_ran(run: TestRun) -> bool:
    """Say whether the runner told of files that it could not collect, and ran no test at all."""
    return not run.is_good and run.results is not None and not _ran(run)


def _ran(run: TestRun) -> bool:
    """Say whether a single test is known to have run."""
    return run.results is not None and run.results.has_run


def _has_no_tests(run: TestRun) -> bool:
    """Say whether the runner told that it found none: pytest by its code, unittest in words."""
    if run.results is not None:
        return run.exit.reason is ExitReason.EXITED and not (run.results.count or run.results.bad)
    return run.exit == Exit(ExitReason.EXITED, NO_TESTS) and "pytest" in run.command.command


def _had_nothing_to_run(run: TestRun) -> bool:
    """Say whether it ended by itself with no test in sight; what somebody gave is their word."""
    ended = run.exit.reason is ExitReason.EXITED and run.results is None
    detected = ended and run.command.is_detected
    return detected and found_no_test(run.output, ended_well=run.is_good)


def _named(tests: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(tests)[:MOST_NAMES])


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
