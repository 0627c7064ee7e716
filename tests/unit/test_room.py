"""What fails on a full disk failed of that, and of nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from codebot.domain.ports import Sandbox
from codebot.errors import AgentCrashed, DiskFull, StepFailed
from codebot.sandbox.room import on_room

FOLDER = Path("/srv/task/tree")


class Disk:
    """A sandbox as far as its disk is concerned: room or none, look by look."""

    def __init__(self, looks: Sequence[bool]) -> None:
        self._looks = iter(looks)

    def has_room(self, folder: Path) -> bool:
        assert folder == FOLDER
        return next(self._looks)


def disk(*, has_room: Sequence[bool]) -> Sandbox:
    return cast("Sandbox", Disk(has_room))


def test_nothing_is_begun_without_room() -> None:
    with pytest.raises(DiskFull, match=str(FOLDER)), on_room(disk(has_room=[False]), FOLDER):
        pytest.fail("this was begun")


@pytest.mark.parametrize(("has_room", "raised"), [(True, AgentCrashed), (False, DiskFull)])
def test_what_fails_when_no_room_is_left_failed_of_that(
    raised: type[StepFailed], *, has_room: bool
) -> None:
    with pytest.raises(raised), on_room(disk(has_room=[True, has_room]), FOLDER):
        raise AgentCrashed("The agent ended with exit code 1.")


def test_a_full_disk_is_worth_another_try() -> None:
    assert DiskFull(FOLDER).retry_after is not None
