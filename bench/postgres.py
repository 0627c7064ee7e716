"""Nodes that share a PostgreSQL database: taking tasks in, dispatch, rest, and the death of one.

The server writes to the disk for certain, as it does in earnest; it shares the cores with the nodes
and with whoever asks them.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg

from bench import order
from bench.idle import SETTLING_SECONDS, cpu_share
from bench.load import NOWHERE, Pair, against_bare, serve_bare, take_turns
from bench.measure import ROUNDS, Figure, Figures, milliseconds
from bench.process import memory_of
from bench.repository import make_repository
from fakes.postgres import run_postgres
from fakes.service import Process, RunningService, run_service, run_worker

SERVE = [sys.executable, "-m", "codebot"]
WARM_UP, REQUESTS = 500, 2_000
DISPATCHED, WORDS = 50, 200
DEADLINE = 60
LOOK_EVERY = 0.05
AWAY = {"GITHUB_TOKEN": "of-no-use", "GITHUB_API_URL": NOWHERE}
BRIEF, LONG = "cat > /dev/null; echo '# x' >> new.py", "cat > /dev/null; sleep 60"


def measure(folder: Path) -> Figures:
    """Look at nodes of one machine, each measure on a database of its own."""
    with run_postgres(fsync="on") as server:
        yield from order.measure(server)
        for name, look in (
            ("submit", _measure_submit),
            ("dispatch", _measure_dispatch),
            ("idle", _measure_idle),
            ("takeover", _measure_takeover),
        ):
            place = folder / name
            place.mkdir()
            yield from look(place, server.url(server.make_database()))


def _measure_submit(folder: Path, url: str) -> Figures:
    """Let 32 clients submit at a node that only takes tasks in."""
    env = {"CODEBOT_MAX_QUEUE_SIZE": "1000000", **AWAY}
    with _api(folder, url, env) as api, serve_bare() as bare:
        pair = Pair(api.http.base_url.port or 0, bare, "")
        what = pair.submit()
        taken = list(take_turns(pair, what, expect=202, warm_up=WARM_UP, requests=REQUESTS))
    rates = [ours.per_second for ours, _ in taken]
    yield Figure("PostgreSQL: submit, 32 clients: rate", rates, 500, "/s", at_least=True)
    yield from against_bare("PostgreSQL: submit, 32 clients", taken, target=0.1)


def _measure_dispatch(folder: Path, url: str) -> Figures:
    """Let an idle worker node begin one task after the other, which its first step then refuses.

    The two nodes are on one machine, so they go by the same clock.
    """
    with _api(folder, url, {}) as api, _worker(folder / "worker", url, BRIEF):
        _time_dispatch(api)
        seconds = [[_time_dispatch(api) for _ in range(DISPATCHED)] for _ in range(ROUNDS)]
    note = f"{DISPATCHED} tasks in each round; one word to the server and back: {_word(url)}"
    for percent, target in ((50, 25), (99, 100)):
        values = [milliseconds(quantiles(each, n=100)[percent - 1]) for each in seconds]
        name = f"PostgreSQL: submit to the first step at a worker: p{percent}"
        yield Figure(name, values, target, "ms", note=note)


def _word(url: str) -> str:
    """Say how long the least takes that one can ask of the server: a dispatch asks it 29 times."""
    times = []
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(WORDS):
            time.sleep(0.01)
            began = time.perf_counter()
            connection.execute("SELECT 1")
            times.append(milliseconds(time.perf_counter() - began))
    p50, p99 = (quantiles(times, n=100)[percent - 1] for percent in (50, 99))
    return f"p50 {p50:.1f}, p99 {p99:.1f} ms"


def _time_dispatch(api: RunningService) -> float:
    """Give the seconds from before the submit until the first step is on record as begun."""
    began = time.time()
    task_id = _submit(api, base_branch="nowhere")
    _wait_for(lambda: _told(api, task_id, "task.finished"), "its end")
    (step, *_) = _told(api, task_id, "step.started")
    return datetime.fromisoformat(step["time"]).timestamp() - began


def _measure_idle(folder: Path, url: str) -> Figures:
    """Look at a worker node without work, and one that only takes tasks in."""
    with _api(folder, url, {}) as api, _worker(folder / "worker", url, BRIEF) as worker:
        time.sleep(SETTLING_SECONDS)
        for name, pid in (("worker", worker.pid), ("API", api.process.pid)):
            shares = [cpu_share(pid) for _ in range(ROUNDS)]
            note = f"{memory_of(pid)['Rss']:.0f} MB resident"
            yield Figure(f"PostgreSQL: idle {name} node: CPU", shares, 1, "%", note=note)


def _measure_takeover(folder: Path, url: str) -> Figures:
    """Kill a node at work, and wait for another one to go on."""
    with _api(folder, url, {}) as api:
        seconds = [_time_takeover(folder / str(number), url, api) for number in range(ROUNDS)]
    yield Figure("PostgreSQL: takeover from a dead worker", seconds, 30, "s")


def _time_takeover(folder: Path, url: str, api: RunningService) -> float:
    folder.mkdir()
    with _worker(folder / "doomed", url, LONG) as doomed:
        task_id = _submit(api)
        _wait_for(lambda: _told(api, task_id, "run.started"), "the first")
        with _worker(folder / "heir", url, BRIEF):
            doomed.kill()
            died = time.monotonic()
            _wait_for(lambda: len(_told(api, task_id, "run.started")) > 1, "the heir")
            taken = time.monotonic() - died
            _wait_for(lambda: _told(api, task_id, "task.finished"), "its end")
    return taken


@contextmanager
def _api(folder: Path, url: str, env: Mapping[str, str]) -> Iterator[RunningService]:
    make_repository(folder / "origin.git")
    given = {"CODEBOT_DATABASE_URL": url, **env}
    with run_service(SERVE, folder, "--workers", "0", env=given) as api:
        yield api


def _worker(folder: Path, url: str, agent: str) -> AbstractContextManager[Process]:
    folder.mkdir()
    (folder / "agent.sh").write_text(agent)
    env = {
        "CODEBOT_DATABASE_URL": url,
        "CODEBOT_LOCAL_REPOS": str(folder.parent.parent),
        "CODEBOT_AGENT": f"command:/bin/sh {folder / 'agent.sh'}",
    }
    return run_worker(SERVE, folder, "--drain-timeout", "0", env=env)


def _submit(api: RunningService, **more: str) -> str:
    body = {
        "repository_url": str(api.folder / "origin.git"),
        "description": "Work",
        "test_command": "true",
        **more,
    }
    task_id: str = api.http.post("/api/tasks/submit", json=body).json()["task_id"]
    return task_id


def _told(api: RunningService, task_id: str, kind: str) -> list[dict[str, Any]]:
    """Give the events of a kind so far."""
    found = api.http.get(f"/api/v1/tasks/{task_id}/events").json()["items"]
    return [event for event in found if event["type"] == kind]


def _wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited in vain for {what}.")
        time.sleep(LOOK_EVERY)
