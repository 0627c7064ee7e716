"""Several nodes that take tasks in for one PostgreSQL database, asked at once."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import httpx
import pytest

from e2e.github_service import make_repository
from fakes.service import PRELOADED, RunningService, run_service

pytestmark = pytest.mark.e2e

PLACES = 20
CLIENTS = 32
LOOKS = 10
REFUSAL = 0.02
"""Seconds that a refusal may take on a machine that has nothing else to do."""

BUSY = 5
"""Times as long may it take here, where other tests run beside this one."""


@pytest.fixture
def doors(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str
) -> Iterator[list[RunningService]]:
    """So many nodes without workers, each with a folder of its own."""
    make_repository(tmp_path, {"shop.py": "# a shop\n"})
    env = {
        "CODEBOT_DATABASE_URL": postgres_url,
        "CODEBOT_LOCAL_REPOS": str(tmp_path),
        "CODEBOT_MAX_QUEUE_SIZE": str(PLACES),
    }
    with ExitStack() as stack:
        opened = []
        for number in range(request.param):
            folder = tmp_path / f"door-{number}"
            folder.mkdir()
            node = run_service(PRELOADED, folder, "--workers", "0", env=env)
            opened.append(stack.enter_context(node))
        yield opened


def submit(door: RunningService, headers: Mapping[str, str] | None = None) -> httpx.Response:
    body = {"repository_url": str(door.folder.parent / "origin.git"), "description": "Mend"}
    return door.http.post("/api/v1/tasks", json=body, headers=headers or {})


def submit_at_once(
    doors: list[RunningService], count: int, headers: Mapping[str, str] | None = None
) -> list[httpx.Response]:
    """Send a submit so many times, over all doors in turn, by 32 clients at once."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        sent = [clients.submit(submit, doors[n % len(doors)], headers) for n in range(count)]
        return [one.result() for one in sent]


@pytest.mark.parametrize("doors", [3], indirect=True)
def test_the_queue_takes_not_one_task_too_many_and_refuses_quickly(
    doors: list[RunningService],
) -> None:
    answers = submit_at_once(doors, 3 * CLIENTS)

    codes = Counter(answer.status_code for answer in answers)
    assert codes == {202: PLACES, 429: 3 * CLIENTS - PLACES}
    assert {door.http.get("/health").json()["task_queue_size"] for door in doors} == {PLACES}
    seconds = []
    for number in range(LOOKS):
        began = time.monotonic()
        assert submit(doors[number % len(doors)]).status_code == 429
        seconds.append(time.monotonic() - began)
    print(f"refused in {median(seconds) * 1000:.1f} ms, at most {max(seconds) * 1000:.1f} ms")
    assert median(seconds) < BUSY * REFUSAL


@pytest.mark.parametrize("doors", [2], indirect=True)
def test_a_request_that_is_sent_to_several_nodes_at_once_is_done_once(
    doors: list[RunningService],
) -> None:
    key = {"Idempotency-Key": "one-and-the-same"}
    answers = submit_at_once(doors, 50, key)

    assert {answer.status_code for answer in answers} == {202}
    (task_id,) = {answer.json()["task_id"] for answer in answers}
    replays = [answer.headers.get("Idempotent-Replay") for answer in answers]
    assert Counter(replays) == {None: 1, "true": 49}

    for act in ("cancel", "retry"):
        with ThreadPoolExecutor(8) as clients:
            path, headers = f"/api/v1/tasks/{task_id}/{act}", {"Idempotency-Key": f"an-{act}"}
            sent = [clients.submit(door.http.post, path, headers=headers) for door in doors * 4]
        said = [one.result() for one in sent]
        assert {answer.status_code for answer in said} == {202}, said[0].text
        assert sum("Idempotent-Replay" not in answer.headers for answer in said) == 1
    listed = doors[0].http.get("/api/tasks").json()["tasks"]
    assert [(task["task_id"], task["status"]) for task in listed] == [(task_id, "pending")]
    assert doors[1].http.get("/health").json()["task_queue_size"] == 1
