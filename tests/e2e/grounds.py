"""What a service may die on: one process with SQLite, or several machines with PostgreSQL.

with ground:
    ground.strike(chance)
    deaths = ground.revive()
"""

import random
import signal
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Generic, Protocol, Self, TypeVar

import httpx

from e2e.github_service import Shop
from fakes.service import Process, RunningService

P = TypeVar("P")

ARMED = "armed"
"""The file by which `fakes.crashing` may be fatal: nobody dies while somebody starts."""

WORKERS = ("one", "two", "three")


class Ground(Protocol):
    """Nodes that die and come again; `nodes` are the shops as those see them that work."""

    nodes: Sequence[Shop]
    moves: bool
    """Whether a run may go on at a node that is not the one it was begun at."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...

    @property
    def service(self) -> RunningService:
        """Whom to ask."""
        ...

    def revive(self) -> int:
        """Start again what is dead; say how many processes that were."""
        ...

    def strike(self, chance: random.Random) -> None:
        """Have one that works die, by SIGKILL or in the midst of its going."""
        ...


class OneMachine:
    """One process that does everything."""

    moves = False

    def __init__(self, shop: Shop) -> None:
        self.nodes = (shop,)
        self._one = _Mortal(shop, shop.serve)

    def __enter__(self) -> Self:
        self._one.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._one.end()

    @property
    def service(self) -> RunningService:
        return self._one.running

    def revive(self) -> int:
        return self._one.revive_if(self.service.process)

    def strike(self, chance: random.Random) -> None:
        _end_somehow(self.service.process, chance)


class ManyMachines:
    """Three that work, each with a folder of its own; a fourth takes tasks in, and lives."""

    moves = True

    def __init__(self, shop: Shop) -> None:
        self.nodes = tuple(shop.node(name) for name in WORKERS)
        self._stack = ExitStack()
        self._shop = shop
        self._workers = [_Mortal(shop, node.work) for node in self.nodes]

    def __enter__(self) -> Self:
        self._service = self._stack.enter_context(self._shop.serve("--workers", "0"))
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.end()
        self._stack.close()

    @property
    def service(self) -> RunningService:
        return self._service

    def revive(self) -> int:
        return sum(worker.revive_if(worker.running) for worker in self._workers)

    def strike(self, chance: random.Random) -> None:
        _end_somehow(chance.choice(self._workers).running, chance)


class _Mortal(Generic[P]):
    """A node that is started again and again."""

    def __init__(self, shop: Shop, start: "Starts[P]") -> None:
        self._armed = shop.folder / ARMED
        self._start = start
        self._stack = ExitStack()

    running: P

    def start(self) -> None:
        self.running = self._stack.enter_context(self._start())

    def end(self) -> None:
        self._stack.close()

    def revive_if(self, process: Process) -> int:
        """Start it again if its process is dead; say whether it was."""
        if process.poll() is None:
            return 0
        was_armed = self._armed.exists()
        self._armed.unlink(missing_ok=True)
        self.end()
        self.start()
        if was_armed:
            self._armed.touch()
        return 1


class Starts(Protocol[P]):  # type: ignore[misc]
    """Starts a node."""

    def __call__(self) -> AbstractContextManager[P]: ...


def _end_somehow(process: Process, chance: random.Random) -> None:
    """Kill it; one in five goes by itself, half of these are killed while they do."""
    process.send_signal(chance.choice([signal.SIGKILL] * 4 + [signal.SIGTERM]))
    if chance.random() < 0.5:
        process.kill()
    process.wait(60)


def ask(ground: Ground, task_ids: Iterable[str]) -> list[dict[str, Any]] | None:
    """Give the states of tasks; None where who is asked dies meanwhile."""
    try:
        asked = (ground.service.http.get(f"/api/tasks/{id_}/status") for id_ in task_ids)
        return [answer.json() for answer in asked]
    except httpx.TransportError:
        ground.service.process.wait(10)
        return None


def done_again(happened: Iterable[dict[str, Any]], *, moves: bool) -> list[tuple[str, int]]:
    """Give the steps that were done again though they had been done.

    A run that moves has to prepare anew, and its agent begins anew while nothing is collected.
    """
    done: set[tuple[str, int]] = set()
    again = []
    for event in happened:
        if event["type"] != "step.finished":
            continue
        step = (event["data"]["step"], event["data"]["round"])
        is_kept = ("collect", step[1]) in done or step[0] in {"collect", "publish"}
        may_be = moves and not (step[0] in {"work", "collect", "publish"} and is_kept)
        if step in done and not may_be:
            again.append(step)
        done.add(step)
    return again
