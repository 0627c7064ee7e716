"""A task's events as lines for people who watch a terminal: pure text, safe to print."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from codebot.domain.environment import SetUpState
from codebot.domain.event import EventType
from codebot.domain.outcome import Basis, VerdictState
from codebot.domain.repository import ForgeKind
from codebot.domain.status import TaskStatus
from codebot.domain.task import Task

Data = Mapping[str, Any]

LONGEST = 200
"""Characters of a line from an agent: what it says at length stands in its log."""

LONGEST_REASON = 4000
"""Characters of a line of our own: a reason that is cut off helps nobody."""

LAST_LINES = 20
"""Of what the tests printed; failures are summed up there."""

_MOST_GAPS = 3
"""Of what a checkout lacks, named in a line."""

_STEERING = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
"""Line ends, control characters, and the marks that turn the direction of what follows."""

_UNTESTED = "Truly tested: NO. The pull request says why at its top."

_STEPS = {
    "prepare": "Preparing a clean workspace",
    "set_up": "Setting up what the tests need",
    "work": "The agent works",
    "verify": "Running the tests",
    "publish": "Publishing",
}


def progress_line(kind: str, data: Data) -> str | None:
    """Give the line for one event, None for those that say nothing new.

    >>> progress_line("step.started", {"step": "work", "round": 2})
    'The agent mends its work (round 2)'
    >>> progress_line("agent.used_tool", {"tool": "Bash", "summary": "ls"})
    '  Bash: ls'
    """
    tell = _LINES.get(kind)
    line = tell(data) if tell else None
    return None if line is None else plain(line, LONGEST if kind in _AT_LENGTH else LONGEST_REASON)


def output_lines(output: str, file: Path) -> list[str]:
    """Give the end of what the tests printed, and the file that has all of it; nothing for ""."""
    lines = output.rstrip().split("\n")
    if not output.strip():
        return []
    left_out = len(lines) - LAST_LINES
    count = f" ({left_out} lines before are left out)" if left_out > 0 else ""
    shown = [plain(f"  {line}") for line in lines[-LAST_LINES:]]
    return [f"The tests printed{count}:", *shown, plain(f"All of it: {file}", LONGEST_REASON)]


def closing_lines(task: Task) -> list[str]:
    """Give the last words on a task: what came of it, where to look, why it failed."""
    lines = []
    if task.failure:
        lines.append(plain(f"Failed: {task.failure.detail} {task.failure.hint}", LONGEST_REASON))
    if task.request.repository.forge is ForgeKind.LOCAL:
        lines += _local_branch(task) if task.branch_pushed else []
    elif task.pull_request:
        lines.append(f"Pull request: {task.pull_request.url}")
    if task.status is TaskStatus.COMPLETED:
        lines.append("Truly tested: yes" if task.verified else _UNTESTED)
    if task.usage.turns:
        lines.append(f"Used: {task.usage.turns} turns, ${task.usage.cost_usd:.2f}")
    return lines


def _local_branch(task: Task) -> list[str]:
    """Name the branch: a local repository has no page to look at while no service runs."""
    folder = shlex.quote(str(task.request.repository.path))
    return [
        f"Branch: {task.branch_name}",
        f"Look at it: git -C {folder} log --patch HEAD..{task.branch_name}",
    ]


def plain(text: str, longest: int = LONGEST) -> str:
    r"""Give a text as one line that cannot steer a terminal, cut where it is long.

    >>> plain("one\n\x1b[31mtwo")
    'one [31mtwo'
    """
    indent = text[: len(text) - len(text.lstrip(" "))]
    line = _STEERING.sub(" ", text).strip()
    return indent + (line if len(line) <= longest else line[: longest - 3] + "...")


def _step_started(data: Data) -> str | None:
    words = _STEPS.get(data.get("step", ""))
    if words and data.get("step") == "work" and data.get("round", 1) > 1:
        return f"The agent mends its work (round {data['round']})"
    return words


def _agent_used_tool(data: Data) -> str | None:
    """Pass over calls that say nothing of themselves: those are the agent's own bookkeeping."""
    summary = data.get("summary")
    return f"  {data.get('tool')}: {summary}" if summary else None


def _environment_set_up(data: Data) -> str | None:
    """Say what serves now and what failed before; a recipe that served is named already."""
    seconds, failures = data.get("seconds", 0), "; ".join(data.get("failures", ()))
    match data.get("state"):
        case SetUpState.READY:
            ready = f"  Set up from {data.get('source')} in {seconds:.1f} s"
            if data.get("reused"):
                ready = "  Set up before, and kept"
            elif not seconds:
                ready = f"  Nothing to set up ({data.get('source')})"
            return f"{ready}; before that {failures}" if failures else ready
        case SetUpState.FAILED:
            return f"  Not set up, the tests may lack something: {failures}"
        case _:
            return "  Nothing says what they need"


def _tests_finished(data: Data) -> str:
    """Say what is true of the tests, and no more."""
    match data.get("state"):
        case VerdictState.PASSED:
            ended = _passed(data)
        case VerdictState.TIMED_OUT:
            ended = f"did not end within {data.get('seconds', 0):.0f} s"
        case VerdictState.ENVIRONMENT | VerdictState.UNTESTED:
            return (
                f"  Tests: not tested: {data.get('reason', '')} {data.get('remedy', '')}".rstrip()
            )
        case _:
            ended = f"failed{_compared(data)}"
    tests = data.get("tests")
    counted = "" if tests is None else f", {tests:,} test{'' if tests == 1 else 's'}"
    return f"  Tests: {ended} (`{data.get('command', '')}`{counted})"


def _passed(data: Data) -> str:
    if data.get("compared_by") == Basis.EXIT_CODE:
        return "failed as on the base branch, not told apart"
    inherited = data.get("inherited", 0)
    return (
        f"passed but for {inherited:,} that fail on the base branch, too" if inherited else "passed"
    )


def _compared(data: Data) -> str:
    if data.get("compared_by") != Basis.TESTS:
        return f" with exit code {data.get('exit_code')}"
    return (
        f", {data.get('new', 0):,} that passed before and {data.get('inherited', 0):,} that did not"
    )


def _used(data: Data) -> str:
    return f"{data.get('used', 0):.4g} of {data.get('limit', 0):g} {data.get('cap', '')}"


def _checkout_incomplete(data: Data) -> str:
    gaps = data.get("gaps", ())
    first = "; ".join(f"{gap['path']} {gap['reason']}" for gap in gaps[:_MOST_GAPS])
    more = data.get("count", 0) - _MOST_GAPS
    return f"  Missing in the workspace: {first}{f'; and {more} more' if more > 0 else ''}"


def _change_collected(data: Data) -> str:
    left_out = ", ".join(data.get("left_out", ()))
    return (
        f"  Changed: {data.get('files', '?')} file(s),"
        f" +{data.get('additions', '?')} -{data.get('deletions', '?')} lines"
        + (f"; left out: {left_out}" if left_out else "")
    )


def _pull_request_opened(data: Data) -> str | None:
    """Pass over one without a page: how to look at the branch is said at the end."""
    url = str(data.get("url", ""))
    return f"  Pull request: {url}" if url.startswith("http") else None


_AT_LENGTH = frozenset({EventType.AGENT_SAID, EventType.AGENT_USED_TOOL})
"""Events in the words of an agent."""

_LINES: Mapping[str, Callable[[Data], str | None]] = {
    EventType.STEP_STARTED: _step_started,
    EventType.STEP_FAILED: lambda data: f"  Failed: {data.get('detail', '')}",
    EventType.TASK_CANCEL_REQUESTED: lambda data: f"Cancelled by {data.get('by', '')}",
    EventType.RUN_RESUMED: lambda _: "Going on where the last run of the task ended",
    EventType.RUN_POSTPONED: lambda data: f"  Again later: {data.get('reason', '')}",
    EventType.AGENT_SAID: lambda data: f"  Agent: {data.get('text', '')}",
    EventType.AGENT_USED_TOOL: _agent_used_tool,
    EventType.AGENT_RETRIED: lambda data: f"  No answer from the model: {data.get('reason', '')}",
    EventType.EGRESS_REFUSED: lambda data: (
        f"  Blocked: {data.get('host', '')} ({data.get('reason', '')})"
    ),
    EventType.MODEL_UNMETERED: lambda _: (
        "  The model's gateway does not say what a call used: the most that it can is charged"
    ),
    EventType.BUDGET_WARNED: lambda data: f"  The budget is nearly used up: {_used(data)}",
    EventType.BUDGET_EXHAUSTED: lambda data: f"  The budget is used up: {_used(data)}",
    EventType.CHECKOUT_INCOMPLETE: _checkout_incomplete,
    EventType.CHANGE_COLLECTED: _change_collected,
    EventType.CHANGE_REFUSED: lambda data: f"  Not taken: {data.get('detail', '')}",
    EventType.SET_UP_STARTED: lambda data: f"  Setting up from {data.get('source', '')}",
    EventType.ENVIRONMENT_SET_UP: _environment_set_up,
    EventType.TESTS_FINISHED: _tests_finished,
    EventType.BRANCH_PUSHED: lambda data: f"  Branch: {data.get('branch_name', '')}",
    EventType.PULL_REQUEST_OPENED: _pull_request_opened,
}
