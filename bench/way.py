"""The way of a task on a fake GitHub, over real git: how long Codebot itself takes of it.

The agent is a shell script that notes the time of its start and of its end, so what is measured is
everything around it. The fake GitHub checks each call against GitHub's own description in the
process of the benchmark; its time counts, too.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import ROUNDS, Figure, Figures, milliseconds
from bench.repository import make_repository
from e2e.github_service import FULL_NAME, Shop, events, is_over, wait_for
from fakes.github import FakeGitHub
from fakes.service import RunningService

WARM_UP = 2
TASKS = 8
NOTE = "date +%s.%N >> ~/times"
NOTES_TIMES = f"{NOTE}; cat > /dev/null; echo '# x' >> new.py; {NOTE}"


@dataclass(frozen=True)
class Times:
    """Of one task, in seconds: 202 to the agent's first line, its last to the pull request."""

    to_agent: float
    to_pull_request: float
    tests: float


def measure(folder: Path) -> Figures:
    """Let one task after the other through an idle service that knows the repository."""
    with _shop(folder, NOTES_TIMES) as shop, shop.serve() as service:
        for _ in range(WARM_UP):
            _time_task(shop, service)
        rounds = [[_time_task(shop, service) for _ in range(TASKS)] for _ in range(ROUNDS)]

    def figure(name: str, target: float, of: Callable[[Times], float], note: str = "") -> Figure:
        values = [milliseconds(median(map(of, tasks))) for tasks in rounds]
        return Figure(name, values, target, "ms", note=note)

    tests = milliseconds(median(each.tests for tasks in rounds for each in tasks))
    yield figure("202 to agent started, warm mirror: p50", 250, lambda times: times.to_agent)
    yield figure("agent ended to pull request open: p50", 400,
                 lambda times: times.to_pull_request - times.tests,
                 note=f"the tests' own {tests:.0f} ms not counted")  # fmt: skip


@contextmanager
def _shop(folder: Path, agent: str) -> Iterator[Shop]:
    bare = make_repository(folder / "origin.git")
    github = FakeGitHub()
    github.add_repository(FULL_NAME, folder=bare)
    with github.serve():
        yield Shop(folder, github, bare, agent)


def _time_task(shop: Shop, service: RunningService) -> Times:
    """Do one task; wait for its end in long steps, so as to leave the cores to it."""
    task_id = shop.submit(service, test_command="true")
    accepted = time.time()
    status = wait_for(service, task_id, is_over)
    if status["status"] != "completed":
        raise RuntimeError(f"The task did not end well: {status}")
    started, ended = map(float, shop.noted_by(task_id, "times").split())
    told = {event["type"]: event for event in events(service, task_id)}
    opened = _moment(told["pull_request.opened"])
    return Times(started - accepted, opened - ended, told["tests.finished"]["data"]["seconds"])


def _moment(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()
