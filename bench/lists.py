"""The list of 100 among 10,000 tasks, with and without a filter."""

import asyncio
import sys
from pathlib import Path

import uvloop

from bench.http_load import Load, request, run_load
from bench.measure import ROUNDS, Figure, Figures
from codebot.domain.outcome import Failure
from codebot.domain.repository import ForgeKind, Repository
from codebot.domain.run import QueueName, RunResult
from codebot.domain.status import Outcome, TaskStatus
from codebot.domain.task import TaskRequest
from codebot.queue.embedded import EmbeddedQueue
from codebot.queue.submit import submit_task
from codebot.store.store import Store, new_uuid7, utc_now
from fakes.service import KEY, run_service

TASKS = 10_000
WAITING = 500
REQUESTS = 300
QUERIES = ("", "&status=pending", "&status=completed", "&status=failed")

SERVE = [sys.executable, "-m", "codebot"]
COMPLETED = RunResult(TaskStatus.COMPLETED, Outcome.PULL_REQUEST)
FAILED = RunResult(
    TaskStatus.FAILED,
    Outcome.ERROR,
    Failure("clone_failed", "The repository could not be fetched.", "Try later.", retryable=True),
)
REQUEST = TaskRequest(
    Repository(ForgeKind.GITHUB, "github.com", "octo", "shop", "https://github.com/octo/shop.git"),
    "Add a dark mode to the settings page, and remember what was chosen. " * 5,
    "FEAT-123",
    "Add dark mode",
)


def measure(folder: Path) -> Figures:
    """Let one client list the newest 100, page by page of every status."""
    asyncio.run(_fill(folder / "codebot_data" / "codebot.sqlite3"))
    env = {"CODEBOT_AGENT": "command:/bin/sleep 3600"}
    serving = run_service(SERVE, folder, "--drain-timeout", "0", env=env)
    with serving as service:
        port = service.http.base_url.port or 0
        for query in QUERIES:
            loads = [_list(port, query) for _ in range(ROUNDS)]
            name = f"list of 100 of {TASKS:,}{' with ' + query[1:] if query else ''}: p50"
            yield Figure(name, [load.percentile(50) for load in loads], 8, "ms")


async def _fill(database: Path) -> None:
    """Store tasks that have ended, every fourth of them badly, and some that wait."""
    store = await Store.open(database)
    queue = EmbeddedQueue(store, max_pending=2 * TASKS, now=utc_now, new_id=new_uuid7)
    ended = TASKS - WAITING
    await _submit(queue, ended)
    claims = [store.runs.claim(QueueName.TASKS, utc_now()) for _ in range(ended)]
    runs = [run for run in await asyncio.gather(*claims) if run is not None]
    results = [FAILED if number % 4 == 0 else COMPLETED for number in range(ended)]
    await asyncio.gather(*map(queue.finish, runs, results))
    await _submit(queue, WAITING)
    await store.close()


async def _submit(queue: EmbeddedQueue, count: int) -> None:
    await asyncio.gather(
        *(
            submit_task(queue, REQUEST, key_fingerprint="", now=utc_now, new_id=new_uuid7)
            for _ in range(count)
        )
    )


def _list(port: int, query: str) -> Load:
    what = request(
        "GET", f"/api/tasks?limit=100{query}", headers={"Authorization": f"Bearer {KEY}"}
    )
    load = uvloop.run(run_load(port, what, clients=1, requests=REQUESTS, expect=200))
    if load.errors:
        raise RuntimeError(f"{load.errors} lists were not answered with 200.")
    return load
