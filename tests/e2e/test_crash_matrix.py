"""The service killed before, in and after every step and every effect, wherever there are any.

The points are those of a task that nobody kills: a new step or effect is among them by itself.
"""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from codebot.domain.effect import EffectKind
from codebot.queue.policy import MAX_CRASHES
from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from e2e.grounds import ARMED, Ground, ManyMachines, OneMachine, ask, done_again
from e2e.leftovers import leftovers
from fakes import crashing
from fakes.service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

AGENT = "cat > /dev/null; (setsid sleep 60 &) ; echo worked >> ~/count; echo '# mended' >> shop.py"
TESTS = "grep -q mended shop.py"
DEATHS = MAX_CRASHES - 1
"""Of one task: one more would make it poison."""

SHORT = {"sqlite": {"made"}, "postgres": {"begun"}}
"""What every run of the tests tries: all is done, and nothing written down; between machines, that
it may have been done. `--crash-all`: all."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path) as shop:
        yield Shop(tmp_path, shop.github, shop.bare, AGENT, {crashing.VARIABLE: str(tmp_path)})


@pytest.mark.parametrize("kind", SHORT)
def test_whatever_a_node_dies_in_every_task_ends_once(
    shop: Shop, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "postgres":
        shop.settings["CODEBOT_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    ground: Ground = OneMachine(shop) if kind == "sqlite" else ManyMachines(shop)
    with ground:
        first = shop.submit(ground.service, test_command=TESTS)
        wait_for(ground.service, first, is_over)
        points = list(points_of(shop, ground.service, first))
        if not request.config.getoption("crash_all"):
            points = [point for point in points if point.split()[0] in SHORT[kind]]
        plan = make_plan(shop, ground.service, points)
        deaths = die_and_go_on(ground, list(plan))
        counts = judge(shop, ground, [first, *plan])
    print(" ".join(f"{name}={count}" for name, count in counts.items()), f"rounds={deaths}")

    assert deaths == len(points)
    assert counts == {"lost": 0, "duplicates": 0, "rerun_steps": 0, "orphans": 0}


def make_plan(shop: Shop, service: RunningService, points: list[str]) -> dict[str, list[str]]:
    """Submit tasks that die at these points, and let them."""
    (shop.folder / "hold").touch()
    plan = {
        shop.submit(service, test_command=TESTS): points[at : at + DEATHS]
        for at in range(0, len(points), DEATHS)
    }
    (shop.folder / "plan.json").write_text(json.dumps(plan))
    (shop.folder / ARMED).touch()
    (shop.folder / "hold").unlink()
    return plan


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
    asked = "SELECT kind FROM effects WHERE task_id = "
    url = shop.settings.get("CODEBOT_DATABASE_URL")
    if url is not None:
        with psycopg.connect(url) as connection:
            return [kind for (kind,) in connection.execute(f"{asked} %s", (task_id,))]
    database = shop.folder / "codebot_data" / "codebot.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [kind for (kind,) in connection.execute(f"{asked} ?", (task_id,))]


def die_and_go_on(ground: Ground, tasks: list[str]) -> int:
    """Start again whatever dies until every task is over; say how often that was."""
    deaths = 0
    until = time.monotonic() + 600
    while time.monotonic() < until:
        deaths += ground.revive()
        states = ask(ground, tasks)
        if states is not None and all(map(is_over, states)):
            return deaths
        time.sleep(0.1)
    raise AssertionError(ground.service.stderr)


def judge(shop: Shop, ground: Ground, tasks: list[str]) -> dict[str, int]:
    """Count what must not be: tasks without their end, things that are there twice, leftovers."""
    told = {task_id: events(ground.service, task_id) for task_id in tasks}
    states = ask(ground, tasks) or []
    heads = [pull.head for pull in shop.pulls()]
    branches = [name for name in shop.git("branch").split() if name.startswith("u/codebot/")]
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
        "rerun_steps": sum(len(done_again(each, moves=ground.moves)) for each in told.values()),
        "orphans": sum(len(leftovers(node, tasks)) + len(node.living()) for node in ground.nodes),
    }


def _repeated(things: Iterable[object]) -> int:
    return sum(count - 1 for count in Counter(things).values())
