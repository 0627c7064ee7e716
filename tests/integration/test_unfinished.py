"""What a killed `codebot run` left is told from what lives, and from what ended."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from codebot.app.unfinished import SUFFIX, remove_unfinished, unfinished
from codebot.domain.task import TaskId
from codebot.errors import WorkspaceError
from fakes.workshop import task_id

Begin = Callable[[int], TaskId]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Leave the folder of a task as a run does that dies while it works on it."""

    def begun(number: int) -> TaskId:
        name = task_id(number)
        with suppress(KeyboardInterrupt), unfinished(tmp_path, name):
            (tmp_path / name).mkdir()
            raise KeyboardInterrupt
        return name

    return begun


def there(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def sweep(folder: Path) -> list[TaskId]:
    """Remove what was left; say of which tasks."""
    removed: list[TaskId] = []

    async def remove(name: TaskId) -> None:
        removed.append(name)
        (folder / name).rmdir()

    await remove_unfinished(folder, remove)
    return removed


async def test_what_a_dead_run_left_goes_with_its_mark(tmp_path: Path, begin: Begin) -> None:
    left = begin(1)
    assert there(tmp_path) == {left, f"{left}{SUFFIX}"}
    assert await sweep(tmp_path) == [left]
    assert there(tmp_path) == set()


async def test_what_a_living_run_works_on_stays(tmp_path: Path) -> None:
    with unfinished(tmp_path, task_id(1)):
        (tmp_path / task_id(1)).mkdir()
        assert await sweep(tmp_path) == []
        assert there(tmp_path) == {task_id(1), f"{task_id(1)}{SUFFIX}"}


async def test_the_folder_of_a_task_that_ended_stays_without_a_mark(tmp_path: Path) -> None:
    with unfinished(tmp_path, task_id(1)):
        (tmp_path / task_id(1)).mkdir()
    assert there(tmp_path) == {task_id(1)}
    assert await sweep(tmp_path) == []


async def test_a_run_that_cleaned_up_after_itself_leaves_no_mark(tmp_path: Path) -> None:
    with suppress(KeyboardInterrupt), unfinished(tmp_path, task_id(1)):
        raise KeyboardInterrupt
    assert there(tmp_path) == set()


async def test_what_cannot_be_removed_hinders_nobody(tmp_path: Path, begin: Begin) -> None:
    left = begin(1)

    async def remove(_: TaskId) -> None:
        raise WorkspaceError("It cannot be removed.")

    await remove_unfinished(tmp_path, remove)
    assert there(tmp_path) == {left, f"{left}{SUFFIX}"}


async def test_a_mark_of_no_task_removes_nothing(tmp_path: Path) -> None:
    for name in (f".{SUFFIX}", f"..{SUFFIX}", f"other{SUFFIX}"):
        (tmp_path / name).touch()
    assert await sweep(tmp_path) == []
