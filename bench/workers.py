"""Many agents at once: how much of the time is theirs.

The forge is a local folder: a fake GitHub would need more of the two cores than Codebot does.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.measure import ROUNDS, Figure, Figures, milliseconds
from bench.process import children_cpu_seconds_of, cpu_seconds_of
from bench.repository import make_repository
from fakes.service import RunningService, run_service

AGENTS = 16
WORKERS = 4
AGENT_SECONDS = 2
SCRIPT = f"cat > /dev/null; sleep {AGENT_SECONDS}; echo '# x' >> new.py"
LOOK_EVERY = 0.05
DEADLINE = 120
IDEAL = AGENTS * AGENT_SECONDS / WORKERS

SERVE = [sys.executable, "-m", "codebot"]


@dataclass(frozen=True)
class Round:
    """The seconds that all agents took, and the CPU seconds of the service and its children."""

    seconds: float
    own: float
    children: float


def measure(folder: Path) -> Figures:
    """Let four workers run sixteen agents of two seconds."""
    repository = make_repository(folder / "origin.git")
    (folder / "agent.sh").write_text(SCRIPT)
    env = {"CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}"}
    with run_service(SERVE, folder, "--workers", str(WORKERS), env=env) as service:
        _work(service, repository, 1)
        rounds = [_work(service, repository, AGENTS) for _ in range(ROUNDS)]
    name = f"{AGENTS} agents of {AGENT_SECONDS} s on {WORKERS} workers, against {IDEAL:g} s"
    yield Figure(name, [each.seconds / IDEAL for each in rounds], 1.25)
    own = [milliseconds(each.own / AGENTS) for each in rounds]
    children = milliseconds(median(each.children / AGENTS for each in rounds))
    note = f"and {children:.0f} ms of git and of boxes, the agent included"
    yield Figure("the service's own CPU time for a boxed task", own, 200, "ms", note=note)


def _work(service: RunningService, repository: Path, count: int) -> Round:
    """Let so many tasks be done, and give what that took, from the first submit on."""
    body = {"repository_url": str(repository), "description": "Work", "test_command": "true"}
    pid = service.process.pid
    own, children = cpu_seconds_of(pid), children_cpu_seconds_of(pid)
    began = time.perf_counter()
    left = {service.http.post("/api/tasks/submit", json=body).json()["task_id"]
            for _ in range(count)}  # fmt: skip
    time.sleep(count / AGENTS * IDEAL)  # nobody looks before all can be done: looking costs, too
    while left:
        if time.perf_counter() - began > DEADLINE:
            raise TimeoutError(f"{len(left)} tasks were not completed.")
        time.sleep(LOOK_EVERY)
        params = {"status": "completed", "limit": count}
        done = service.http.get("/api/tasks", params=params).json()["tasks"]
        left -= {task["task_id"] for task in done}
    seconds = time.perf_counter() - began
    return Round(seconds, cpu_seconds_of(pid) - own, children_cpu_seconds_of(pid) - children)
