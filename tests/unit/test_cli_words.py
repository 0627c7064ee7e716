import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from codebot.domain.egress import AccessVerdict
from codebot.domain.event import EventType
from codebot.domain.outcome import Failure, PullRequest, Usage
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.secret import Secret
from codebot.domain.status import TaskStatus
from codebot.domain.task import Task, TaskId, TaskRequest
from codebot.intake.accesses import access_json, access_table
from codebot.intake.banner import banner
from codebot.intake.progress import (
    LAST_LINES,
    LONGEST,
    LONGEST_REASON,
    closing_lines,
    output_lines,
    plain,
    progress_line,
)
from codebot.settings import Command, GitHubSettings, Settings, read_settings
from codebot.store.egress import AccessTotal
from codebot.telemetry.redaction import Redactor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCESS = AccessTotal("evil.example", 443, AccessVerdict.REFUSED, "", 1, 0, 0, NOW, NOW)


def settings(**changes: Any) -> Settings:
    reading = read_settings(
        {}, flags={}, dotenv_dir=Path("/nonexistent"), need=Command.RUN, redactor=Redactor()
    )
    return replace(reading.settings, **changes)


def test_the_banner_begins_with_the_documented_five_lines() -> None:
    keys = (Secret("secret-key-1"), Secret("secret-key-2"))

    assert banner(settings(api_keys=keys))[:5] == [
        "HTTP API enabled with 2 API key(s)",
        "Starting server on port 5000...",
        "API endpoints: http://localhost:5000/api/tasks/submit",
        "http://localhost:5000/api/tasks/{task_id}/status",
        "http://localhost:5000/api/tasks",
    ]


def test_the_banner_names_each_thing_that_is_off() -> None:
    bare = "\n".join(banner(settings(sandbox="none"))[5:])
    for words in ("Isolation is off", "GitHub is off", "No model credential", "Webhooks"):
        assert words in bare

    ready = settings(
        github=GitHubSettings(token=Secret("ghp_12345")),
        anthropic_api_key=Secret("sk-12345"),
    )
    [webhooks] = banner(ready)[5:]
    assert "Webhooks" in webhooks


def test_the_banner_says_when_a_script_plays_the_model() -> None:
    assert any(
        "played from /a.json" in line
        for line in banner(settings(anthropic_base_url=Path("/a.json")))
    )


@pytest.mark.parametrize("kind", list(EventType))
def test_no_event_breaks_the_progress_however_little_it_tells(kind: EventType) -> None:
    line = progress_line(kind.value, {})

    assert line is None or "\n" not in line


def test_progress_tells_of_a_pull_request_only_where_there_is_a_page_for_it() -> None:
    opened = EventType.PULL_REQUEST_OPENED.value

    shown = progress_line(opened, {"url": "https://github.com/o/r/pull/1"})

    assert shown == "  Pull request: https://github.com/o/r/pull/1"
    assert progress_line(opened, {"url": "git -C /a log -p main..u/codebot/x"}) is None


@pytest.mark.parametrize(
    ("kind", "used", "words"),
    [
        ("budget.warned", 8, "The budget is nearly used up: 8 of 10 turns"),
        ("budget.exhausted", 9.8765432, "The budget is used up: 9.877 of 10 dollars"),
    ],
)
def test_progress_says_how_a_budget_stands(kind: str, used: float, words: str) -> None:
    data = {"cap": words.rpartition(" ")[2], "used": used, "limit": 10}
    assert progress_line(kind, data) == f"  {words}"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"state": "passed", "tests": 490}, "passed (`uv run pytest`, 490 tests)"),
        ({"state": "passed"}, "passed (`uv run pytest`)"),
        (
            {"state": "passed", "tests": 1, "compared_by": "tests", "inherited": 4},
            "passed but for 4 that fail on the base branch, too (`uv run pytest`, 1 test)",
        ),
        (
            {"state": "passed", "compared_by": "exit code"},
            "failed as on the base branch, not told apart (`uv run pytest`)",
        ),
        ({"state": "failed", "exit_code": 2}, "failed with exit code 2 (`uv run pytest`)"),
        (
            {"state": "failed", "compared_by": "tests", "new": 2, "inherited": 1, "tests": 9},
            "failed, 2 that passed before and 1 that did not (`uv run pytest`, 9 tests)",
        ),
        ({"state": "timed_out", "seconds": 20.2}, "did not end within 20 s (`uv run pytest`)"),
        ({"state": "environment", "reason": "It needs Go."}, "not tested: It needs Go."),
        ({"state": "untested", "reason": "There is none."}, "not tested: There is none."),
        ({"state": "untested", "reason": "None.", "remedy": "Do."}, "not tested: None. Do."),
    ],
)
def test_progress_says_what_is_true_of_the_tests(said: dict[str, Any], line: str) -> None:
    data = {"command": "uv run pytest", "compared_by": "", "inherited": 0, "new": 0, **said}
    assert progress_line("tests.finished", data) == f"  Tests: {line}"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"state": "ready"}, "Set up from uv.lock in 3.2 s"),
        ({"state": "ready", "seconds": 0}, "Nothing to set up (uv.lock)"),
        ({"state": "ready", "reused": True}, "Set up before, and kept"),
        (
            {"state": "ready", "failures": ["tox.ini needs tox"]},
            "Set up from uv.lock in 3.2 s; before that tox.ini needs tox",
        ),
        (
            {"state": "failed", "failures": ["tox.ini needs tox", "uv.lock needs uv"]},
            "Not set up, the tests may lack something: tox.ini needs tox; uv.lock needs uv",
        ),
        ({"state": "nothing_to_do"}, "Nothing says what they need"),
    ],
)
def test_progress_says_what_was_set_up(said: dict[str, Any], line: str) -> None:
    data = {"source": "uv.lock", "seconds": 3.21, "reused": False, "failures": [], **said}
    assert progress_line("environment.set_up", data) == f"  {line}"
    assert progress_line("set_up.started", data) == "  Setting up from uv.lock"


def test_progress_cannot_steer_the_terminal_and_stays_short() -> None:
    line = progress_line("agent.said", {"text": "a\x1b[2J\r\n\x9bb" + "c" * 1000})

    assert line is not None
    assert line.startswith("  Agent: a [2J b")
    assert len(line) <= LONGEST + 2
    assert plain("  a\tb") == "  a b"
    assert plain("safe \u202egnp.exe\u2069 \u200fend") == "safe gnp.exe end"


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("step.failed", "detail"),
        ("run.postponed", "reason"),
        ("agent.retried", "reason"),
        ("egress.refused", "reason"),
        ("change.refused", "detail"),
        ("tests.finished", "command"),
        ("branch.pushed", "branch_name"),
    ],
)
def test_a_reason_is_never_cut_off(kind: str, field: str) -> None:
    reason = "because " * 100 + "of this."
    assert reason in (progress_line(kind, {field: reason}) or "")
    endless = progress_line(kind, {field: "x" * 10 * LONGEST_REASON})
    assert len(endless or "") < LONGEST_REASON + 10


def test_a_failure_is_told_whole_with_its_hint() -> None:
    failure = Failure("git_failed", "It is so. " * 50, "Do this. " * 50, retryable=False)
    [failed, *_] = closing_lines(task(status=TaskStatus.FAILED, failure=failure))
    assert failed == f"Failed: {'It is so. ' * 50} {'Do this. ' * 50}".replace("  ", " ").strip()


def test_the_end_of_what_the_tests_printed_is_shown_with_the_file_that_has_all() -> None:
    output = "\n".join(f"  line \x1b[2J {number}" for number in range(100)) + "\n\n"
    first, *lines, where = output_lines(output, Path("/w/tests.log"))
    assert first == "The tests printed (80 lines before are left out):"
    assert len(lines) == LAST_LINES
    assert lines[-1] == "    line [2J 99"
    assert where == "All of it: /w/tests.log"
    assert output_lines("\n", Path("/w/tests.log")) == []


def test_accesses_are_columns_whose_numbers_end_below_each_other() -> None:
    refused = replace(ACCESS, count=3, reason="not listed")
    allowed = replace(
        ACCESS,
        host="a.example",
        port=8443,
        verdict=AccessVerdict.ALLOWED,
        sent=517,
        received=1_234_567,
    )

    assert access_table([refused, allowed]).splitlines() == [
        "VERDICT  HOST          PORT  TIMES  SENT   RECEIVED  LAST                  REASON",
        "refused  evil.example   443      3     0          0  2026-01-01T00:00:00Z  not listed",
        "allowed  a.example     8443      1   517  1,234,567  2026-01-01T00:00:00Z",
    ]
    assert access_table([]).startswith("Nothing is on record: ")
    assert json.loads(access_json([])) == {"items": []}


def test_a_hosts_name_cannot_steer_the_terminal() -> None:
    host = "a\x1b[2J\nb\u202e"
    steering = replace(ACCESS, host=host, reason=host)

    shown = access_table([steering])

    assert shown.count("\n") == 1
    assert shown.replace("\n", "").isprintable()
    assert access_json([steering]).replace("\n", "").isprintable()


def task(**changes: Any) -> Task:
    repository = Repository(
        ForgeKind.LOCAL, "localhost", "local", "a repo", "/a repo", Path("/a repo")
    )
    whole = Task(
        id=TaskId("0193a5d2-7b5e-7c3a-9f10-52d0babc1234"),
        request=TaskRequest(repository, "Mend it"),
        branch_name="u/codebot/abc1234/mend-it",
        key_fingerprint="",
        status=TaskStatus.COMPLETED,
        submitted_at=NOW,
        branch_pushed=True,
        pull_request=PullRequest(1, "https://github.com/o/r/pull/1", "open", draft=False),
        verified=True,
        usage=Usage(turns=3, cost_usd=0.125),
    )
    return replace(whole, **changes)


def test_a_local_task_ends_with_its_branch_and_how_to_look_at_it() -> None:
    assert closing_lines(task()) == [
        "Branch: u/codebot/abc1234/mend-it",
        "Look at it: git -C '/a repo' log --patch HEAD..u/codebot/abc1234/mend-it",
        "Truly tested: yes",
        "Used: 3 turns, $0.12",
    ]


def test_a_task_on_github_ends_with_its_pull_request_also_when_it_failed() -> None:
    there = Repository(ForgeKind.GITHUB, "github.com", "o", "r", "https://github.com/o/r.git")
    failed = task(
        request=TaskRequest(there, "Mend it"),
        status=TaskStatus.FAILED,
        failure=Failure("tests_failed", "`make test` failed.", "Look\nthere.", retryable=False),
        usage=Usage(),
    )

    assert closing_lines(failed) == [
        "Failed: `make test` failed. Look there.",
        "Pull request: https://github.com/o/r/pull/1",
    ]


def test_a_task_that_was_not_truly_tested_says_so_at_the_end() -> None:
    assert "Truly tested: NO. The pull request says why at its top." in closing_lines(
        task(verified=False)
    )


def test_a_task_that_left_nothing_says_why() -> None:
    nothing = task(
        status=TaskStatus.FAILED,
        branch_pushed=False,
        failure=Failure("agent_missing", "No agent.", "Install it.", retryable=False),
        usage=Usage(),
    )

    assert closing_lines(nothing) == ["Failed: No agent. Install it."]
