"""The service killed at random moments with several tasks in flight, again and again.

Each task is set up, worked on and tested; what is kept of set-ups is evicted all the while.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from e2e.github_service import FULL_NAME, Shop, events, is_over, open_shop, wait_for
from e2e.leftovers import leftovers
from fakes.service import RunningService

pytestmark = pytest.mark.e2e

AGENT = """cat > /dev/null
(setsid sleep 30 &)
sleep 0.3
echo '# mended' >> shop.py
"""
LONGEST_LIFE = 2.0
"""Seconds between a start of the service and its death."""

MANY = 20
"""Rounds after which every layer was evicted and made again, whatever moments were drawn."""

ROUND = 30
"""Seconds that one more round may add to the time until every task has ended."""


SET_UP = "echo {kind} > kind.txt; head -c 2000000 /dev/zero > weight; sleep 0.2"
TESTS = "grep -q mended shop.py && grep -qx {kind} kind.txt"
KINDS = 3
"""Of set-up: tasks of one kind share a layer, if it is still there."""

CACHE = "3"
"""MiB, so that layers are evicted all the time."""

PLACES = "12"
"""Tasks that may wait: else most would be worked on when nobody kills any more."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = {
        "CODEBOT_MAX_WORKERS": "4",
        "CODEBOT_CACHE_MB": CACHE,
        "CODEBOT_MAX_QUEUE_SIZE": PLACES,
    }
    with open_shop(tmp_path) as shop:
        yield Shop(tmp_path, shop.github, shop.bare, AGENT, settings)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rounds" in metafunc.fixturenames:
        rounds = int(metafunc.config.getoption("crash_rounds"))
        limit = pytest.mark.timeout(120 + rounds * ROUND)
        metafunc.parametrize("rounds", [pytest.param(rounds, marks=limit)])


def test_every_accepted_task_ends_once_whenever_the_service_dies(
    shop: Shop, rounds: int, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(int(pytestconfig.getoption("crash_seed")))
    accepted: list[str] = []
    for _ in range(rounds):
        with shop.serve() as service:
            kinds = [chance.randrange(KINDS) for _ in range(chance.randint(2, 4))]
            accepted += _submit_some(shop, service, kinds)
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            service.process.send_signal(chance.choice([signal.SIGKILL] * 4 + [signal.SIGTERM]))
            if chance.random() < 0.5:  # while it drains, if it does
                service.process.kill()
            service.process.wait(60)
    with shop.serve() as service:
        for task_id in accepted:
            status = wait_for(service, task_id, is_over, deadline=rounds * ROUND)
            _check_that_it_ended_once(service, task_id, status["status"])
        set_up_anew = sum(_set_up_anew(service, task_id) for task_id in accepted)

    if rounds >= MANY:
        assert set_up_anew > KINDS, "nothing was evicted"
    assert _repeated(pull.head for pull in shop.pulls()) == []
    branches = (name for name in shop.git("branch").split() if name.startswith("u/codebot/"))
    assert _repeated(name.split("/")[2] for name in branches) == []
    assert shop.living() == []
    assert leftovers(shop, accepted) == set()
    assert {folder.name for folder in _workspaces(shop)} <= set(accepted)
    print(f"lost=0 duplicates=0 rerun_steps=0 orphans=0 rounds={rounds} tasks={len(accepted)}")


def _submit_some(shop: Shop, service: RunningService, kinds: Iterable[int]) -> Iterator[str]:
    for number, kind in enumerate(kinds):
        body = {
            "repository_url": f"{shop.github.web_url}/{FULL_NAME}.git",
            "description": f"Mend {number}",
            "setup_command": SET_UP.format(kind=kind),
            "test_command": TESTS.format(kind=kind),
        }
        try:
            answer = service.http.post("/api/v1/tasks", json=body)
        except httpx.TransportError:
            return
        if answer.status_code == 429:
            return
        yield answer.json()["task_id"]


def _check_that_it_ended_once(service: RunningService, task_id: str, status: str) -> None:
    """Look at what happened: one end, no finished step again; only poison may fail."""
    happened = events(service, task_id)
    assert [event["type"] for event in happened].count("task.finished") == 1, happened
    steps = [
        (event["data"]["step"], event["data"]["round"])
        for event in happened
        if event["type"] == "step.finished"
    ]
    assert _repeated(steps) == []
    if status != "completed":
        task = service.http.get(f"/api/v1/tasks/{task_id}").json()
        assert task["failure"]["code"] == "poisoned", task["failure"]


def _repeated(things: Iterable[object]) -> list[object]:
    return [thing for thing, count in Counter(things).items() if count > 1]


def _set_up_anew(service: RunningService, task_id: str) -> int:
    """Count the set-ups of a task that ended, and whose layer was not there already."""
    return sum(
        event["type"] == "environment.set_up" and not event["data"]["reused"]
        for event in events(service, task_id)
    )


def _workspaces(shop: Shop) -> list[Path]:
    return [folder for folder in shop.work_dir.iterdir() if folder.is_dir()]
