"""What is made once for everybody, and kept while somebody holds it."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from codebot.errors import DiskFull
from codebot.workspace import shelf as shelves
from codebot.workspace.folders import disk_errors
from codebot.workspace.shelf import Shelf
from fakes.clock import until

HOLDER = """
import sys, time
from pathlib import Path
from codebot.workspace.shelf import Shelf
held = Shelf(Path(sys.argv[1])).take("a")
print(held is not None, flush=True)
time.sleep(60)
"""
MAKER = """
import asyncio, sys
from pathlib import Path
from codebot.workspace.shelf import Shelf
async def make(folder):
    (folder / "half").touch()
    print("made", flush=True)
    await asyncio.sleep(60)
asyncio.run(Shelf(Path(sys.argv[1])).hold("a", make))
"""


class Maker:
    """Makes entries, and counts how often it had to."""

    def __init__(self, pause: float = 0.0) -> None:
        self.made = 0
        self.pause = pause

    async def __call__(self, folder: Path) -> Mapping[str, str]:
        self.made += 1
        await asyncio.sleep(self.pause)
        (folder / "content").write_text("x" * 10_000)
        return {"what": "a test"}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def names(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.folder.iterdir()) if shelf.folder.exists() else []


async def other_process(script: str, shelf: Shelf) -> asyncio.subprocess.Process:
    command = (sys.executable, "-c", script, str(shelf.folder))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert process.stdout
    await process.stdout.readline()
    return process


async def test_an_entry_is_made_once_for_all_who_want_it(shelf: Shelf) -> None:
    make = Maker(pause=0.05)
    held = await asyncio.gather(*(shelf.hold("a", make) for _ in range(8)))
    again = await shelf.hold("a", make)
    assert make.made == 1
    assert {one.folder for one in (*held, again)} == {shelf.folder / "a"}
    for one in (*held, again):
        one.release()


async def test_what_is_kept_says_what_it_is_and_when_it_was_used_last(tmp_path: Path) -> None:
    now = 1000.0
    shelf = Shelf(tmp_path, clock=lambda: now)
    for name in ("a", "b"):
        (await shelf.hold(name, Maker())).release()
        now += 10
    (await shelf.hold("a", Maker())).release()
    oldest, newest = shelf.kept()
    assert (oldest.name, newest.name) == ("b", "a")
    assert newest.used_at == 1020
    assert newest.size > 10_000
    assert newest.about is not None
    assert (newest.about.made_at, newest.about.facts) == (1000.0, {"what": "a test"})


async def test_what_somebody_holds_is_not_removed(shelf: Shelf) -> None:
    first, second = [await shelf.hold("a", Maker()) for _ in range(2)]
    assert not shelf.evict("a")
    first.release()
    assert not shelf.evict("a")
    second.release()
    assert shelf.evict("a")
    assert names(shelf) == []


async def test_what_another_process_holds_is_not_removed_until_it_is_dead(shelf: Shelf) -> None:
    (await shelf.hold("a", Maker())).release()
    other = await other_process(HOLDER, shelf)
    assert not shelf.evict("a")
    other.kill()
    await other.wait()
    assert shelf.evict("a")


def test_a_disk_that_is_slow_to_write_delays_no_stop(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_written = threading.Event()
    monkeypatch.setattr(shelves, "_settle", lambda _: is_written.wait(20))
    began = time.monotonic()

    asyncio.run(shelf.hold("a", Maker())).release()

    assert time.monotonic() - began < 15
    is_written.set()


async def test_what_failed_leaves_nothing_and_can_be_tried_again(shelf: Shelf) -> None:
    async def fail(folder: Path) -> Mapping[str, str]:
        (folder / "half").write_text("x")
        with disk_errors(shelf.folder):
            raise OSError(28, "No space left on device", str(folder))

    with pytest.raises(DiskFull):
        await shelf.hold("a", fail)
    assert names(shelf) == []
    (await shelf.hold("a", Maker())).release()


async def test_who_is_cancelled_leaves_nothing(shelf: Shelf) -> None:
    making = asyncio.create_task(shelf.hold("a", Maker(pause=60)))
    await asyncio.sleep(0.05)
    assert len(names(shelf)) == 1
    making.cancel()
    await asyncio.wait({making})
    async with asyncio.timeout(5):
        while names(shelf):  # noqa: ASYNC110 - the work ends a moment after its last caller
            await asyncio.sleep(0.01)


async def test_what_a_killed_process_left_half_made_is_removed_and_nothing_else(
    shelf: Shelf,
) -> None:
    (await shelf.hold("b", Maker())).release()
    other = await other_process(MAKER, shelf)
    assert shelf.reap() == 0, "it is being made"
    other.kill()
    await other.wait()
    assert shelf.reap() == 1
    assert names(shelf) == ["b"]


async def test_what_no_disk_may_have_written_is_dropped_after_a_power_cut(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "_settle", lambda _: None)
    (await shelf.hold("unsettled", Maker())).release()
    monkeypatch.undo()
    (await shelf.hold("settled", Maker())).release()
    async with asyncio.timeout(10):
        while not (shelf.folder / "settled" / shelves.SETTLED).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert shelf.reap() == 0
    monkeypatch.setattr(shelves, "_boot", lambda: "another boot")
    assert shelf.reap() == 1
    assert names(shelf) == ["settled"]


async def test_an_entry_that_nobody_can_read_any_more_is_dropped(shelf: Shelf) -> None:
    (await shelf.hold("a", Maker())).release()
    about = shelf.folder / "a" / shelves.ABOUT
    for text in ("", "[]", json.dumps({"other": 1})):
        about.write_text(text)
        assert shelf.kept() == []
    assert shelf.reap() == 1
    assert names(shelf) == []


async def test_holds_cost_one_descriptor_each_and_give_it_back(shelf: Shelf) -> None:
    (await shelf.hold("a", Maker())).release()
    await until((shelf.folder / "a" / shelves.SETTLED).exists)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    held = [await shelf.hold("a", Maker()) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5  # noqa: PTH208
    for one in held:
        one.release()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_what_is_published_is_free_even_while_a_child_has_its_maker_open(
    tmp_path: Path,
) -> None:
    """As a child has that another thread forked, until it executes its program."""
    shelf = Shelf(tmp_path)
    made: list[Path] = []
    copies: list[int] = []

    async def make(folder: Path) -> dict[str, str]:
        made.append(folder)
        copies.extend(copies_of_all_that_opens(folder))
        return {}

    (await shelf.hold("a", make)).release()
    assert copies
    assert len(made) == 1
    for copy in copies:
        os.close(copy)


def copies_of_all_that_opens(folder: Path) -> Iterator[int]:
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if link.readlink() == folder:
                yield os.dup(int(link.name))
