"""A node that is killed where a task reaches a point that a plan names, once for each.

`plan.json` in the folder that `arm` is given maps task ids to points, in order; `armed` lets them
be fatal, and a point that is reached before waits for that. While there is `hold`, every task waits
at its next point: nothing is passed before the plan is there.
"""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from codebot.store.effects import Effects
from codebot.store.steps import Steps

STEP_MOMENTS = ("before", "in", "made", "after")
EFFECT_MOMENTS = ("before", "begun", "made", "after")
IN_THE_MIDST = 0.05
"""Seconds from a step's start to a death in it."""

DYING: list[bool] = []
FOLDER: list[Path] = []
VARIABLE = "CRASHING_IN"
"""Of the environment of a node that shall be armed: the folder."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def reach(task_id: str, point: str, kill: Callable[[], None] = die) -> None:
    """Die here, if the plan has this as the next point of the task."""
    folder = FOLDER[0]
    while (folder / "hold").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    plan, done = folder / "plan.json", folder / f"{task_id}.done"
    points = json.loads(plan.read_text()).get(task_id, []) if plan.exists() else []
    past = int(done.read_text()) if done.exists() else 0
    is_next = past < len(points) and points[past] == point
    while DYING or (is_next and not (folder / "armed").exists()):  # noqa: ASYNC110
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


def arm(folder: Path) -> None:
    """Let this process die by the plan in a folder."""
    FOLDER.append(folder)
    Steps.start = around(Steps.start, step_name, "before", "in", soon)  # type: ignore[method-assign]
    Steps.finish = around(Steps.finish, step_name, "made", "after", die)  # type: ignore[method-assign]
    Effects.begin = around(Effects.begin, effect_name, "before", "begun", die)  # type: ignore[method-assign]
    Effects.end = around(Effects.end, effect_name, "made", "after", die)  # type: ignore[method-assign]
