"""A disk that gets full while a task is worked on: that is said, and it goes on with room."""

from pathlib import Path

import pytest

from fakes.full_disk import Moment, tell_on_full_disk

WORK: list[Moment] = [("in", "prepare"), ("in", "set_up"), ("in", "work"), ("in", "verify")]
"""Moments after which something has to be written beside the database."""


@pytest.mark.parametrize("moment", WORK, ids=" ".join)
def test_a_step_without_room_names_the_disk_and_is_done_once_there_is_some(
    tmp_path: Path, moment: Moment
) -> None:
    told = tell_on_full_disk(tmp_path, full="work", moment=moment)

    ((code, detail, is_tried_again),) = told.errors
    assert code == "disk_full"
    assert str(tmp_path / "work") in detail
    assert is_tried_again
    assert told.outcome == "completed"
    assert told.launches == 1
    assert told.launches_without_room == (moment == ("in", "verify"))
    assert told.left == []


def test_a_mirror_without_room_is_fetched_once_there_is_some(tmp_path: Path) -> None:
    told = tell_on_full_disk(tmp_path, full="mirrors", moment=("in", "prepare"))

    assert [code for code, _, _ in told.errors] == ["disk_full"]
    assert told.outcome == "completed"
    assert told.left == []
