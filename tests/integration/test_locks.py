"""What was let go is free, even while a child that was forked in between still has it open."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from codebot.queue.lock import DataDirLock
from codebot.sandbox.uppers import Uppers
from codebot.workspace.file_lock import locked_file
from codebot.workspace.shelf import Hold, Shelf


@contextmanager
def of_a_box(folder: Path) -> Iterator[None]:
    (folder / "upper").mkdir(exist_ok=True)
    uppers = Uppers([folder / "upper"])
    yield
    uppers.release()


@contextmanager
def of_a_file(folder: Path) -> Iterator[None]:
    with locked_file(folder / "lock") as is_ours:
        assert is_ours
        yield


@contextmanager
def of_an_entry(folder: Path) -> Iterator[None]:
    shelf = Shelf(folder)
    (folder / "entry").mkdir(exist_ok=True)
    held = shelf.take("entry")
    assert isinstance(held, Hold)
    yield
    held.release()
    assert shelf.evict("entry")  # which takes the lock alone


LOCKS: tuple[Callable[[Path], AbstractContextManager[object]], ...]
LOCKS = (of_a_box, of_a_file, of_an_entry, DataDirLock)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.__name__)
def test_a_lock_ends_where_it_is_let_go(
    lock: Callable[[Path], AbstractContextManager[object]], tmp_path: Path
) -> None:
    with lock(tmp_path):
        pass
    before = opened()
    with lock(tmp_path):
        copies = [os.dup(number) for number, _ in opened() - before]  # as a forked child has them
    try:
        assert copies
        with lock(tmp_path):
            pass
    finally:
        for copy in copies:
            os.close(copy)


def opened() -> set[tuple[int, str]]:
    """Give what is open: the number, and of what."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing itself
            found.add((int(entry.name), str(entry.readlink())))
    return found
