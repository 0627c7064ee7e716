"""Every text that a person reads on the forge: pure functions, values to Markdown.

The tasks' and agents' own words are foreign text here: bounded, redacted before they are cut
(half a secret is still one), and made inert.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

from codebot.domain.conclusion import CAPS, WhenUntested, is_ready
from codebot.domain.environment import NO_ENVIRONMENT, Environment, SetUpState
from codebot.domain.outcome import (
    AgentReport,
    Change,
    ChangedFile,
    Comparison,
    Gap,
    NewPullRequest,
    Usage,
    Verdict,
    VerdictState,
)
from codebot.domain.task import Task, TaskId
from codebot.domain.trailers import without_trailers
from codebot.publish.markdown import clean, code, cut, cut_front, fence, inert, line, prose, quote
from codebot.store.egress import OTHER_HOSTS

LONGEST_BODY = 65_536
"""GitHub's own limit, in characters.

The parts below are bounded so that it is never reached, although making a text inert can double
its length, and backticks treble that of a path.
"""

_LONGEST_TITLE = 100
_LONGEST_SUBJECT = 72
_LONGEST_DESCRIPTION = 4_000
_LONGEST_SUMMARY = 6_000
_LONGEST_OUTPUT = 8_000
_LONGEST_MESSAGE = 5_000
_MOST_FILES = 50
_MOST_TESTS = 10
_MOST_LEFT_OUT = 10
_MOST_FAILURES = 3
_MOST_HOSTS = 10
_MOST_GAPS = 20
_LONGEST_REASON = 200
_LONGEST_CAUSE = 1_000
"""Of an untested change: where several things were tried, the last is often the one to mend."""

_LONGEST_PATH = 150
_LONGEST_HOST = 100
_LONGEST_COMMAND = 300
_MINUTE = 60
_CENT = 0.01

_MARKER = re.compile(r"<!-- codebot:task=([0-9a-zA-Z-]+) -->")


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to tell of a run: the task, and what the last round made of it.

    `usage` is what all rounds together have used; `blocked` says how often the task's boxes were
    refused each host, the most frequent first. `gaps` are those of the checkout. `untested` is what
    the operator wants of a change that nothing could test.
    """

    task: Task
    change: Change
    report: AgentReport
    verdict: Verdict
    rounds: int
    usage: Usage
    blocked: Mapping[str, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    environment: Environment = NO_ENVIRONMENT
    untested: WhenUntested = WhenUntested.DRAFT


def pull_request(work: Work, *, base: str, redact: Callable[[str], str]) -> NewPullRequest:
    """Give the pull request of a run's work; a draft unless the work is finished and holds."""
    return NewPullRequest(
        title=title(work.task, work.report, redact),
        body=body(work, redact),
        head=work.task.branch_name,
        base=base,
        draft=not is_ready(work.report, work.verdict, work.untested),
    )


def title(task: Task, report: AgentReport, redact: Callable[[str], str]) -> str:
    """Give one line: the ticket, and the agent's title or what was asked for."""
    return _subject(task, report.title, redact, _LONGEST_TITLE)


def commit_message(task: Task, report: AgentReport, redact: Callable[[str], str]) -> str:
    """Give the message of the bot's commit: the agent's, inert, with the ticket in its subject."""
    subject, _, rest = redact(report.commit_message).strip().partition("\n")
    first = _subject(task, subject or report.title, redact, _LONGEST_SUBJECT)
    return f"{first}\n\n{inert(clean(cut(rest.strip(), _LONGEST_MESSAGE)))}".strip()


def own_message(words: str, redact: Callable[[str], str]) -> str:
    """Give what an agent wrote of its own commit: masked, and inert."""
    return inert(clean(redact(words)))


def body(work: Work, redact: Callable[[str], str]) -> str:
    """Give the description of the pull request, ending in the marker that names the task."""
    sections = (
        _notice(work, redact),
        f"## Task\n\n{_task(work.task, redact)}",
        f"## What changed\n\n{_changes(work, redact)}",
        f"## Test evidence\n\n{_evidence(work, redact)}",
        _gaps(work.gaps, redact),
        _network(work.blocked, redact),
        f"## Cost\n\n{_cost(work.usage)}",
        f"---\n\nOpened by codebot for task {code(work.task.id)}.\n{marker(work.task.id)}",
    )
    return redact("\n\n".join(section for section in sections if section)) + "\n"


def marker(task_id: TaskId) -> str:
    """Give the hidden line by which a pull request is known to be a task's.

    >>> find_task(marker(TaskId("0193-5abc")))
    '0193-5abc'
    """
    return f"<!-- codebot:task={task_id} -->"


def find_task(text: str) -> TaskId | None:
    """Read the task from a description; None when it was not written here."""
    found = _MARKER.search(text)
    return None if found is None else TaskId(found[1])


def _subject(task: Task, words: str, redact: Callable[[str], str], limit: int) -> str:
    """Give one line of the first words there are, with the ticket before them."""
    request = task.request
    first = next(
        (
            text.strip()
            for text in (words, request.ticket_summary, request.description)
            if text and text.strip()
        ),
        task.branch_name,
    )
    ticket = request.ticket_id
    prefix = f"{ticket}: " if ticket and ticket.lower() not in first.lower() else ""
    return line(redact(prefix + first).partition("\n")[0], limit)


def _notice(work: Work, redact: Callable[[str], str]) -> str:
    """Say at the top why this is a draft, or that it was not tested."""
    if work.report.outcome in CAPS:
        limit, _ = CAPS[work.report.outcome]
        return f"**Partial work:** the agent reached its {limit} before it was done."
    if not work.verdict.holds:
        return "**Not ready:** the tests do not pass, see the evidence below."
    if work.verdict.reason:
        reason = line(redact(work.verdict.reason), _LONGEST_CAUSE)
        return f"**Not tested:** {reason} {work.verdict.remedy}".rstrip()
    if not work.verdict.is_proof:
        return (
            "**Not told apart:** the tests fail on the base branch as they do here, and the "
            "command does not say which; see the evidence below."
        )
    return ""


def _task(task: Task, redact: Callable[[str], str]) -> str:
    request = task.request
    described = quote(cut(redact(request.description), _LONGEST_DESCRIPTION))
    ticket = " ".join(text for text in (request.ticket_id, request.ticket_summary) if text)
    return f"{described}\n\nTicket: {line(redact(ticket), 200)}" if ticket else described


def _changes(work: Work, redact: Callable[[str], str]) -> str:
    change = work.change
    count = _count(len(change.files), "file")
    total = f"{count}, {_lines(change.additions, change.deletions)}:"
    listing = "\n".join(_files(change.files, redact))
    words = without_trailers(redact(work.report.summary))  # a squashed merge makes them a message
    summary = prose(cut(words, _LONGEST_SUMMARY))
    left_out = _left_out([redact(path) for path in change.left_out])
    parts = (summary if summary != ">" else "", total, listing, left_out)
    return "\n\n".join(part for part in parts if part)


def _files(files: tuple[ChangedFile, ...], redact: Callable[[str], str]) -> Iterator[str]:
    for file in files[:_MOST_FILES]:
        yield f"- {code(redact(file.path), _LONGEST_PATH)} {_lines(file.additions, file.deletions)}"
    if len(files) > _MOST_FILES:
        yield f"- and {len(files) - _MOST_FILES} more"


def _evidence(work: Work, redact: Callable[[str], str]) -> str:
    verdict = replace(work.verdict, command=redact(work.verdict.command))
    if not verdict.command:
        return f"Not tested. {verdict.reason}"
    return "\n\n".join(
        part
        for part in (
            _result(verdict),
            _compared(verdict.comparison, redact),
            _circumstances(verdict, work.rounds, redact),
            _set_up(work.environment, redact),
            _output(redact(verdict.output)),
        )
        if part
    )


def _result(verdict: Verdict) -> str:
    command = code(verdict.command, _LONGEST_COMMAND)
    took = _time(verdict.duration)
    ran = "" if verdict.tests is None else f", {_count(verdict.tests, 'test')}"
    match verdict.state:
        case VerdictState.PASSED if verdict.exit_code == 0:
            return f"{command} passed (exit code 0{ran}) in {took}."
        case VerdictState.PASSED:
            return (
                f"{command} ended with exit code {verdict.exit_code}{ran} after {took}, as it does "
                "on the base branch."
            )
        case VerdictState.ENVIRONMENT | VerdictState.UNTESTED:
            return f"{command} ended with exit code {verdict.exit_code} after {took}."
        case VerdictState.TIMED_OUT:
            return f"{command} **did not end** within {took}."
        case _:
            return f"{command} **failed** with exit code {verdict.exit_code}{ran} after {took}."


def _compared(comparison: Comparison, redact: Callable[[str], str]) -> str:
    """Say which failures are the change's and which the base's."""
    return "\n\n".join(
        f"{words}: {_tests(names, redact)}."
        for words, names in (
            ("Fail here and not on the base branch", comparison.new),
            ("Failed before, on the base branch", comparison.inherited),
        )
        if names
    )


def _tests(names: tuple[str, ...], redact: Callable[[str], str]) -> str:
    shown = ", ".join(_shown_end(redact(name), _LONGEST_PATH) for name in names[:_MOST_TESTS])
    return f"{shown} and {len(names) - _MOST_TESTS} more" if len(names) > _MOST_TESTS else shown


def _set_up(environment: Environment, redact: Callable[[str], str]) -> str:
    """Say where the environment comes from, and what of it did not work."""
    told = [line(redact(words), _LONGEST_REASON) for words in environment.failures[:_MOST_FAILURES]]
    recipe = environment.recipe
    if recipe is not None and environment.state is SetUpState.READY:
        if recipe.setup:
            told.insert(0, f"set up from {code(redact(recipe.source), _LONGEST_PATH)}")
        told += [line(redact(words), _LONGEST_REASON) for words in recipe.notes[:_MOST_FAILURES]]
    return f"Environment: {'; '.join(told)}." if told else ""


def _circumstances(verdict: Verdict, rounds: int, redact: Callable[[str], str]) -> str:
    where = f"Run by codebot at commit {code(verdict.commit[:12])}"
    whose = "the task's" if verdict.source == "task" else line(redact(verdict.source), 200)
    return f"{where}, in round {rounds} of the agent's work; the command is {whose}."


def _output(output: str) -> str:
    if not output.strip():
        return "The command printed nothing."
    shown = fence(cut_front(output, _LONGEST_OUTPUT))
    return f"<details><summary>Output</summary>\n\n{shown}\n\n</details>"


def _left_out(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    names = ", ".join(code(path, _LONGEST_PATH) for path in paths[:_MOST_LEFT_OUT])
    more = f" and {len(paths) - _MOST_LEFT_OUT} more" if len(paths) > _MOST_LEFT_OUT else ""
    return f"Left out, as tools make it and `.gitignore` does not name it: {names}{more}."


def _gaps(gaps: tuple[Gap, ...], redact: Callable[[str], str]) -> str:
    """Say what agent and tests had to do without."""
    if not gaps:
        return ""
    lines = [
        f"- {code(redact(gap.path), _LONGEST_PATH)} {line(redact(gap.reason), _LONGEST_REASON)}"
        for gap in gaps[:_MOST_GAPS]
    ]
    if len(gaps) > _MOST_GAPS:
        lines.append(f"- and {len(gaps) - _MOST_GAPS} more")
    return "## Missing in the workspace\n\n" + "\n".join(lines)


def _network(blocked: Mapping[str, int], redact: Callable[[str], str]) -> str:
    """Say what was refused: a reader may want to know, and the agent may have needed it."""
    if not blocked:
        return ""
    shown = ", ".join(
        f"{_shown_end(redact(name), _LONGEST_HOST)} ({times:,})"
        for name, times in islice(blocked.items(), _MOST_HOSTS)
    )
    least = "at least " if OTHER_HOSTS in blocked else ""
    left = len(blocked) - _MOST_HOSTS
    more = f" and {least}{left} more" if left > 0 else ""
    return f"## Network\n\nBlocked: {shown}{more}."


def _shown_end(name: str, limit: int) -> str:
    """Show a name as code, which links to nothing; of a long one the end, which says whose it is.

    Backticks, which hosts and tests do not have, would treble its length.
    """
    return code(cut_front(name.replace("`", "'"), limit)) or code("?")


def _cost(usage: Usage) -> str:
    if usage == Usage():
        return "The agent reported no turns, tokens or cost."
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    return f"{_count(usage.turns, 'turn')}, {tokens}, {_dollars(usage.cost_usd)}."


def _dollars(amount: float) -> str:
    """Say what it cost.

    >>> _dollars(0), _dollars(0.004), _dollars(1.5)
    ('no cost', 'less than $0.01', '$1.50')
    """
    if amount <= 0:
        return "no cost"
    return f"${amount:,.2f}" if amount >= _CENT else "less than $0.01"


def _time(duration: timedelta) -> str:
    """Say how long it took.

    >>> _time(timedelta(seconds=2.345)), _time(timedelta(seconds=125))
    ('2.3 s', '2 min 5 s')
    """
    seconds = duration.total_seconds()
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"


def _lines(additions: int, deletions: int) -> str:
    return f"+{additions:,} -{deletions:,}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
