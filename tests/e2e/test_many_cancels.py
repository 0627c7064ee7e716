"""Tasks cancelled at one node while others work on them: their trees are dead, nothing is left."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.github_service import Shop, events, is_over, open_shop, wait_for
from e2e.leftovers import leftovers
from e2e.test_cancel import AGENT, GRACE, HANGS, LONGEST_LIFE, living, whole
from fakes.service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NODES = ("one", "two")
"""Those that work, one task at a time each; a third takes tasks in."""

FEWEST, SHARE = 4, 0.3
"""Tasks that are cancelled in every run of the tests, and of those on one machine."""


@pytest.fixture
def shop(tmp_path: Path, postgres_url: str) -> Iterator[Shop]:
    settings = {"CODEBOT_DATABASE_URL": postgres_url}
    with open_shop(tmp_path) as shop:
        yield Shop(tmp_path, shop.github, shop.bare, AGENT, settings)


def test_a_tree_at_another_node_is_dead_a_second_after_its_grace_and_its_workspace_goes(
    shop: Shop,
) -> None:
    shop.agent = HANGS
    node = shop.node("one")
    with shop.serve("--workers", "0") as service, node.work():
        task_id = shop.submit(service)
        wait_for(service, task_id, lambda _: _is_up(service, task_id))

        assert service.http.post(f"/api/v1/tasks/{task_id}/cancel").status_code == 202
        began = time.monotonic()
        while living(node, task_id):
            assert time.monotonic() < began + GRACE + 1
            time.sleep(0.01)
        wait_for(service, task_id, is_over)
        status = whole(service, task_id)["status"]
        _wait_until_swept([node], [task_id])

        assert status == "cancelled"
        assert leftovers(node, [task_id]) == set()


def test_tasks_that_are_cancelled_from_afar_at_random_moments_leave_nothing(
    shop: Shop, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(int(pytestconfig.getoption("crash_seed")))
    count = max(FEWEST, round(SHARE * int(pytestconfig.getoption("cancels"))))
    nodes = [shop.node(name) for name in NODES]
    accepted: list[str] = []
    asked = 0
    with ExitStack() as stack:
        service = stack.enter_context(shop.serve("--workers", "0"))
        for node in nodes:
            stack.enter_context(node.work())
        while len(accepted) < count:
            batch = [shop.submit(service) for _ in nodes]
            accepted += batch
            for task_id in batch:
                time.sleep(chance.uniform(0, LONGEST_LIFE / len(batch)))
                asked += _cancel(service, nodes, task_id)
            for task_id in batch:
                wait_for(service, task_id, is_over)
        ended = [whole(service, task_id) for task_id in accepted]
        cancelled = [task["id"] for task in ended if task["status"] == "cancelled"]
        _wait_until_swept(nodes, cancelled)
        left = set().union(*(leftovers(node, accepted) for node in nodes))
        finished = [
            [event["type"] for event in events(service, task_id)].count("task.finished")
            for task_id in accepted
        ]
    print(f"cancelled={len(cancelled)} of={count} left={len(left)}")

    assert {task["status"] for task in ended} <= {"cancelled", "completed"}
    assert len(cancelled) == asked > 0
    assert finished == [1] * len(accepted)
    assert left == set()
    assert [node.living() for node in nodes] == [[], []]
    assert len({pull.head for pull in shop.pulls()}) == len(shop.pulls())


def _is_up(service: RunningService, task_id: str) -> bool:
    """Say whether the agent has said so: by then it has brought up what it leaves behind."""
    return "agent.said" in {event["type"] for event in events(service, task_id)}


def _cancel(service: RunningService, nodes: list[Shop], task_id: str) -> bool:
    """Cancel a task and wait until nothing of it runs; say whether it had not ended before."""
    answer = service.http.post(f"/api/v1/tasks/{task_id}/cancel")
    if answer.status_code == 409:
        return False
    assert answer.status_code == 202, answer.text
    wait_for(service, task_id, is_over)
    assert [living(node, task_id) for node in nodes] == [[], []]
    return True


def _wait_until_swept(nodes: list[Shop], cancelled: list[str]) -> None:
    until = time.monotonic() + 20
    while any((node.work_dir / task_id).exists() for node in nodes for task_id in cancelled):
        assert time.monotonic() < until
        time.sleep(0.05)
