"""Many agents at once: how much of the time is theirs.

The forge is a local folder: a fake GitHub would need more of the two cores than Codebot does.
"""

import sys
import time
from pathlib import Path

from bench.measure import ROUNDS, Figure, Figures
from bench.repository import make_repository
from fakes.service import RunningService, run_service

AGENTS = 16
WORKERS = 4
AGENT_SECONDS = 2
SCRIPT = f"cat > /dev/null; sleep {AGENT_SECONDS}; echo '# x' >> new.py"
LOOK_EVERY = 0.05
DEADLINE = 120

SERVE = [sys.executable, "-m", "codebot"]


def measure(folder: Path) -> Figures:
    """Let four workers run sixteen agents of two seconds."""
    repository = make_repository(folder / "origin.git")
    (folder / "agent.sh").write_text(SCRIPT)
    env = {"CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}"}
    with run_service(SERVE, folder, "--workers", str(WORKERS), env=env) as service:
        _work(service, repository, 1)
        rounds = [_work(service, repository, AGENTS) for _ in range(ROUNDS)]
    ideal = AGENTS * AGENT_SECONDS / WORKERS
    name = f"{AGENTS} agents of {AGENT_SECONDS} s on {WORKERS} workers, against {ideal:g} s"
    yield Figure(name, [seconds / ideal for seconds in rounds], 1.3)


def _work(service: RunningService, repository: Path, count: int) -> float:
    """Give the seconds from the first submit until every task is completed."""
    body = {"repository_url": str(repository), "description": "Work", "test_command": "true"}
    began = time.perf_counter()
    left = {service.http.post("/api/tasks/submit", json=body).json()["task_id"]
            for _ in range(count)}  # fmt: skip
    while left:
        if time.perf_counter() - began > DEADLINE:
            raise TimeoutError(f"{len(left)} tasks were not completed.")
        time.sleep(LOOK_EVERY)
        params = {"status": "completed", "limit": count}
        done = service.http.get("/api/tasks", params=params).json()["tasks"]
        left -= {task["task_id"] for task in done}
    return time.perf_counter() - began
