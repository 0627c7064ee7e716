"""The service killed before, in and after every step and every effect, wherever there are any.

The points are those of a task that nobody kills: a new step or effect is among them by itself.
"""

import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from codebot.domain.effect import EffectKind
from codebot.queue.policy import MAX_CRASHES
from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from e2e.leftovers import leftovers
from fakes import crashing
from fakes.service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AGENT = "cat > /dev/null; (setsid sleep 60 &) ; echo worked >> ~/count; echo '# mended' >> shop.py"
TESTS = "grep -q mended shop.py"
DEATHS = MAX_CRASHES - 1
"""Of one task: one more would make it poison."""

SHORT = {"made"}
"""What every run of the tests tries: all is done, and nothing written down. `--crash-all`: all."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    script = str(Path(crashing.__file__))
    with open_shop(tmp_path) as shop:
        command = [sys.executable, script, str(tmp_path)]
        yield Shop(tmp_path, shop.github, shop.bare, AGENT, command=command)


def test_whatever_the_service_dies_in_every_task_ends_once(
    shop: Shop, pytestconfig: pytest.Config
) -> None:
    with shop.serve() as service:
        first = shop.submit(service, test_command=TESTS)
        wait_for(service, first, is_over)
        points = list(points_of(shop, service, first))
        if not pytestconfig.getoption("crash_all"):
            points = [point for point in points if point.split()[0] in SHORT]
        plan = {
            shop.submit(service, test_command=TESTS): points[at : at + DEATHS]
            for at in range(0, len(points), DEATHS)
        }
        (shop.folder / "plan.json").write_text(json.dumps(plan))
        (shop.folder / "armed").touch()
        service.process.wait(60)
    deaths = 1 + die_and_go_on(shop, list(plan))
    with shop.serve() as service:
        counts = judge(shop, service, [first, *plan])
    print(" ".join(f"{name}={count}" for name, count in counts.items()), f"rounds={deaths}")

    assert deaths == len(points)
    assert counts == {"lost": 0, "duplicates": 0, "rerun_steps": 0, "orphans": 0}


def points_of(shop: Shop, service: RunningService, task_id: str) -> Iterator[str]:
    """Name every moment of every step and every effect of a task, in their order."""
    for event in events(service, task_id):
        if event["type"] == "step.started":
            for moment in crashing.STEP_MOMENTS:
                yield f"{moment} step {event['data']['step']} {event['data']['round']}"
    kinds = effects_of(shop, task_id)
    assert set(kinds) == {kind.value for kind in EffectKind}, "no task makes some kind of effect"
    for kind in kinds:
        for moment in crashing.EFFECT_MOMENTS:
            yield f"{moment} effect {kind}"


def effects_of(shop: Shop, task_id: str) -> list[str]:
    database = shop.folder / "codebot_data" / "codebot.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT kind FROM effects WHERE task_id = ?", (task_id,))
        return [kind for (kind,) in rows]


def die_and_go_on(shop: Shop, tasks: list[str]) -> int:
    """Start the service again as often as it dies; say how often that was after the first time."""
    deaths = 0
    while True:
        (shop.folder / "armed").unlink(missing_ok=True)
        with shop.serve() as service:
            (shop.folder / "armed").touch()
            if _outlives(service, tasks):
                return deaths
            deaths += 1


def _outlives(service: RunningService, tasks: list[str]) -> bool:
    """Wait until every task is over, or the service is dead; say whether it lives."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if service.process.poll() is not None:
            return False
        try:
            states = [service.http.get(f"/api/tasks/{id_}/status").json() for id_ in tasks]
        except httpx.TransportError:  # it died while it was asked
            service.process.wait(10)
            return False
        if all(map(is_over, states)):
            return True
        time.sleep(0.05)
    raise AssertionError(service.stderr)


def judge(shop: Shop, service: RunningService, tasks: list[str]) -> dict[str, int]:
    """Count what must not be: tasks without their end, things that are there twice, leftovers."""
    told = {task_id: events(service, task_id) for task_id in tasks}
    states = [service.http.get(f"/api/tasks/{task_id}/status").json() for task_id in tasks]
    heads = [pull.head for pull in shop.pulls()]
    branches = [name for name in shop.git("branch").split() if name.startswith("u/codebot/")]
    steps = [
        (task_id, event["data"]["step"], event["data"]["round"])
        for task_id, happened in told.items()
        for event in happened
        if event["type"] == "step.finished"
    ]
    ends = [
        (task_id, event["type"])
        for task_id, happened in told.items()
        for event in happened
        if event["type"] in {"task.finished", "branch.pushed", "pull_request.opened"}
    ]
    return {
        "lost": sum(state["status"] != "completed" for state in states)
        + abs(len(tasks) - len(heads))
        + abs(len(tasks) - len(branches)),
        "duplicates": sum(map(_repeated, (heads, branches, ends))),
        "rerun_steps": _repeated(steps),
        "orphans": len(leftovers(shop, tasks)) + len(shop.living()),
    }


def _repeated(things: Iterable[object]) -> int:
    return sum(count - 1 for count in Counter(things).values())
