"""Whether the service grows: its memory after many small tasks, against that after few.

Each task goes the whole way in boxes of its own: fetched, worked on, looked through, tested,
pushed. The forge is a local folder.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Figure, Figures
from bench.process import memory_of
from fakes.service import RunningService, run_service

FEW = 50
MANY = 1000
WORKERS = 4
WAITING = 3 * WORKERS
"""So many tasks are in the queue or at work, so that none of the service's time is lost."""

AT_REST = 2
LOOK_EVERY = 0.25
DEADLINE = 900
SCRIPT = "cat > /dev/null; echo x >> a.txt"
HISTORY = b"""commit refs/heads/main
committer Ada <ada@example.org> 1700000000 +0000
data 6
Begin
M 100644 inline a.txt
data 2
x
done
"""

SERVE = [sys.executable, "-m", "codebot"]


def measure(folder: Path) -> Figures:
    """Let a service do a thousand small tasks, and look at its resident memory twice."""
    with _serve(folder) as service:
        pid = service.process.pid
        _work(service, folder, FEW)
        few = memory_of(pid)["Rss"]
        _work(service, folder, MANY - FEW)
        many = memory_of(pid)["Rss"]
    name = f"resident memory after {MANY:,} tasks, against {FEW}"
    yield Figure(name, [many / few], 1.05, note=f"{few:.0f} MB, then {many:.0f} MB")


@contextmanager
def _serve(folder: Path) -> Iterator[RunningService]:
    bare = folder / "origin.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    importing = ["git", "fast-import", "--quiet", "--done"]
    subprocess.run(importing, cwd=bare, input=HISTORY, check=True)
    (folder / "agent.sh").write_text(SCRIPT)
    env = {"CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}"}
    with run_service(SERVE, folder, "--workers", str(WORKERS), env=env) as service:
        yield service


def _work(service: RunningService, folder: Path, count: int) -> None:
    """Let so many tasks be done, a few at a time, and come to rest."""
    until = time.monotonic() + DEADLINE
    sent, waiting = 0, set[str]()
    while waiting or sent < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count - sent + len(waiting)} tasks were not completed.")
        while len(waiting) < WAITING and sent < count:
            waiting.add(_submit(service, folder))
            sent += 1
        time.sleep(LOOK_EVERY)
        waiting -= _completed(service)
    time.sleep(AT_REST)


def _submit(service: RunningService, folder: Path) -> str:
    repository = str(folder / "origin.git")
    body = {"repository_url": repository, "description": "Work", "test_command": "true"}
    task_id: str = service.http.post("/api/tasks/submit", json=body).json()["task_id"]
    return task_id


def _completed(service: RunningService) -> set[str]:
    """Give the newest tasks that are over; each of them has to end well."""
    params = {"limit": 4 * WAITING}
    tasks = service.http.get("/api/tasks", params=params).json()["tasks"]
    if failed := [task["error"] for task in tasks if task["status"] == "failed"]:
        raise RuntimeError(f"A task failed, so that the figure would say nothing: {failed[0]}")
    return {task["task_id"] for task in tasks if task["status"] == "completed"}
