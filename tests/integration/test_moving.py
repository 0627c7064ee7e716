"""A run that goes on at another node than it began at."""

from pathlib import Path

import pytest

from codebot.domain.status import TaskStatus
from codebot.workspace import parcel
from fakes.story import MENDS, Act, open_story


async def test_what_is_too_large_to_be_kept_for_others_is_worked_on_anew_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "LARGEST", 10)
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.workspaces.node = "one"
        await story.tell_until("step.finished", "collect")

        story.workspaces.node = "two"
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 2
