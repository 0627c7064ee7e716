"""Nodes killed at random moments with several tasks in flight, again and again.

Each task is set up, worked on and tested; what is kept of set-ups is evicted all the while.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from codebot.queue.procrastinate import DEAD_AFTER
from e2e.github_service import FULL_NAME, Shop, events, is_over, open_shop, wait_for
from e2e.grounds import Ground, ManyMachines, OneMachine, done_again
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

MANY = 100
"""Rounds after which every layer was evicted and made again, whatever moments were drawn."""

ROUND = 30
"""Seconds that one more round may add to the time until every task has ended."""


SET_UP = "echo {kind} > kind.txt; head -c 2000000 /dev/zero > weight; sleep 0.2"
TESTS = "grep -q mended shop.py && grep -qx {kind} kind.txt"
KINDS = 3
"""Of set-up: tasks of one kind share a layer, if it is still there. There are more in a long run:
what was used a minute ago is not evicted."""

CACHE = "3"
"""MiB, so that layers are evicted all the time."""

PLACES = "12"
"""Tasks that may wait: else most would be worked on when nobody kills any more."""


SHARE = 0.5
"""Of the rounds on one machine: so many there are on several, where nobody waits for a restart."""

AWAY = 0.05
"""Chance that a dead node of several stays away until the others notice."""


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
        limit = pytest.mark.timeout(240 + rounds * ROUND)
        grounds = [("sqlite", rounds), ("postgres", max(2, round(rounds * SHARE)))]
        given = [pytest.param(*ground, marks=limit, id=ground[0]) for ground in grounds]
        metafunc.parametrize(("kind", "rounds"), given)


def test_every_accepted_task_ends_once_whenever_a_node_dies(
    shop: Shop, kind: str, rounds: int, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(int(request.config.getoption("crash_seed")))
    if kind == "postgres":
        shop.settings |= {
            "CODEBOT_DATABASE_URL": request.getfixturevalue("postgres_url"),
            "CODEBOT_MAX_WORKERS": "1",
        }
    ground: Ground = OneMachine(shop) if kind == "sqlite" else ManyMachines(shop)
    accepted: list[str] = []
    all_kinds = max(KINDS, rounds // 3)
    with ground:
        for _ in range(rounds):
            kinds = [chance.randrange(all_kinds) for _ in range(chance.randint(2, 4))]
            accepted += _submit_some(shop, ground.service, kinds)
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            ground.strike(chance)
            if kind == "postgres" and rounds >= MANY and chance.random() < AWAY:
                time.sleep(DEAD_AFTER.total_seconds() + LONGEST_LIFE)
            ground.revive()
        service = ground.service
        for task_id in accepted:
            status = wait_for(service, task_id, is_over, deadline=60 + rounds * ROUND)
            _check_that_it_ended_once(service, task_id, status["status"], moves=ground.moves)
        set_up_anew = sum(_set_up_anew(service, task_id) for task_id in accepted)
        living = [node.living() for node in ground.nodes]
    left = set().union(*(leftovers(node, accepted) for node in ground.nodes))

    if rounds >= MANY:
        assert set_up_anew > all_kinds, "nothing was evicted"
    assert _repeated(pull.head for pull in shop.pulls()) == []
    branches = (name for name in shop.git("branch").split() if name.startswith("u/codebot/"))
    assert _repeated(name.split("/")[2] for name in branches) == []
    assert living == [[] for _ in ground.nodes]
    assert left == set()
    for node in ground.nodes:
        assert {folder.name for folder in _workspaces(node)} <= set(accepted)
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


def _check_that_it_ended_once(
    service: RunningService, task_id: str, status: str, *, moves: bool
) -> None:
    """Look at what happened: one end, no finished step again; only poison may fail."""
    happened = events(service, task_id)
    assert [event["type"] for event in happened].count("task.finished") == 1, happened
    assert done_again(happened, moves=moves) == []
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
