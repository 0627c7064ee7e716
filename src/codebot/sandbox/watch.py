"""Keeps boxes within memory and disk: the limits that no kernel keeps for a group of processes.

One look at the process table serves all boxes, and there is none while no box runs. Where the
kernel does it (a delegated cgroup), it is faster than any watch; this one needs nothing.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from codebot.domain.box import Bound, BoxLimits, BoxSpec, ExitReason
from codebot.sandbox.disk import FEWEST_FILES, PER_FILE, deleted_files_of, disk_of, free_space
from codebot.sandbox.guarded import Guard
from codebot.sandbox.memory import Use, available_memory, use_of
from codebot.sandbox.running import RunningBox

log = structlog.get_logger(__name__)

PAUSE = 0.25
"""Seconds between two looks: 16 boxes on a machine with 150 processes cost 1 % of a core."""

NEARLY = 0.95
"""Of a bound: between two looks, what was refused one more may have ended some."""

THOROUGH = 4
"""Every so many looks, memory is looked for in files without a name, too."""

DISK_FIRST, DISK_PAUSE = 1.0, 4.0
DISK_SHARE = 0.05
"""A tree is measured after so many seconds, and every so many, no more than this share of the time.

Most boxes end before the first.
"""

AGREEING = 0.05
"""Seconds until a second look at memory: what processes share as they end counts more than once."""


@dataclass(slots=True, eq=False)
class _Watched:
    """One box, and what was last seen of it."""

    box: RunningBox
    first: int
    folders: tuple[Path, ...]
    room_then: int
    measure_at: float
    disk: int = 0


class Watch:
    """Looks at every box that was added, until it ends."""

    def __init__(self, limits: BoxLimits, bwrap: str, guard: Guard) -> None:
        """Hold boxes to these limits; `bwrap` is the program that disk is measured with."""
        self._limits = limits
        self._bwrap = bwrap
        self._guard = guard
        self._watched: set[_Watched] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looks = 0

    def add(self, box: RunningBox, first: int, spec: BoxSpec) -> None:
        """Watch a box whose first process is `first`.

        One that takes as much as it may have is measured at once, since so much less is free.
        """
        folders = (spec.workspace, spec.home)
        room = _room(*free_space(spec.workspace))
        measure_at = asyncio.get_running_loop().time() + DISK_FIRST
        watched = _Watched(box, first, folders, room, measure_at)
        self._watched.add(watched)
        leaving = asyncio.create_task(self._forget(watched))
        _background.add(leaving)
        leaving.add_done_callback(_background.discard)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())

    async def _forget(self, watched: _Watched) -> None:
        try:
            await watched.box.wait()
        finally:
            self._watched.discard(watched)

    async def _look_on(self) -> None:
        while self._watched:
            await asyncio.sleep(PAUSE)
            boxes = list(self._watched)
            await self._look_at_memory(boxes)
            await self._look_at_disk(boxes)

    async def _look_at_memory(self, boxes: Sequence[_Watched]) -> None:
        firsts = [watched.first for watched in boxes]
        limit = self._limits.memory
        self._looks += 1
        thoroughly = self._looks % THOROUGH == 0
        use = await asyncio.to_thread(use_of, firsts, limit, thoroughly=thoroughly)
        for watched in boxes:
            self._note_bounds(watched, use[watched.first])
        used = {first: use[first].memory for first in firsts}
        over = [first for first in firsts if used[first] > limit]
        if over:  # no look is an instant: what passes from parent to child counts with both
            await asyncio.sleep(AGREEING)
            again = await asyncio.to_thread(use_of, over, limit, thoroughly=thoroughly)
            used |= {first: min(used[first], again[first].memory) for first in over}
        is_short = available_memory() < self._limits.free_memory
        largest = max(firsts, key=lambda first: used[first], default=0)  # all may have ended
        for watched in boxes:
            if used[watched.first] > limit or (is_short and watched.first == largest):
                log.warning("box.memory", used=used[watched.first], machine_is_short=is_short)
                watched.box.end(ExitReason.MEMORY)

    def _note_bounds(self, watched: _Watched, use: Use) -> None:
        """Let a box know at which bound of the kernel's it was seen, or nearly."""
        if use.threads >= NEARLY * _most_processes(watched.first):
            watched.box.reach(Bound.PROCESSES)
        if use.open_files >= NEARLY * self._limits.open_files:
            watched.box.reach(Bound.OPEN_FILES)

    async def _look_at_disk(self, boxes: Sequence[_Watched]) -> None:
        now = asyncio.get_running_loop().time
        for watched in boxes:
            free, files_free = free_space(watched.folders[0])
            is_full = free < self._limits.free_disk or files_free < FEWEST_FILES
            room = _room(free, files_free)
            grown = watched.room_then - room > max(0, self._limits.disk - watched.disk)
            if not (is_full or grown or now() >= watched.measure_at):
                continue
            begun = now()
            watched.disk = await asyncio.to_thread(self._measure, watched)
            watched.room_then = room
            watched.measure_at = now() + max(DISK_PAUSE, (now() - begun) / DISK_SHARE)
            if watched.disk > self._limits.disk:
                log.warning("box.disk", used=watched.disk)
                watched.box.end(ExitReason.DISK)
            elif is_full and watched is max(boxes, key=lambda one: one.disk):
                log.warning("box.disk_full", used=watched.disk, free=free)
                watched.box.end(ExitReason.DISK)

    def _measure(self, watched: _Watched) -> int:
        """Give what a box has on disk; what cannot be told now is as it was."""
        held = deleted_files_of(watched.first, watched.folders[0])
        most = self._limits.disk
        named = disk_of(watched.folders, most, self._bwrap, self._guard.environment)
        return watched.disk if named is None else named + held


def _room(free: int, files_free: int) -> int:
    """Give what is left in the measure that boxes are held to: empty files take room, too."""
    return free + files_free * PER_FILE


_background: set[asyncio.Task[None]] = set()


def _most_processes(first: int) -> float:
    """Give how many a box may have: where it shares its user's number, more than it is told."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{first}/limits").read_text().splitlines():
            if line.startswith(_PROCESSES):
                return float(line.removeprefix(_PROCESSES).split()[0].replace("unlimited", "inf"))
    return math.inf


_PROCESSES = "Max processes"
