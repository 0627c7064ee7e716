"""The words of a pull request: what they say, and what foreign text in them cannot do."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from codebot.domain.conclusion import WhenUntested
from codebot.domain.environment import Environment, Recipe, RecipeOrigin, SetUpState
from codebot.domain.outcome import (
    AgentOutcome,
    AgentReport,
    Basis,
    Change,
    ChangedFile,
    Comparison,
    Usage,
    Verdict,
    VerdictState,
)
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.status import TaskStatus
from codebot.domain.task import Task, TaskId, TaskRequest
from codebot.publish import markdown, wording
from codebot.publish.wording import Work
from codebot.store.egress import OTHER_HOSTS
from codebot.telemetry.redaction import Redactor

TASK_ID = TaskId("0193c0de-0000-7000-8000-00000abc1234")
URL = "https://github.com/octo/repo.git"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

REQUEST = TaskRequest(
    Repository(ForgeKind.GITHUB, "github.com", "octo", "repo", URL),
    "Add a dark mode.\nIt follows the system.",
    ticket_id="FEAT-123",
    ticket_summary="add-dark-mode",
)
TASK = Task(
    TASK_ID,
    REQUEST,
    "u/codebot/abc1234/add-dark-mode",
    "",
    TaskStatus.RUNNING,
    datetime(2026, 3, 1, tzinfo=UTC),
)
REPORT = AgentReport(
    AgentOutcome.DONE, "s", "Add dark mode", "Adds it.", "Add dark mode", "", Usage(), timedelta(0)
)
PASSED = Verdict(
    VerdictState.PASSED, "make test", "task", 0, timedelta(seconds=2.31), "3 passed", COMMIT
)
FILES = (ChangedFile("src/theme.py", 10, 2), ChangedFile("docs/a`b.md", 1, 0))
WORK = Work(
    task=TASK,
    change=Change(COMMIT, COMMIT, COMMIT, 1, FILES),
    report=REPORT,
    verdict=PASSED,
    rounds=2,
    usage=Usage(turns=3, input_tokens=12345, output_tokens=678, cost_usd=0.421),
)

EXPECTED = """\
## Task

> Add a dark mode.
> It follows the system.

Ticket: FEAT-123 add-dark-mode

## What changed

Adds it.

2 files, +11 -2:

- `src/theme.py` +10 -2
- `` docs/a`b.md `` +1 -0

## Test evidence

`make test` passed (exit code 0) in 2.3 s.

Run by codebot at commit `0123456789ab`, in round 2 of the agent's work; the command is the task's.

<details><summary>Output</summary>

```text
3 passed
```

</details>

## Cost

3 turns, 12,345 tokens in, 678 out, $0.42.

---

Opened by codebot for task `0193c0de-0000-7000-8000-00000abc1234`.
<!-- codebot:task=0193c0de-0000-7000-8000-00000abc1234 -->
"""


def described(**fields: str) -> Task:
    return replace(TASK, request=replace(REQUEST, **fields))


def test_a_description_reads_like_this() -> None:
    assert wording.body(WORK, str) == EXPECTED


def test_a_finished_work_is_no_draft() -> None:
    new = wording.pull_request(WORK, base="main", redact=str)
    assert (new.title, new.head, new.base, new.draft) == (
        "FEAT-123: Add dark mode",
        TASK.branch_name,
        "main",
        False,
    )


@pytest.mark.parametrize(
    ("report", "verdict", "notice"),
    [
        (REPORT, replace(PASSED, state=VerdictState.FAILED, exit_code=2), "Not ready"),
        (REPORT, replace(PASSED, state=VerdictState.TIMED_OUT, exit_code=None), "Not ready"),
        (replace(REPORT, outcome=AgentOutcome.MAX_TURNS), PASSED, "turn limit"),
        (replace(REPORT, outcome=AgentOutcome.MAX_BUDGET), PASSED, "dollar budget"),
    ],
)
def test_a_draft_says_at_the_top_why_it_is_one(
    report: AgentReport, verdict: Verdict, notice: str
) -> None:
    new = wording.pull_request(
        replace(WORK, report=report, verdict=verdict), base="main", redact=str
    )
    assert new.draft
    assert notice in new.body.partition("## Task")[0]


def test_evidence_names_the_exit_code_of_a_failure() -> None:
    failed = replace(PASSED, state=VerdictState.FAILED, exit_code=2)
    body = wording.body(replace(WORK, verdict=failed), str)
    assert "`make test` **failed** with exit code 2" in body


def test_untested_work_says_so_at_the_top_and_is_a_draft() -> None:
    nothing = Verdict(
        VerdictState.UNTESTED, "", "", None, timedelta(0), "", COMMIT, "There are no tests."
    )
    work = replace(WORK, verdict=nothing)
    new = wording.pull_request(work, base="main", redact=str)
    assert new.body.startswith(
        "**Not tested:** There are no tests. Name the command: `test` in .codebot.toml.\n"
    )
    assert new.draft
    ready = replace(work, untested=WhenUntested.READY)
    assert not wording.pull_request(ready, base="main", redact=str).draft


def test_a_reason_of_several_sentences_is_told_to_its_end() -> None:
    tried = "; ".join(f"set-up from number {n} failed: it was not to be had" for n in range(9))
    missing = replace(PASSED, state=VerdictState.ENVIRONMENT, reason=f"{tried}. Mend this.")
    assert "Mend this." in wording.body(replace(WORK, verdict=missing), str)


def test_what_could_not_run_is_told_with_what_it_said() -> None:
    missing = replace(
        PASSED,
        state=VerdictState.ENVIRONMENT,
        command="go test ./...",
        exit_code=127,
        output="go: not found",
        reason="The tests could not run: the program go is not installed.",
    )
    body = wording.body(replace(WORK, verdict=missing), str)
    assert body.startswith("**Not tested:** The tests could not run: the program go is not")
    assert "must be where Codebot runs, or come with `setup` in .codebot.toml." in body
    assert "`go test ./...` ended with exit code 127" in body
    assert "go: not found" in body


def test_what_tools_left_behind_is_named() -> None:
    paths = (".venv", *(f"{number}/__pycache__" for number in range(19)))
    body = wording.body(replace(WORK, change=replace(WORK.change, left_out=paths)), str)
    assert "does not name it: `.venv`, `0/__pycache__`, " in body
    assert "`8/__pycache__` and 10 more." in body


def test_inherited_failures_are_told_and_leave_the_work_ready() -> None:
    compared = Comparison(Basis.TESTS, 1, inherited=("test_a.old",), new=())
    verdict = replace(PASSED, exit_code=1, tests=7, comparison=compared)
    new = wording.pull_request(replace(WORK, verdict=verdict), base="main", redact=str)
    assert "ended with exit code 1, 7 tests after 2.3 s, as it does on the base branch" in new.body
    assert "Failed before, on the base branch: `test_a.old`." in new.body
    assert not new.draft


def test_failures_that_nobody_can_tell_apart_are_told_at_the_top() -> None:
    verdict = replace(PASSED, exit_code=1, comparison=Comparison(Basis.EXIT_CODE, 1))
    new = wording.pull_request(replace(WORK, verdict=verdict), base="main", redact=str)
    assert new.body.startswith("**Not told apart:** the tests fail on the base branch")
    assert not new.draft


def test_new_failures_are_named_apart_from_the_old_ones() -> None:
    compared = Comparison(Basis.TESTS, 1, inherited=("old",), new=tuple("abcdefghijkl"))
    verdict = replace(PASSED, state=VerdictState.FAILED, exit_code=1, comparison=compared)
    body = wording.body(replace(WORK, verdict=verdict), str)
    assert "Fail here and not on the base branch: `a`, `b`" in body
    assert "`j` and 2 more." in body


def test_what_was_set_up_and_what_was_not_is_told() -> None:
    recipe = Recipe(RecipeOrigin.GUESSED, "uv.lock", "uv sync")
    environment = Environment(SetUpState.READY, recipe, failures=("setup.sh ended with 1",))
    body = wording.body(replace(WORK, environment=environment), str)
    assert "Environment: set up from `uv.lock`; setup.sh ended with 1." in body


@pytest.mark.parametrize(
    ("usage", "words"),
    [
        (Usage(), "reported no turns"),
        (Usage(turns=1, input_tokens=5), "1 turn, 5 tokens in, 0 out, no cost."),
        (Usage(turns=2, cost_usd=0.001), "less than $0.01"),
    ],
)
def test_the_cost_has_words_for_little(usage: Usage, words: str) -> None:
    assert words in wording.body(replace(WORK, usage=usage), str)


def test_what_was_blocked_is_one_line_of_names_that_link_nowhere() -> None:
    blocked = {"www.evil.example": 3, "other.example": 1}
    body = wording.body(replace(WORK, blocked=blocked), str)
    section = "## Network\n\nBlocked: `www.evil.example` (3), `other.example` (1).\n\n## Cost"
    assert body == EXPECTED.replace("## Cost", section)


def test_of_many_blocked_hosts_the_first_ten_are_named() -> None:
    blocked = {f"host-{number}.example": 1000 - number for number in range(25)}
    body = wording.body(replace(WORK, blocked=blocked), str)
    assert "`host-9.example` (991) and 15 more." in body
    assert "host-10.example" not in body
    uncounted = wording.body(replace(WORK, blocked=blocked | {OTHER_HOSTS: 1}), str)
    assert "`host-9.example` (991) and at least 16 more." in uncounted


def test_of_a_long_name_the_end_is_shown_which_says_whose_it_is() -> None:
    body = wording.body(replace(WORK, blocked={"a." * 120 + "evil.example": 1}), str)
    assert ".evil.example` (1)." in body
    assert "a." * 60 not in body


@pytest.mark.parametrize(
    ("task", "agents", "expected"),
    [
        (TASK, "", "FEAT-123: add-dark-mode"),
        (TASK, "feat-123 Add it\nand more", "feat-123 Add it"),
        (described(ticket_id="", ticket_summary=""), "  ", "Add a dark mode."),
        (described(ticket_id=""), "x " * 200, ("x " * 49).strip() + "..."),
    ],
)
def test_a_title_is_one_short_line_of_the_best_words(
    task: Task, agents: str, expected: str
) -> None:
    assert wording.title(task, replace(REPORT, title=agents), str) == expected


def test_a_summary_signs_for_nobody() -> None:
    summary = "Adds it.\n\nSigned-off-by: Linus <l@example.org>\nRefs: #1"
    body = wording.body(replace(WORK, report=replace(REPORT, summary=summary)), str)
    assert "Adds it.\n\nRefs: #1" in body
    assert "Linus" not in body


def test_a_ticket_links_nowhere_it_may_not() -> None:
    work = replace(WORK, task=described(ticket_summary="~~~ [x](javascript:alert(1))"))
    assert (
        "javascript"
        not in MarkdownIt("commonmark").render(wording.body(work, str)).partition("href")[2]
    )
    assert "](javascript" not in wording.body(work, str)


def test_a_commit_message_closes_no_issue_and_pings_nobody() -> None:
    report = replace(REPORT, commit_message="Fix it\n\nFixes #12, thanks @octo/team")
    message = wording.commit_message(TASK, report, str)
    assert message.startswith("FEAT-123: Fix it\n\n")
    assert "Fixes #12" not in message
    assert "@octo" not in message


def test_a_secret_is_gone_even_where_the_text_is_cut() -> None:
    secret = "ghs_" + "s3cr3t" * 6
    redact = Redactor([secret])
    spread = "x" * (6_000 - 20) + secret
    work = replace(
        WORK,
        task=described(description=spread, ticket_summary=secret, ticket_id=secret),
        change=replace(WORK.change, files=(ChangedFile("d/" * 68 + secret, 1, 1),)),
        report=replace(REPORT, title=secret, summary=spread),
        verdict=replace(
            PASSED,
            command="echo;" * 57 + secret,
            output=secret + "y" * (8_000 - 10),
            source=secret,
        ),
        blocked={secret + "." * 85: 1},
    )
    new = wording.pull_request(work, base="main", redact=redact)
    assert "s3cr3t" not in new.title + new.body
    assert "s3cr3t" not in wording.title(work.task, REPORT, redact), "nor as a ticket"


@pytest.mark.parametrize("unit", ["`", "@", "<!--", "a\n", "\n", "`<@&", "x", "\U0001f600"])
def test_the_longest_of_everything_stays_below_githubs_limit(unit: str) -> None:
    long = unit * 60_000
    files = tuple(ChangedFile(long, 10**9, 10**9) for _ in range(3000))
    compared = Comparison(Basis.TESTS, 1, (long,) * 200, (long,) * 200)
    recipe = Recipe(RecipeOrigin.GUESSED, long, "")
    environment = Environment(SetUpState.READY, recipe, failures=(long,) * 9)
    work = replace(
        WORK,
        task=described(description=long, ticket_summary=long, ticket_id="T" * 64),
        change=Change(COMMIT, COMMIT, COMMIT, 1, files),
        report=replace(REPORT, title=long, summary=long),
        verdict=replace(PASSED, command=long, source=long, output=long, comparison=compared),
        environment=environment,
        blocked={f"{number}{unit * 250}": 10**9 for number in range(99)},
    )
    new = wording.pull_request(work, base="main", redact=str)
    assert len(new.body) <= wording.LONGEST_BODY
    assert len(new.title) <= 256


HOSTILE = st.text(
    st.sampled_from([*"`~<>!-@#&;:/[]() \n\t\r\x1b\x00|*_=.\\", "a", "0", "\u202e", "\ud800"]),
    max_size=60,
) | st.sampled_from(
    [
        "```\nopen fence",
        "~~~~",
        "<!-- codebot:task=0000 -->",
        "<!--",
        "-->",
        "<details>",
        "<script>",
        "&#64;octo",
        "# Test evidence",
        "Cost\n====",
        "- item\n\n      code",
        "[Cost]: http://evil.test",
        "closes #1",
        "@octo/team",
        "&commat;octo",
        "![pixel](http://evil.test/p.png)",
    ]
)


@given(
    title=HOSTILE,
    summary=HOSTILE,
    description=HOSTILE,
    output=HOSTILE,
    path=HOSTILE,
    blocked=st.dictionaries(HOSTILE, st.integers(1, 9), max_size=3),
)
def test_foreign_text_stays_in_its_place(
    title: str, summary: str, description: str, output: str, path: str, blocked: dict[str, int]
) -> None:
    work = replace(
        WORK,
        task=described(description=description, ticket_summary=title),
        report=replace(REPORT, title=title, summary=summary),
        change=replace(WORK.change, files=(ChangedFile(path, 1, 1),)),
        verdict=replace(
            PASSED,
            output=output,
            source=title,
            command=path,
            comparison=Comparison(Basis.TESTS, 1, (path,)),
        ),
        blocked=blocked,
    )
    new = wording.pull_request(work, base="main", redact=str)
    assert re.findall(r"<!--.*", new.body) == [wording.marker(TASK_ID)]
    assert wording.find_task(new.body) == TASK_ID
    assert "\n" not in new.title
    (new.title + new.body).encode()
    tokens = MarkdownIt("commonmark").parse(new.body)
    headings = [
        inline.content
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open" and opening.level == 0
    ]
    network = ["Network"] if blocked else []
    assert headings == ["Task", "What changed", "Test evidence", *network, "Cost"]


@given(HOSTILE)
def test_a_fence_holds_whatever_is_in_it(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(f"{markdown.fence(text)}\n\nafter")
    assert [token.type for token in tokens] == [
        "fence",
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]


@given(HOSTILE)
def test_prose_neither_pings_nor_closes_nor_makes_html(text: str) -> None:
    prose = markdown.prose(text)
    rendered = MarkdownIt("commonmark").renderInline(prose)
    assert not re.search(r"@[^\s\u200b]", re.sub(r"<a .*?</a>", "", rendered))
    tokens = MarkdownIt("commonmark").parse(prose)
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert not {token.type for token in tokens} & {"html_block"}
    assert not kinds & {"html_inline", "image"}


@pytest.mark.parametrize(
    "text",
    [
        "Fixes #1",
        "closed: #2",
        "resolve octo/repo#3",
        "_fixes_ GH-4",
        "FIXED\nhttps://github.com/octo/repo/issues/5",
        "(close) **#6**",
        f"Fixes{' ' * 99}#7",
    ],
)
def test_a_closing_word_before_an_issue_loses_its_power(text: str) -> None:
    assert not re.search(r"(?i)clos|fix|resolv", markdown.inert(text))


@pytest.mark.parametrize(
    "text",
    ["[skip ci]", "[CI skip]", "[no ci]", "[skip actions]", "[actions skip]", "skip-checks: true"],
)
def test_no_words_keep_ci_from_running(text: str) -> None:
    made = markdown.inert(f"Mend it {text}")
    assert text not in made
    assert made.replace(markdown.BREAK, "") == f"Mend it {text}"


def test_a_message_says_nothing_that_only_a_control_character_kept_apart() -> None:
    report = replace(REPORT, commit_message="Mend it\n\nFi\x00xes #1, a\x01nd @team")
    assert wording.commit_message(TASK, report, str) == wording.commit_message(
        TASK, replace(REPORT, commit_message="Mend it\n\nFixes #1, and @team"), str
    )


@pytest.mark.parametrize(
    "text",
    [
        "fixed 3 bugs",
        "see #12",
        "a prefix #1",
        "List[int] and a < b & c",
        "closes the door",
        "[ci] x",
    ],
)
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert markdown.inert(text) == text


def test_prose_keeps_its_markdown_unless_it_reaches_out() -> None:
    assert markdown.prose("- one\n- `two`") == "- one\n- `two`"
    assert markdown.prose("```\nopen") == "> ```\n> open"
    assert markdown.prose("# Cost") == "> # Cost"
