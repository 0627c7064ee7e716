"""What can be made again: made once for everybody, whole or not at all, kept while it is held.

An entry is a folder. It is made under another name and renamed when it is done. Who uses it holds a
lock on the folder itself, shared with others, and who would remove it must have that lock alone:
the kernel frees locks of the dead, and knows those of other processes (`codebot run` uses the same
shelf), so nothing has to be counted, or put right after a crash.
"""

import asyncio
import ctypes
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from uuid import uuid4

from codebot.domain.task import TaskId
from codebot.sandbox.locks import TOGETHER, let_go, try_to_lock
from codebot.workspace.folders import PRIVATE, delete_folder, disk_errors, make_private
from codebot.workspace.single_flight import Relay

ABOUT, SETTLED = "about.json", "settled"
BEING_MADE, BEING_REMOVED = ".new-", ".gone-"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

SPARED = 60.0
"""Seconds after its last use in which an entry is not removed for room: whoever waited for it is
about to hold it."""

Make = Callable[[Path], Awaitable[Mapping[str, str]]]
"""Makes an entry in the folder it is given, and says what it is."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an entry; `seconds` is how long it took to make, `size` in bytes."""

    made_at: float
    seconds: float
    size: int
    boot: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that could be removed for room: its size in bytes, and when it was last used.

    `evict` removes it, unless somebody holds it, and says whether it did.
    """

    name: str
    size: int
    used_at: float
    evict: Callable[[], bool]
    about: About | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """An entry that nobody removes until this is released."""

    folder: Path
    descriptor: int

    def release(self) -> None:
        """Let it go; to be called once."""
        let_go(self.descriptor)


class Holds:
    """What each task holds, until it is released."""

    def __init__(self) -> None:
        self._held: dict[TaskId, list[Hold]] = {}

    def add(self, task_id: TaskId, hold: Hold) -> None:
        """Note that a task holds this, too."""
        self._held.setdefault(task_id, []).append(hold)

    def has(self, task_id: TaskId, folder: Path) -> bool:
        """Say whether a task holds an entry."""
        return any(hold.folder == folder for hold in self._held.get(task_id, ()))

    def release(self, task_id: TaskId) -> None:
        """Let go of all that a task holds; fine when that is nothing."""
        for hold in self._held.pop(task_id, ()):
            hold.release()


class Shelf:
    """The entries below `folder`, which belongs to the service alone."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder.absolute()
        self._clock = clock
        self._makers: Relay[None] = Relay()

    async def hold(self, name: str, make: Make) -> Hold:
        """Give the entry of this name, made now if there is none, by one caller for all.

        One who is cancelled meanwhile leaves that to the next. Raises what `make` raises, and
        `DiskFull`; nothing half made is left then.
        """
        while True:
            held = self.take(name)
            if held is not None:
                return held
            await self._makers.join(name, partial(self._make, name, make))

    def take(self, name: str) -> Hold | None:
        """Hold an entry that is there; None when there is none."""
        entry = self.folder / name
        try:
            descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        if not (try_to_lock(descriptor, TOGETHER) and _is_still(entry, descriptor)):
            os.close(descriptor)
            return None
        with suppress(OSError):
            now = self._clock()
            os.utime(entry / ABOUT, (now, now))
        return Hold(entry, descriptor)

    def kept(self) -> list[Kept]:
        """Give all entries, the one that was not used for longest first."""
        found = []
        for entry in _entries(self.folder):
            about = about_of(entry)
            if about is not None:
                used_at = (entry / ABOUT).stat().st_mtime
                evict = partial(self.evict, entry.name)
                found.append(Kept(entry.name, about.size, used_at, evict, about))
        return sorted(found, key=lambda kept: kept.used_at)

    def evict(self, name: str) -> bool:
        """Remove an entry, unless somebody holds it; say whether it is gone."""
        entry = self.folder / name
        with _locked(entry) as is_ours:
            if not is_ours:
                return not entry.exists()
            gone = self.folder / f"{BEING_REMOVED}{uuid4().hex}"
            entry.rename(gone)
            delete_folder(gone)
        return True

    def reap(self) -> int:
        """Remove what a crash left half made, half removed, or not yet safely on disk; count it."""
        boot = _boot()
        left = list(left_behind(self.folder))
        for entry in _entries(self.folder):
            about = about_of(entry)
            if about is None or (about.boot != boot and not (entry / SETTLED).exists()):
                left.append(entry)
        return sum(_remove_unless_held(folder) for folder in left)

    async def _make(self, name: str, make: Make) -> None:
        with disk_errors(self.folder):
            make_private(self.folder)
        began = time.monotonic()
        async with _workshop(self.folder) as new:
            facts = await make(new)
            about = partial(self._about_new, new, facts, time.monotonic() - began)
            with disk_errors(new):
                (new / ABOUT).write_text(json.dumps(asdict(await asyncio.to_thread(about))))
                with suppress(FileExistsError):  # another process was first
                    _publish(new, self.folder / name)
        # Nobody waits for it, a service that stops neither: a disk may take long.
        Thread(target=_settle, args=(self.folder / name,), daemon=True).start()

    def _about_new(self, new: Path, facts: Mapping[str, str], seconds: float) -> About:
        return About(self._clock(), round(seconds, 3), size_of(new), _boot(), dict(facts))


class _workshop:  # noqa: N801 - a context manager
    """A folder of a name that nobody takes for an entry; gone afterwards, unless it was renamed."""

    def __init__(self, parent: Path) -> None:
        self._folder = parent / f"{BEING_MADE}{uuid4().hex}"

    async def __aenter__(self) -> Path:
        with disk_errors(self._folder):
            self._folder.mkdir(mode=PRIVATE)
            self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try_to_lock(self._descriptor)
        return self._folder

    async def __aexit__(self, *error: object) -> None:
        let_go(self._descriptor)
        await asyncio.to_thread(delete_folder, self._folder)


@contextmanager
def trial_folder(parent: Path) -> Iterator[Path]:
    """Give a folder for a short while; one that a crash leaves is found by `left_behind`."""
    folder = parent / f"{BEING_MADE}{uuid4().hex}"
    folder.mkdir(mode=PRIVATE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try_to_lock(descriptor)
        yield folder
    finally:
        let_go(descriptor)
        delete_folder(folder)


def left_behind(parent: Path) -> Iterator[Path]:
    """Give what was being made or removed here; what still is, is locked."""
    for name in _names(parent):
        if name.startswith((BEING_MADE, BEING_REMOVED)):
            yield parent / name


def remove_left_behind(parent: Path) -> int:
    """Remove what a crash left half made or half removed; say how many folders."""
    return sum(_remove_unless_held(folder) for folder in left_behind(parent))


def size_of(folder: Path) -> int:
    """Give what a folder takes on disk, in bytes."""
    done = subprocess.run(  # noqa: S603 - a program of the system, on a folder of our own
        ["/usr/bin/du", "-sx", "--block-size=1", "--", folder],
        env={"LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    with suppress(ValueError, IndexError):
        return int(done.stdout.split()[0])
    return 0


def _publish(new: Path, entry: Path) -> None:
    if entry.exists():
        raise FileExistsError
    new.rename(entry)


def _settle(entry: Path) -> None:
    """Have the disk write an entry down, and note that it did: only then a power cut spares it."""
    with suppress(OSError):
        descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) == 0:
                (entry / SETTLED).touch()
        finally:
            os.close(descriptor)


def _names(folder: Path) -> list[str]:
    with disk_errors(folder):
        try:
            return os.listdir(folder)  # noqa: PTH208 - only the names
        except FileNotFoundError:
            return []


def _entries(folder: Path) -> list[Path]:
    return [folder / name for name in _names(folder) if not name.startswith(".")]


def about_of(entry: Path) -> About | None:
    """Give what is known of an entry; None when nobody can read it (any more)."""
    try:
        return About(**json.loads((entry / ABOUT).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _is_still(entry: Path, descriptor: int) -> bool:
    """Say whether an open folder still has this name: it may be on its way out."""
    try:
        seen, held = entry.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (seen.st_dev, seen.st_ino) == (held.st_dev, held.st_ino)


@contextmanager
def _locked(entry: Path) -> Iterator[bool]:
    """Hold a folder alone for the block, where that can be; say whether it is so."""
    try:
        descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        yield try_to_lock(descriptor) and _is_still(entry, descriptor)
    finally:
        let_go(descriptor)


def _remove_unless_held(folder: Path) -> bool:
    with _locked(folder) as is_ours:
        if is_ours:
            delete_folder(folder)
        return is_ours
