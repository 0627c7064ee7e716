"""A task whose disk gets full at one moment of one step, told by a process of its own.

told = tell_on_full_disk(tmp_path, full="work", moment=("in", "collect"))
"""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from codebot.errors import CodebotError
from codebot.store.steps import Steps
from fakes import preloaded, small_disk
from fakes.story import MENDS, Act, Story, open_story

Moment = tuple[str, str]
"""`in` a step, or when it is `made` and not yet written down."""

WRITES = f"head -c 100000 /dev/zero > blob; {MENDS}"
TESTS = "head -c 100000 /dev/zero > out && grep -q mended shop.py"
SETS_UP = "head -c 100000 /dev/zero > ~/tool"
"""None of them fits on a full disk; the agent does not tell."""

MOST_TRIES = 3


@dataclass
class Told:
    """What became of it: each error that ended a try, as its code, its words and its patience."""

    errors: list[tuple[str, str, bool]] = field(default_factory=list)
    outcome: str = ""
    launches: int = 0
    launches_without_room: int = 0
    left: list[str] = field(default_factory=list)
    """Things half made, when the disk had just been full."""


def tell_on_full_disk(root: Path, *, full: str, moment: Moment) -> Told:
    """Work on a task in `root`, where the folder `full` is a small disk; give what became of it.

    After a try that failed there is room again.
    """
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, root, full, moment)
    process = preloaded.SERVER.Process(target=_tell_in_child, args=arguments)
    process.start()
    theirs.close()
    try:
        told: Told = ours.recv()
    finally:
        process.join(20)
    return told


def _tell_in_child(answers: Connection, root: Path, full: str, moment: Moment) -> None:
    small_disk.mount(root / full)
    _fill_at(moment, root / full)
    answers.send(asyncio.run(_tell(root, root / full)))


def _fill_at(moment: Moment, disk: Path) -> None:
    """Have the disk full from one moment on, the first time that it comes."""
    come: list[Moment] = []

    def is_now(when: str, step: str) -> bool:
        come.append((when, step))
        return come.count(moment) == 1 and come[-1] == moment

    def around(method: Callable[..., Awaitable[Any]], *, before: bool) -> Callable[..., Any]:
        async def wrapped(self: Steps, run: Any, step: str, *rest: Any, **more: Any) -> Any:
            result = None if before else await method(self, run, step, *rest, **more)
            if is_now("made" if before else "in", step):
                small_disk.fill(disk)
            return await method(self, run, step, *rest, **more) if before else result

        return wrapped

    Steps.start = around(Steps.start, before=False)  # type: ignore[method-assign]
    Steps.finish = around(Steps.finish, before=True)  # type: ignore[method-assign]


async def _tell(root: Path, disk: Path) -> Told:
    told = Told()
    acts = Act(WRITES)
    async with open_story(root, acts, test_command=TESTS, setup_command=SETS_UP) as story:
        while not told.outcome and len(told.errors) < MOST_TRIES:
            await _try(story, told, root, disk)
        told.launches = len(story.agent.jobs)
    return told


async def _try(story: Story, told: Told, root: Path, disk: Path) -> None:
    try:
        told.outcome = (await story.tell()).status.value
    except CodebotError as error:
        told.errors.append((error.code, error.detail, error.retry_after is not None))
        told.left += _half_made(root)
        told.launches_without_room = len(story.agent.jobs)
        small_disk.make_room(disk)
        await story.claim_again()


def _half_made(root: Path) -> list[str]:
    return [str(it) for it in root.rglob("*") if it.suffix == ".new" or it.match("tmp_*")]
