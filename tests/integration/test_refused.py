"""A change that the border refuses: the task fails with the finding, and its work stays here."""

import json
from pathlib import Path

import pytest

from codebot.domain.status import TaskStatus
from codebot.errors import ChangeRefused, PathProtected, SecretFound
from codebot.intake.bodies import task_details, task_state
from codebot.queue.failures import result_of
from fakes.git_http import git
from fakes.story import MENDS, Act, Story, open_story
from fakes.tokens import PROOF

TOKEN = PROOF["ghp"]
CASES = [
    pytest.param(
        f"mkdir -p .github/workflows && echo 'on: push' > .github/workflows/ci.yml; {MENDS}",
        *(PathProtected, ".github/workflows/ci.yml", "+on: push"),
        id="a workflow",
    ),
    pytest.param(
        f"echo 'T = \"{TOKEN}\"' > conf.py; {MENDS}",
        *(SecretFound, "conf.py:1", '+T = "***"'),
        id="a credential",
    ),
    pytest.param(
        f"ln -s /etc/passwd users; {MENDS}",
        *(ChangeRefused, "users", "+/etc/passwd"),
        id="a link out of the tree",
    ),
]


async def _fail(story: Story, kind: type[ChangeRefused]) -> None:
    """Let the run fail as the worker does."""
    with pytest.raises(kind) as refused:
        await story.tell()
    await story.queue.finish(story.run, result_of(refused.value))


@pytest.mark.parametrize(("script", "kind", "names", "shows"), CASES)
async def test_a_refused_change_fails_the_task_and_is_pushed_nowhere(
    tmp_path: Path, script: str, kind: type[ChangeRefused], names: str, shows: str
) -> None:
    async with open_story(tmp_path, Act(script)) as story:
        await _fail(story, kind)

        assert story.task.status is TaskStatus.FAILED
        assert story.task.failure is not None
        assert story.task.failure.code == kind.code
        assert names in story.task.failure.detail
        assert not story.task.failure.retryable
        assert "u/codebot" not in git("branch", "--all", cwd=story.origin)
        assert story.store.pull_requests.get(story.new.id) is None
        assert "tests.finished" not in story.kinds(), "it is not even tested"


@pytest.mark.parametrize(("script", "kind", "names", "shows"), CASES)
async def test_the_operator_can_look_at_what_was_refused(
    tmp_path: Path, script: str, kind: type[ChangeRefused], names: str, shows: str
) -> None:
    async with open_story(tmp_path, Act(script)) as story:
        await _fail(story, kind)

        error = task_state(story.task)["error"]
        assert names in error
        assert str(story.folder / "tree") in error
        assert (story.folder / "tree" / "shop.py").read_text().endswith("# mended\n")
        assert shows in (story.store.diffs.get(story.new.id) or "")
        said = f"{task_details(story.task)} {story.events()} {story.store.diffs.get(story.new.id)}"
        assert TOKEN not in said


async def test_nothing_that_the_tests_print_is_kept_unmasked(tmp_path: Path) -> None:
    prints = f"echo {TOKEN}; touch left-{TOKEN}; grep -q mended shop.py"
    async with open_story(tmp_path, Act(MENDS), test_command=prints) as story:
        await story.tell()
        verdict = story.store.steps.result(story.run.id, "verify", 1)

        assert verdict is not None
        recorded = json.loads(verdict)
        assert recorded["output"] == "***\n"
        assert recorded["leftovers"] == ["left-***"]


async def test_a_refusal_without_a_commit_to_look_at_is_told_all_the_same(tmp_path: Path) -> None:
    nested = f"git init -q inner; {MENDS}"
    async with open_story(tmp_path, Act(nested)) as story:
        await _fail(story, ChangeRefused)

        assert story.task.failure is not None
        assert str(story.folder / "tree") in story.task.failure.hint
        assert story.store.diffs.get(story.new.id) is None
