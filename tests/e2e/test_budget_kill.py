"""A budget through the real service, its boxes and the real agent, killed in between."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

USED = {"input_tokens": 3000, "output_tokens": 1000}
COMMIT = "echo '# mended' >> work.txt && git add . && git -c user.name=A -c user.email=a@b.example"


def a_turn(command: str) -> dict[str, Any]:
    return {"tools": [{"name": "Bash", "input": {"command": command}}], "usage": USED}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield shop


def usage_of(service: RunningService, task_id: str) -> dict[str, Any]:
    usage: dict[str, Any] = service.http.get(f"/api/v1/tasks/{task_id}").json()["usage"]
    return usage


def test_a_killed_service_goes_on_with_what_was_spent_and_stops_at_the_same_cap(
    shop: Shop,
) -> None:
    turns = shop.folder / "turns.json"
    endless = [a_turn(f"echo {number} >> seen.txt") for number in range(50)]
    slow = a_turn("python3 -c 'import time; time.sleep(30)'")  # Claude Code refuses a mere `sleep`
    committing = a_turn(f"{COMMIT} commit -qm Mend")
    turns.write_text(json.dumps({"costs_money": True, "turns": [committing, slow, *endless]}))
    shop.settings |= {
        "CODEBOT_AGENT": "claude",
        "ANTHROPIC_BASE_URL": f"scripted:{turns}",
        "CODEBOT_MAX_TURNS": "5",
    }
    with shop.serve() as service:
        task_id = shop.submit(service)
        wait_for(service, task_id, lambda _: usage_of(service, task_id)["turns"] == 2)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()

    with shop.serve() as service:
        assert usage_of(service, task_id)["turns"] >= 2, "what was spent is forgotten"
        status = wait_for(service, task_id, is_over)
        task = service.http.get(f"/api/v1/tasks/{task_id}").json()
        told = [event["type"] for event in events(service, task_id)]

    assert (task["outcome"], task["usage"]["turns"]) == ("budget_exhausted", 5), status
    assert task["usage"]["cost_usd"] == pytest.approx(5 * 0.032)
    assert "CODEBOT_MAX_TURNS" in status["error"]
    assert task["pull_request"]["draft"]
    assert told.count("budget.warned") == told.count("budget.exhausted") == 1
