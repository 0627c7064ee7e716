"""What a box may use, and that taking more ends it and nothing else."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import SIGXFSZ

import pytest

from codebot.domain.box import Bound, BoxLimits, BoxSpec, Exit, ExitReason, Network
from codebot.domain.task import TaskId
from codebot.sandbox import disk, watch
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.disk import PER_FILE, disk_of
from codebot.sandbox.limiting import NICENESS
from codebot.sandbox.memory import Use, use_of
from codebot.sandbox.program import find_bubblewrap
from fakes.egress import NoEgress

MEBIBYTE = 1024**2
LIMITS = BoxLimits(
    memory=96 * MEBIBYTE,
    disk=48 * MEBIBYTE,
    processes=40,
    open_files=64,
    file_size=32 * MEBIBYTE,
    free_disk=16 * MEBIBYTE,
)

HOARD = """
kept = []
while True:
    kept.append(bytearray(1 << 20))
"""
SHARED = """
import mmap, os, time
shared = mmap.mmap(-1, 60 << 20)
shared.write(b"x" * (60 << 20))
for _ in range(3):
    if os.fork() == 0:
        sum(shared[::4096])
        time.sleep(2)
        os._exit(0)
for _ in range(3):
    os.wait()
"""
MANY = """
import itertools
for number in itertools.count():
    open(f"file-{number}", "w").close()
"""
THREADS_TO_THE_END = """
import os, threading, time
try:
    while True:
        threading.Thread(target=time.sleep, args=(20,)).start()
except RuntimeError:
    time.sleep(1)
    os.abort()
"""
PROCESSES_TO_THE_END = """
import os, time
try:
    while os.fork():
        pass
    time.sleep(20)
except BlockingIOError:
    time.sleep(1)
    os.abort()
"""
FILES_TO_THE_END = """
import os, time
kept = []
try:
    while True:
        kept.append(open("/dev/null"))
except OSError:
    time.sleep(3)
    os.abort()
"""
MANY_PROCESSES = """
import os, time
made = 0
try:
    for _ in range(2000):
        if os.fork() == 0:
            time.sleep(30)
        made += 1
except BlockingIOError:
    print(made)
"""


@dataclass(frozen=True)
class Place:
    sandbox: BubblewrapSandbox
    folder: Path

    async def run(self, *argv: str, seconds: float = 60) -> tuple[Exit, str]:
        spec = BoxSpec(
            task_id=TaskId(str(self.folder)),  # a user of its own: others count its processes, too
            argv=argv,
            workspace=self.folder / "tree",
            home=self.folder / "home",
            network=Network.NONE,
            timeout=timedelta(seconds=seconds),
        )
        box = await self.sandbox.start(spec)
        said = b"".join([line async for line in box.stdout()])
        return await box.wait(), said.decode() + box.stderr_tail()

    async def python(self, script: str) -> tuple[Exit, str]:
        return await self.run("python3", "-c", script)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    for name in ("DISK_FIRST", "DISK_PAUSE"):
        monkeypatch.setattr(watch, name, 0.2)
    for name in ("tree", "home"):
        (tmp_path / name).mkdir(mode=0o700)
    sandbox = BubblewrapSandbox(
        find_bubblewrap(),
        path=os.environ["PATH"],
        mark=str(tmp_path),
        egress=NoEgress(),
        limits=LIMITS,
    )
    yield Place(sandbox, tmp_path)
    assert await sandbox.reap() == 0


async def test_memory_is_bounded(place: Place) -> None:
    ended, _ = await place.python(HOARD)
    assert ended.reason is ExitReason.MEMORY


async def test_files_in_memory_count_as_memory(place: Place) -> None:
    script = "for n in 1 2 3 4; do head -c 30000000 /dev/zero > /dev/shm/big-$n; done; sleep 30"
    ended, _ = await place.run("sh", "-c", script)
    assert ended.reason is ExitReason.MEMORY


async def test_memory_in_files_without_a_name_counts_as_well(place: Place) -> None:
    script = """
import os, time
for number in range(8):
    kept = os.memfd_create("kept")
    for _ in range(24):
        os.write(kept, bytes(1 << 20))
time.sleep(30)
"""
    ended, _ = await place.python(script)
    assert ended.reason is ExitReason.MEMORY


async def test_a_box_ends_for_what_a_second_look_confirms(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def too_much_once(firsts: list[int], limit: int, *, thoroughly: bool) -> dict[int, Use]:
        looks.append(thoroughly)
        return dict.fromkeys(firsts, Use(limit + 1 if len(looks) == 1 else 0))

    monkeypatch.setattr(watch, "use_of", too_much_once)
    ended, _ = await place.run("sleep", "1")
    assert ended == Exit(ExitReason.EXITED, 0)
    assert len(looks) > 1


async def test_when_the_machine_runs_short_the_largest_box_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "kept = bytearray(30 << 20); import time; time.sleep(20)"
    large = asyncio.create_task(place.python(script))
    small = asyncio.create_task(place.run("sh", "-c", "sleep 4; echo done"))
    await asyncio.sleep(1.5)
    monkeypatch.setattr(watch, "available_memory", lambda: 0)
    assert (await large)[0].reason is ExitReason.MEMORY
    monkeypatch.undo()
    assert (await small)[1] == "done\n"


async def test_memory_that_processes_share_counts_once(place: Place) -> None:
    assert await place.python(SHARED) == (Exit(ExitReason.EXITED, 0), "")


async def test_a_box_that_takes_too_much_takes_no_other_along(place: Place) -> None:
    greedy, modest = await asyncio.gather(
        place.python(HOARD), place.run("sh", "-c", "sleep 2; echo done")
    )
    assert greedy[0].reason is ExitReason.MEMORY
    assert modest == (Exit(ExitReason.EXITED, 0), "done\n")


async def test_the_disk_is_bounded_over_all_files(place: Place) -> None:
    script = "for n in 1 2 3 4; do head -c 20000000 /dev/zero > big-$n; done; sleep 30"
    ended, _ = await place.run("sh", "-c", script)
    assert ended.reason is ExitReason.DISK


PLENTY = (1 << 40, 1 << 30)
"""Bytes and files that are free."""


@pytest.mark.parametrize(
    "taken", [(LIMITS.disk + 1, 0), (0, LIMITS.disk // PER_FILE + 1)], ids=["bytes", "files"]
)
async def test_a_box_is_measured_when_that_is_due_or_much_of_the_disk_is_gone_and_not_before(
    place: Place, monkeypatch: pytest.MonkeyPatch, taken: tuple[int, int]
) -> None:
    measured: list[object] = []
    monkeypatch.setattr(watch, "DISK_FIRST", 60.0)
    monkeypatch.setattr(watch, "DISK_PAUSE", 60.0)
    monkeypatch.setattr(watch, "disk_of", lambda *told: measured.append(told) or 0)

    free = [PLENTY]  # other tests write to the same disk
    monkeypatch.setattr(watch, "free_space", lambda _: free.pop() if free[1:] else free[0])
    await place.run("sh", "-c", f"sleep {4 * watch.PAUSE}")
    assert measured == []

    free[:] = [(PLENTY[0] - taken[0], PLENTY[1] - taken[1]), PLENTY, PLENTY]
    await place.run("sh", "-c", f"sleep {4 * watch.PAUSE}")
    assert len(measured) == 1


def test_a_tree_is_measured_as_du_does_it(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"folder {number}").mkdir()
        (tmp_path / f"folder {number}" / "a\nfile").write_bytes(bytes(5000))
    os.link(tmp_path / "folder 1" / "a\nfile", tmp_path / "the same")
    (tmp_path / "outside").symlink_to("/usr")

    used, files = (_du(tmp_path, "--block-size=1"), _du(tmp_path, "--inodes"))
    assert disk_of([tmp_path], 1 << 40, find_bubblewrap(), os.environ) == used + files * PER_FILE


def _du(folder: Path, unit: str) -> int:
    said = subprocess.run(["du", "-s", unit, folder], capture_output=True, check=True).stdout
    return int(said.split()[0])


def test_a_tree_that_grows_as_it_is_measured_is_too_large_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "find"
    endless.write_text("#!/bin/sh\nexec yes 8\n")
    endless.chmod(0o755)
    monkeypatch.setattr(disk, "_FIND", str(endless))
    monkeypatch.setattr(disk, "_LONGEST_MEASURE", 5)

    size = disk_of([tmp_path], LIMITS.disk, find_bubblewrap(), os.environ)
    assert size is not None
    assert size > LIMITS.disk


def test_what_cannot_be_measured_in_time_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_FIND", "/bin/false")
    assert disk_of([tmp_path], LIMITS.disk, find_bubblewrap(), os.environ) is None

    slow = tmp_path / "find"
    slow.write_text("#!/bin/sh\necho 8\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(disk, "_FIND", str(slow))
    monkeypatch.setattr(disk, "_LONGEST_MEASURE", 0.5)
    assert disk_of([tmp_path], LIMITS.disk, find_bubblewrap(), os.environ) is None


async def test_many_empty_files_are_disk_as_well(place: Place) -> None:
    ended, _ = await place.python(MANY)
    assert ended.reason is ExitReason.DISK


async def test_home_counts_as_well(place: Place) -> None:
    script = "for n in 1 2 3; do head -c 20000000 /dev/zero > ~/big-$n; done; sleep 30"
    ended, _ = await place.run("sh", "-c", script)
    assert ended.reason is ExitReason.DISK


async def test_a_file_has_a_largest_size(place: Place) -> None:
    ended, _ = await place.run("sh", "-c", "exec head -c 40000000 /dev/zero > big")
    assert ended.code == -SIGXFSZ
    assert (place.folder / "tree" / "big").stat().st_size == LIMITS.file_size


@pytest.mark.parametrize(
    ("script", "named"),
    [
        (THREADS_TO_THE_END, Bound.PROCESSES),
        (PROCESSES_TO_THE_END, Bound.PROCESSES),
        (FILES_TO_THE_END, Bound.OPEN_FILES),
    ],
)
async def test_a_bound_that_was_reached_is_known_without_a_word(
    place: Place, script: str, named: Bound
) -> None:
    ended, said = await place.python(script)
    assert (ended.code, said, ended.reached) == (-6, "", named)


async def test_a_process_with_too_much_cpu_time_is_told_by_a_signal_of_its_own(
    place: Place,
) -> None:
    _, said = await place.run("bash", "-c", "ulimit -St; ulimit -Ht", seconds=7)
    soft, hard = map(int, said.split())
    assert soft < hard


async def test_processes_are_bounded(place: Place) -> None:
    _, said = await place.python(MANY_PROCESSES)
    assert 0 < int(said) < LIMITS.processes + 1000


async def test_open_files_are_bounded(place: Place) -> None:
    ended, said = await place.python("kept = [open('/dev/null') for _ in range(1000)]")
    assert (ended.code, "Too many open files" in said) == (1, True)


async def test_cpu_time_is_bounded_even_without_a_clock(place: Place) -> None:
    _, said = await place.run("sh", "-c", "ulimit -t", seconds=7)
    assert int(said) == 7 * (os.cpu_count() or 1) + 1


async def test_boxes_give_way_to_the_service(place: Place) -> None:
    _, said = await place.run("sh", "-c", "cat /proc/self/oom_score_adj; nice")
    assert said.split() == ["500", f"{min(os.nice(0) + NICENESS, 19)}"]


async def test_nothing_watches_while_nothing_runs(place: Place) -> None:
    await place.run("true")
    await asyncio.sleep(2 * watch.PAUSE)
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]


def test_a_box_that_still_sees_the_hosts_folders_is_not_held_to_what_lies_in_them() -> None:
    beginning = subprocess.Popen(["sleep", "60"])
    try:
        limit = LIMITS.memory
        assert use_of([beginning.pid], limit, thoroughly=True)[beginning.pid].memory < 16 * MEBIBYTE
    finally:
        beginning.kill()
        beginning.wait()
