"""Submit and status under load: the service beside a bare endpoint, turn by turn."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvloop

from bench.http_load import Load, request, run_load
from bench.measure import ROUNDS, Figure, Figures
from bench.repository import make_repository
from fakes.service import KEY, RunningService, free_port, run_service

CLIENTS = 32
WARM_UP = 2_000
REQUESTS = 8_000
SINGLE_REQUESTS = 1_000
NOWHERE = "http://127.0.0.1:1"
"""A GitHub that refuses every connection: nobody works on the tasks of a load."""

SERVE = [sys.executable, "-m", "codebot"]
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
SUBMISSION = {
    "repository_url": f"{NOWHERE}/octo/shop.git",
    "description": "Add a dark mode to the settings page, and remember what was chosen. " * 4,
    "ticket_id": "FEAT-123",
    "ticket_summary": "Add dark mode",
    "test_command": "make test",
    "base_branch": "main",
}


@dataclass(frozen=True)
class Pair:
    """The ports of the service, whose one worker is busy, and of the bare endpoint."""

    ours: int
    bare: int
    task_id: str

    def submit(self) -> bytes:
        """Give a submit, the same for both."""
        return request("POST", "/api/tasks/submit", headers=AUTHORIZATION, body=SUBMISSION)

    def status(self) -> bytes:
        """Give a look at a task."""
        return request("GET", f"/api/tasks/{self.task_id}/status", headers=AUTHORIZATION)


def measure_submit(folder: Path) -> Figures:
    """Let 32 clients submit, each task on disk before its answer."""
    with _pair(folder) as pair:
        rounds = list(take_turns(pair, pair.submit(), expect=202))
    yield from against_bare("submit, 32 clients", rounds, target=0.4)


def measure_single(folder: Path) -> Figures:
    """Let one client submit."""
    with _pair(folder) as pair:
        _load(pair.ours, pair.submit(), 202, requests=WARM_UP)
        loads = [
            _load(pair.ours, pair.submit(), 202, clients=1, requests=SINGLE_REQUESTS)
            for _ in range(ROUNDS)
        ]
    yield Figure("submit, 1 client: p50", [load.percentile(50) for load in loads], 2.5, "ms")
    yield Figure("submit, 1 client: p99", [load.percentile(99) for load in loads], 10, "ms")


def measure_status(folder: Path) -> Figures:
    """Let 32 clients ask for the status of a task among thousands."""
    with _pair(folder) as pair:
        _load(pair.ours, pair.submit(), 202, requests=WARM_UP)
        rounds = list(take_turns(pair, pair.status(), expect=200))
    yield from against_bare("status, 32 clients", rounds, target=0.45)


def take_turns(
    pair: Pair, what: bytes, *, expect: int, warm_up: int = WARM_UP, requests: int = REQUESTS
) -> Iterator[tuple[Load, Load]]:
    """Give the loads of the service and of the bare endpoint, round by round."""
    for port in (pair.ours, pair.bare):
        _load(port, what, expect, requests=warm_up)
    for _ in range(ROUNDS):
        bare = _load(pair.bare, what, expect, requests=requests)
        yield _load(pair.ours, what, expect, requests=requests), bare


def against_bare(name: str, rounds: list[tuple[Load, Load]], *, target: float) -> Figures:
    """Judge the loads of both, round by round."""
    rates = [ours.per_second / bare.per_second for ours, bare in rounds]
    tails = [ours.percentile(99) / bare.percentile(99) for ours, bare in rounds]
    errors = [float(ours.errors) for ours, _ in rounds]
    ours, bare = sorted(rounds, key=lambda pair: pair[0].per_second / pair[1].per_second)[1]
    note = f"{ours.per_second:,.0f}/s against {bare.per_second:,.0f}/s"
    yield Figure(f"{name}: rate, against bare", rates, target, at_least=True, note=note)
    note = f"{ours.percentile(99):.1f} ms against {bare.percentile(99):.1f} ms"
    yield Figure(f"{name}: p99, against bare", tails, 3, note=note)
    yield Figure(f"{name}: errors", errors, 0)


def _load(
    port: int, what: bytes, expect: int, *, clients: int = CLIENTS, requests: int = REQUESTS
) -> Load:
    return uvloop.run(run_load(port, what, clients=clients, requests=requests, expect=expect))


@contextmanager
def _pair(folder: Path) -> Iterator[Pair]:
    """Serve both; the service's only worker waits for an agent that sleeps."""
    env = {
        "CODEBOT_AGENT": "command:/bin/sleep 3600",
        "CODEBOT_MAX_QUEUE_SIZE": "1000000",
        "GITHUB_TOKEN": "of-no-use",
        "GITHUB_API_URL": NOWHERE,
    }
    repository = make_repository(folder / "repository.git")
    serving = run_service(SERVE, folder, "--workers", "1", "--drain-timeout", "0", env=env)
    with serving as service, serve_bare() as bare:
        task_id = _occupy(service, repository)
        yield Pair(service.http.base_url.port or 0, bare, task_id)


def _occupy(service: RunningService, repository: Path) -> str:
    """Give the one worker a task that it will not finish."""
    body = {"repository_url": str(repository), "description": "Sleep"}
    task_id: str = service.http.post("/api/tasks/submit", json=body).json()["task_id"]
    deadline = time.monotonic() + 30
    while service.http.get(f"/api/v1/tasks/{task_id}").json()["phase"] != "agent":
        if time.monotonic() > deadline:
            raise TimeoutError("The agent that is to sleep was not started.")
        time.sleep(0.05)
    return task_id


@contextmanager
def serve_bare() -> Iterator[int]:
    """Serve the bare endpoint in a process of its own, and give its port."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port)])
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("The bare endpoint does not answer.")
