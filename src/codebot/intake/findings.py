"""What a rehearsal found, as findings: pure, each with what to do where something is missing."""

from collections.abc import Iterator
from itertools import islice

from codebot.domain.environment import Environment, SetUpState
from codebot.domain.outcome import Basis, Verdict, VerdictState
from codebot.domain.ports import Finding
from codebot.pipeline.rehearsal import Rehearsal
from codebot.pipeline.set_up import HIDDEN, NOT_HERE

MOST_NAMED = 5
LONGEST_NAME = 150
LAST_LINES = 15

UNNAMED = "not in CODEBOT_EGRESS"
NAME_HOST = "If the set-up or the tests need it, name it there."
SAY_HOW = "Say how: `setup` in .codebot.toml, or `setup_command` of a task."
NAME_TESTS = "Name it: `test` in .codebot.toml, or `test_command` of a task."
SHOW_IT = (
    "Name the toolchain's folder there (of rustup, one of ~/.rustup/toolchains), or install "
    "the program below /usr."
)
LACKS = "Install that here, or in the set-up: `setup` in .codebot.toml, or `setup_command`."
SEE_ABOVE = "What the set-up lacks is said above."
TELL_APART = (
    "Mend them on the base branch, or name what passes there: `test` in .codebot.toml, or "
    "`test_command` of a task. Of pytest, unittest, Jest, Vitest, Mocha, AVA, node:test, cargo and "
    "CTest it is known which tests fail, where their own words are printed to the end."
)


def findings_of(rehearsal: Rehearsal) -> Iterator[Finding]:
    """Give what was found, in the order of the steps."""
    checkout = rehearsal.checkout
    took = rehearsal.fetching.total_seconds()
    detail = f"{checkout.base_branch} at {checkout.base_commit[:12]}, fetched in {took:.1f} s"
    yield Finding("repository", ok=True, detail=detail)
    for gap in islice(checkout.gaps, MOST_NAMED):
        detail = f"{gap.path} {gap.reason}"
        yield Finding("missing file", ok=False, detail=detail, required=False)
    yield from _set_up(rehearsal.environment)
    for refused in rehearsal.blocked[:MOST_NAMED]:
        detail = f"{refused.host} ({refused.count:,}): {refused.reason}"
        remedy = NAME_HOST if refused.reason == UNNAMED else ""
        yield _lack("blocked host", detail, remedy, required=False)
    yield _tests(rehearsal.verdict, rehearsal.environment)


def told_output(rehearsal: Rehearsal) -> list[str]:
    """Give the end of what set-ups that failed and the tests printed; nothing where all is well."""
    if rehearsal.is_truly_tested:
        return []
    outputs = (rehearsal.environment.failed_output, rehearsal.verdict.output)
    return [line for output in outputs for line in _last_lines(output)]


def _last_lines(output: str) -> list[str]:
    return output.rstrip().split("\n")[-LAST_LINES:] if output.strip() else []


def _set_up(environment: Environment) -> Iterator[Finding]:
    recipe = environment.recipe
    took = f"{environment.duration.total_seconds():.1f} s"
    for reason in environment.failures:
        yield _lack("set-up", reason, _remedy(reason), required=False)
    if environment.state is SetUpState.READY and recipe is not None:
        detail = f"from {recipe.source} in {took}" if recipe.setup else f"none ({recipe.source})"
        yield Finding("set-up", ok=True, detail=detail)
        if environment.reason:
            yield _lack("set-up", environment.reason, "", required=False)
        for note in recipe.notes[:MOST_NAMED]:
            yield _lack("set-up", note, SAY_HOW, required=False)
    elif environment.state is SetUpState.NOTHING_TO_DO:
        yield Finding("set-up", ok=True, detail="nothing says what the tests need")


def _lack(name: str, detail: str, remedy: str, *, required: bool = True) -> Finding:
    return Finding(name, ok=False, detail=detail, remedy=remedy, required=required)


def _remedy(reason: str) -> str:
    if reason.endswith((NOT_HERE, "is not on this machine")):
        return "Install that here."
    return SHOW_IT if reason.endswith(f"({HIDDEN})") else SAY_HOW


def _named(tests: tuple[str, ...]) -> str:
    shown = ", ".join(name[:LONGEST_NAME] for name in tests[:MOST_NAMED])
    return f"{shown} and {len(tests) - MOST_NAMED:,} more" if len(tests) > MOST_NAMED else shown


def _tests(verdict: Verdict, environment: Environment) -> Finding:
    tests = verdict.tests
    ran = "" if tests is None else f", {tests:,} test{'' if tests == 1 else 's'}"
    told = f"`{verdict.command}` (exit code {verdict.exit_code}{ran}) in "
    told += f"{verdict.duration.total_seconds():.1f} s"
    remedy = SEE_ABOVE if environment.state is SetUpState.FAILED else LACKS
    inherited = verdict.comparison.inherited
    match verdict.state:
        case VerdictState.PASSED if verdict.comparison.by is Basis.EXIT_CODE:
            return _lack("tests", f"fail, and nobody can tell which: {told}", TELL_APART)
        case VerdictState.PASSED if inherited:
            known = f"{len(inherited):,} fail, known by name: {told}: {_named(inherited)}"
            return Finding("tests", ok=True, detail=known)
        case VerdictState.PASSED:
            return Finding("tests", ok=True, detail=f"pass: {told}")
        case VerdictState.UNTESTED:
            return _lack("tests", verdict.reason, NAME_TESTS)
        case VerdictState.ENVIRONMENT:
            return _lack("tests", f"{verdict.reason.rstrip('.')}: {told}", remedy)
        case _:
            return _lack("tests", f"fail on the base branch itself: {told}", TELL_APART)
