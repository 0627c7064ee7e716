"""An agent that is missing, unauthorised, crashes, hangs or says nothing, in a real service."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

QUICK = {"CODEBOT_AGENT_TIMEOUT": "2", "CODEBOT_AGENT_IDLE_TIMEOUT": "1"}
STUBBORN = """trap '' INT TERM
echo up > ~/up
while :; do echo busy; sleep 0.2; done
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield shop


def failure_of(
    shop: Shop, *, first: Callable[[], object] = lambda: None, **settings: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Serve, submit one task, and give its failure and its status when it is over.

    `first` is done before the task is submitted.
    """
    shop.settings |= settings
    with shop.serve() as service:
        first()
        task_id = shop.submit(service)
        status = wait_for(service, task_id, is_over)
        task = service.http.get(f"/api/v1/tasks/{task_id}").json()
    assert status["status"] == "failed", status
    assert status["error"] == f"{task['failure']['detail']} {task['failure']['hint']}".strip()
    assert "Traceback" not in status["error"]
    assert "Errno" not in status["error"]
    assert shop.pulls() == []
    return task["failure"], status


def test_an_agent_that_is_missing_is_named(shop: Shop) -> None:
    failure, _ = failure_of(shop, CODEBOT_AGENT="command:no-such-agent --fast")
    assert failure["code"] == "agent_missing"
    assert "no-such-agent" in failure["detail"]
    assert failure["hint"]


def test_a_program_that_cannot_be_executed_is_named(shop: Shop) -> None:
    text = shop.folder / "text"
    text.write_text("no program")
    failure, _ = failure_of(shop, CODEBOT_AGENT=f"command:{text}")
    assert failure["code"] in {"agent_missing", "sandbox"}
    assert str(text) in failure["detail"]


def test_a_claude_that_went_away_is_named(shop: Shop) -> None:
    program = shop.folder / "claude"
    program.write_text("#!/bin/sh\necho 1.0\n")
    program.chmod(0o755)
    failure, _ = failure_of(
        shop, first=program.unlink, CODEBOT_AGENT="claude", CODEBOT_CLAUDE_BIN=str(program)
    )
    assert failure["code"] == "agent_missing"
    assert str(program) in failure["detail"]
    assert "CODEBOT_CLAUDE_BIN" in failure["hint"]


def test_claude_without_a_credential_says_which_setting_is_missing(shop: Shop) -> None:
    failure, _ = failure_of(shop, CODEBOT_AGENT="claude")
    assert failure["code"] == "agent_unauthorized"
    assert "ANTHROPIC_API_KEY" in failure["hint"]


def test_claude_repeats_what_the_model_refused_it_with(shop: Shop) -> None:
    turns = shop.folder / "turns.json"
    turns.write_text(json.dumps({"turns": [{"status": 400}] * 20}))
    failure, _ = failure_of(shop, CODEBOT_AGENT="claude", ANTHROPIC_BASE_URL=f"scripted:{turns}")
    assert failure["code"] == "agent_crashed"
    assert "400" in failure["detail"]


@pytest.mark.parametrize(
    ("script", "quoted"),
    [
        ("echo out of cheese >&2; exit 7", ["exit code 7", "out of cheese"]),
        ("kill -SEGV $$", ["signal 11"]),
    ],
    ids=["exit code", "signal"],
)
def test_an_agent_that_crashes_is_quoted(shop: Shop, script: str, quoted: list[str]) -> None:
    shop.agent = script
    failure, _ = failure_of(shop)
    assert failure["code"] == "agent_crashed"
    assert all(words in failure["detail"] for words in quoted)


def test_an_agent_that_says_nothing_is_stopped_as_idle(shop: Shop) -> None:
    shop.agent = "cat > /dev/null; exec sleep 300"
    failure, _ = failure_of(shop, **QUICK | {"CODEBOT_AGENT_TIMEOUT": "60"})
    assert failure["code"] == "agent_timed_out"
    assert "idle" in failure["detail"]
    assert "CODEBOT_AGENT_IDLE_TIMEOUT" in failure["hint"]


def test_an_agent_that_never_ends_is_stopped_with_all_it_started(shop: Shop) -> None:
    shop.agent = STUBBORN
    failure, status = failure_of(shop, **QUICK | {"CODEBOT_AGENT_IDLE_TIMEOUT": "60"})
    assert failure["code"] == "agent_timed_out"
    assert "CODEBOT_AGENT_TIMEOUT" in failure["hint"]
    assert shop.noted("up") == "up\n"
    assert not shop.living()
    assert status["completed_at"]


def test_a_second_signal_stops_at_once_and_the_run_goes_on_later(shop: Shop) -> None:
    shop.agent = STUBBORN
    with shop.serve("--drain-timeout", "60") as service:
        task_id = shop.submit(service)
        _wait_until(lambda: shop.noted("up") == "up\n")
        service.process.send_signal(signal.SIGTERM)
        _wait_until(lambda: service.http.get("/health").is_success)  # it answers while it drains
        assert service.http.get(f"/api/tasks/{task_id}/status").json()["status"] == "running"
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0, service.stderr
        assert time.monotonic() - began < 5
        assert not shop.living()
    shop.agent = "cat > /dev/null; echo '# mended' >> shop.py; echo done"
    with shop.serve() as service:
        assert wait_for(service, task_id, is_over)["status"] == "completed"
        assert "run.interrupted" in [event["type"] for event in events(service, task_id)]
    assert len(shop.pulls()) == 1


def test_a_task_whose_workspace_is_gone_after_a_restart_says_so(shop: Shop) -> None:
    with shop.serve() as service:
        task_id = shop.submit(service, test_command="sleep 60")
        wait_for(service, task_id, lambda _: _has_happened(service, task_id, "change.collected"))
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    workspace = shop.work_dir / task_id
    workspace.rename(shop.folder / "away")
    with shop.serve() as service:
        status = wait_for(service, task_id, is_over)
    assert status["status"] == "failed"
    assert f"there is no {workspace}" in status["error"]
    assert "Submit the task again" in status["error"]


def _has_happened(service: RunningService, task_id: str, kind: str) -> bool:
    return any(event["type"] == kind for event in events(service, task_id))


def _wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
