"""`codebot`, killed by SIGKILL where a task reaches a point that a plan names, once for each.

    python crashing.py FOLDER serve ...

FOLDER/plan.json maps task ids to points, in order; FOLDER/armed lets them be fatal. A point that is
reached before waits for that.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from codebot.cli import main
from codebot.store.effects import Effects
from codebot.store.steps import Steps

STEP_MOMENTS = ("before", "in", "made", "after")
EFFECT_MOMENTS = ("before", "begun", "made", "after")
IN_THE_MIDST = 0.05
"""Seconds from a step's start to a death in it."""

DYING: list[bool] = []
FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def reach(task_id: str, point: str, kill: Callable[[], None] = die) -> None:
    """Die here, if the plan has this as the next point of the task."""
    plan = FOLDER / "plan.json"
    points = json.loads(plan.read_text()).get(task_id, []) if plan.exists() else []
    done = FOLDER / f"{task_id}.done"
    past = int(done.read_text()) if done.exists() else 0
    is_next = past < len(points) and points[past] == point
    while DYING or (is_next and not (FOLDER / "armed").exists()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # a death is that of one point, or they could not be counted
    if is_next:
        done.write_text(str(past + 1))
        kill()


def soon() -> None:
    """Die in the midst of the step, or where its result would be written if that comes first."""
    DYING.append(True)
    threading.Timer(IN_THE_MIDST, die).start()


Method = Callable[..., Awaitable[Any]]


def around(
    method: Method, name: Callable[..., str], first: str, last: str, at_last: Callable[[], None]
) -> Method:
    @wraps(method)
    async def crashing(self: Any, run: Any, *args: Any, **more: Any) -> Any:
        called = name(*args)
        await reach(run.task_id, f"{first} {called}")
        result = await method(self, run, *args, **more)
        await reach(run.task_id, f"{last} {called}", at_last)
        return result

    return crashing


def step_name(step: str, round_: int, *_: object) -> str:
    return f"step {step} {round_}"


def effect_name(effect: Any, *_: object) -> str:
    return f"effect {effect.kind.value}"


if __name__ == "__main__":
    Steps.start = around(Steps.start, step_name, "before", "in", soon)  # type: ignore[method-assign]
    Steps.finish = around(Steps.finish, step_name, "made", "after", die)  # type: ignore[method-assign]
    Effects.begin = around(Effects.begin, effect_name, "before", "begun", die)  # type: ignore[method-assign]
    Effects.end = around(Effects.end, effect_name, "made", "after", die)  # type: ignore[method-assign]
    sys.exit(main(sys.argv[2:]))
