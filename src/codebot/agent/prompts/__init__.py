"""The texts that agents are given: Markdown files beside this module, filled with `$names`.

What comes from outside (descriptions, outputs, a repository's own rules) is filled in once and
never read as a template, and stands between fences that it cannot close.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from codebot.agent.texts import clip, tail_of
from codebot.domain.environment import BaseTests, Environment, SetUpState, TestCommand, Workplace
from codebot.domain.outcome import Basis, Comparison, Feedback, Gap, Refusal, Verdict, VerdictState
from codebot.domain.task import Task

INSTRUCTION_FILES = ("CLAUDE.md", "AGENTS.md")
"""Where repositories keep their rules for agents; read from the base commit, never the tree."""

LONGEST_INSTRUCTIONS = 64 * 1024
MOST_GAPS = 50
MOST_TESTS = 50
LONGEST_OUTPUT = 16 * 1024
"""Characters of a test run that the agent is shown: the end, where the failures are."""


_SUBMODULES = (
    "- Submodules are there to be read: what you change inside of one is not carried over.\n"
)


def task_prompt(task: Task, workplace: Workplace) -> str:
    """Give the first words of a task: what to do, where, and the rules of this house."""
    checkout, test = workplace.checkout, workplace.environment.test
    request = task.request
    ticket = " ".join(filter(None, (request.ticket_id, request.ticket_summary)))
    return _fill(
        "task",
        repository=request.repository.full_name,
        base_branch=_in_line(checkout.base_branch),
        ticket=f"Ticket: {_in_line(ticket)}\n" if ticket else "",
        description=fence(request.description, "task"),
        gaps=_gaps(checkout.gaps),
        submodules=_SUBMODULES if checkout.submodules else "",
        environment=_about(workplace.environment),
        tests=_tests(test, workplace.base) if test else "",
    )


def go_on(feedback: Feedback, base_commit: str) -> str:
    """Give the words for another round, on what came of the one before."""
    if isinstance(feedback, Refusal):
        return change_refused(feedback, base_commit)
    return tests_failed(feedback)


def change_refused(refusal: Refusal, base_commit: str) -> str:
    """Give the words for another round: why the change was not taken, and how to mend it."""
    return _fill(
        "change_refused",
        reason=fence(clip(refusal.reason, LONGEST_OUTPUT), "text"),
        remedy=refusal.remedy,
        base_commit=base_commit,
    )


def _about(environment: Environment) -> str:
    """Say what is set up, and what is not."""
    recipe = environment.recipe
    match environment.state:
        case SetUpState.READY if recipe is not None and recipe.setup:
            failed = "; ".join(environment.failures)
            before = f" Before that, {failed}." if failed else ""
            return f"Its dependencies are installed (from {_in_line(recipe.source)}).{before}\n"
        case SetUpState.FAILED:
            return (
                "Its dependencies could not be installed, so its tests may not run here: "
                f"{environment.reason}.\n"
            )
        case _:
            return ""


def _tests(test: TestCommand, base: BaseTests | None) -> str:
    """Say how the tests are run, and how they end before the change where that is known."""
    command = f"The tests are run with {_in_line(test.command)}.\n"
    if base is None:
        return command
    if base.passed:
        return f"{command}They pass before your change.\n"
    if not base.failing:
        return f"{command}They fail before your change already: find out which.\n"
    return (
        f"{command}These fail before your change, and need no mending unless the task says so: "
        f"{_named(base.failing)}.\n"
    )


def _compared(comparison: Comparison) -> str:
    """Say which failures are the change's and which the base's."""
    told = []
    if comparison.by is Basis.TESTS:
        told.append(f"These fail now, and not on the base branch: {_named(comparison.new)}.")
    elif comparison.base_exit_code == 0:
        told.append("On the base branch the command passes.")
    if comparison.inherited:
        told.append(
            "These failed before your change, and need no mending unless the task says so: "
            f"{_named(comparison.inherited)}."
        )
    return "".join(f"{words}\n\n" for words in told)


def _named(tests: Sequence[str]) -> str:
    shown = ", ".join(map(_in_line, tests[:MOST_TESTS]))
    return f"{shown} and {len(tests) - MOST_TESTS} more" if len(tests) > MOST_TESTS else shown


def tests_failed(verdict: Verdict) -> str:
    """Give the words for another round: which command failed, how, and the end of its output."""
    timed_out = verdict.state is VerdictState.TIMED_OUT
    seconds = round(verdict.duration.total_seconds())
    return _fill(
        "tests_failed",
        command=fence(verdict.command, "sh"),
        ending=f"was stopped after {seconds} s" if timed_out else f"ended with {verdict.exit_code}",
        output=fence(tail_of(verdict.output, LONGEST_OUTPUT), "text"),
        compared=_compared(verdict.comparison),
    )


def instructions(found: Mapping[str, str]) -> str:
    """Give the system prompt's addition: our rules, then the repository's (file name to text)."""
    rules = (
        f"From `{name}`:\n\n" + fence(clip(text, LONGEST_INSTRUCTIONS), "markdown") + "\n"
        for name, text in found.items()
        if text.strip()
    )
    return _fill("instructions", repository_rules="\n".join(rules) or "It has none.\n")


def interrupted(prompt: str) -> str:
    """Give the words for an agent that was stopped in the middle by a restart of the service."""
    return _fill("interrupted", prompt=prompt)


def fence(text: str, kind: str) -> str:
    r"""Put a text between fences longer than any row of backticks in it, so it cannot end them.

    >>> print(fence("a\n```\nb", "text"))
    ````text
    a
    ```
    b
    ````
    """
    longest = max((len(row) for row in re.findall(r"`+", text)), default=0)
    line = "`" * max(3, longest + 1)
    return f"{line}{kind}\n{text.rstrip()}\n{line}"


def _gaps(gaps: Sequence[Gap]) -> str:
    """Say what is missing: as facts, so that nobody takes it for damage and mends it."""
    if not gaps:
        return ""
    listed = "\n".join(f"- {_in_line(gap.path)} {gap.reason}" for gap in gaps[:MOST_GAPS])
    more = f"\n- and {len(gaps) - MOST_GAPS} more" if len(gaps) > MOST_GAPS else ""
    return _fill("gaps", gaps=listed + more) + "\n"


def _in_line(text: str) -> str:
    """Give a short text as code within a sentence; code cannot hold a backtick of its own."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


def _fill(name: str, **values: str) -> str:
    text = files(__package__).joinpath(f"{name}.md").read_text(encoding="utf-8")
    return Template(text).substitute(values)
