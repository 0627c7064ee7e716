"""Tasks of a real service cancelled at any moment: what works on them is dead, nothing is left."""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codebot.agent.runner import INTERRUPT_GRACE, TERMINATE_GRACE
from codebot.sandbox import marks, processes
from e2e.github_service import COMMAND, Shop, events, is_over, open_shop, wait_for
from e2e.leftovers import leftovers
from fakes.service import KEY, RunningService

pytestmark = pytest.mark.e2e

AGENT = """cat > /dev/null
(setsid sleep 300 &)
sleep 0.5
echo '# mended' >> shop.py
"""
HANGS = "cat > /dev/null; (setsid sleep 300 &) ; echo '# mended' >> shop.py; echo up; sleep 300"
WORKERS = 4
LONGEST_LIFE = 3.0
"""Seconds between a submit and its cancel: by then some tasks have ended."""

GRACE = (INTERRUPT_GRACE + TERMINATE_GRACE).total_seconds()
"""Seconds that an agent gets which heeds nothing; a second later its tree is dead."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = {"CODEBOT_MAX_WORKERS": str(WORKERS)}
    with open_shop(tmp_path) as shop:
        yield Shop(tmp_path, shop.github, shop.bare, AGENT, settings)


def living(shop: Shop, task_id: str) -> list[int]:
    """Give what runs in the boxes of one task."""
    mark = marks.variable(str(shop.work_dir), task_id)  # type: ignore[arg-type]
    return [
        process.pid
        for process in processes.process_table()
        if process.is_alive and processes.has_in_environment(process.pid, mark)
    ]


def cli(service: RunningService, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CODEBOT_API_KEYS": f"another-key-of-the-service,{KEY}",
        "CODEBOT_PORT": str(service.http.base_url.port),
    }
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def whole(service: RunningService, task_id: str) -> dict[str, Any]:
    task: dict[str, Any] = service.http.get(f"/api/v1/tasks/{task_id}").json()
    return task


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cancels" in metafunc.fixturenames:
        count = int(metafunc.config.getoption("cancels"))
        limit = pytest.mark.timeout(120 + count * 10)
        metafunc.parametrize("cancels", [pytest.param(count, marks=limit)])


def test_tasks_that_are_cancelled_at_random_moments_leave_nothing(
    shop: Shop, cancels: int, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(int(pytestconfig.getoption("crash_seed")))
    accepted: list[str] = []
    delays: list[float] = []
    with shop.serve() as service:
        while len(accepted) < cancels:
            batch = [shop.submit(service) for _ in range(min(WORKERS, cancels - len(accepted)))]
            accepted += batch
            began = time.monotonic()
            moments = sorted((chance.uniform(0, LONGEST_LIFE), task_id) for task_id in batch)
            for moment, task_id in moments:
                time.sleep(max(0, began + moment - time.monotonic()))
                delays += _cancel(shop, service, task_id)
            for task_id in batch:
                wait_for(service, task_id, is_over)
        ended = [whole(service, task_id) for task_id in accepted]
        finished = [
            [event["type"] for event in events(service, task_id)].count("task.finished")
            for task_id in accepted
        ]
        _wait_until_swept(shop, [task["id"] for task in ended if task["status"] == "cancelled"])
        left = leftovers(shop, accepted)

    print(f"cancelled={len(delays)} p50={sorted(delays)[len(delays) // 2]:.3f}s", end=" ")
    print(f"max={max(delays):.3f}s left={len(left)}")
    assert {task["status"] for task in ended} <= {"cancelled", "completed"}
    assert sum(task["status"] == "cancelled" for task in ended) == len(delays) > 0
    assert finished == [1] * len(accepted)
    assert left == set()
    assert shop.living() == []
    assert len({pull.head for pull in shop.pulls()}) == len(shop.pulls())


def _cancel(shop: Shop, service: RunningService, task_id: str) -> list[float]:
    """Cancel a task; give the seconds until nothing of it ran any more, nothing if it had ended."""
    answer = service.http.post(f"/api/v1/tasks/{task_id}/cancel")
    if answer.status_code == 409:
        assert "has ended already" in answer.json()["detail"]
        return []
    assert answer.status_code == 202
    began = time.monotonic()
    while whole(service, task_id)["status"] == "running":
        assert time.monotonic() < began + 30, service.stderr
        time.sleep(0.01)
    assert living(shop, task_id) == []
    return [time.monotonic() - began]


def _wait_until_swept(shop: Shop, cancelled: list[str]) -> None:
    until = time.monotonic() + 10
    while any((shop.work_dir / task_id).exists() for task_id in cancelled):
        assert time.monotonic() < until, sorted(os.listdir(shop.work_dir))  # noqa: PTH208
        time.sleep(0.05)


def test_the_command_cancels_what_runs_and_says_why_it_cannot(shop: Shop) -> None:
    shop.agent = HANGS
    with shop.serve() as service:
        task_id = shop.submit(service)
        wait_for(service, task_id, lambda _: bool(living(shop, task_id)))
        time.sleep(0.5)

        said = cli(service, shop.folder, "cancel", task_id)
        assert (said.returncode, said.stdout) == (0, "Task is being cancelled.\n"), said.stderr
        began = time.monotonic()
        while living(shop, task_id):
            assert time.monotonic() < began + GRACE + 1
            time.sleep(0.01)
        status = wait_for(service, task_id, is_over)
        again = cli(service, shop.folder, "cancel", task_id)
        unknown = cli(service, shop.folder, "cancel", "0193a5d2-7b5e-7c3a-9f10-52d0babc1234")

    assert status["error"].startswith("The task was cancelled by the API key ")
    assert (again.returncode, unknown.returncode) == (2, 2)
    assert "The task has ended already: it is cancelled." in again.stderr
    assert "There is no task with this id" in unknown.stderr
    gone = cli(service, shop.folder, "cancel", task_id)
    assert gone.returncode == 1
    assert "No service answers at http://127.0.0.1:" in gone.stderr


@pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "a moment later"])
def test_a_cancel_survives_kill_9_between_the_wish_and_the_end(shop: Shop, pause: float) -> None:
    shop.agent = HANGS
    with shop.serve() as service:
        task_id = shop.submit(service)
        wait_for(service, task_id, lambda _: bool(living(shop, task_id)))
        time.sleep(0.5)
        assert service.http.post(f"/api/v1/tasks/{task_id}/cancel").status_code == 202
        time.sleep(pause)
        service.process.kill()
        service.process.wait()
    with shop.serve() as service:
        wait_for(service, task_id, is_over)
        task = whole(service, task_id)
        launches = [event["type"] for event in events(service, task_id)].count("agent.started")

    assert (task["status"], task["outcome"]) == ("cancelled", "cancelled")
    assert launches <= 1
    assert shop.living() == []
    assert not (shop.work_dir / task_id).exists()
