"""A task that failed and is retried: it goes on where it can, and begins anew where it cannot."""

from pathlib import Path

import pytest

from codebot.domain.run import QueueName
from codebot.domain.status import TaskStatus
from codebot.errors import AgentTimedOut, CodebotError, ForgeForbidden, NothingChanged
from codebot.queue.failures import result_of
from fakes.git_http import git
from fakes.story import BREAKS, MENDS, Act, Story, open_story

BY = "the API key 0123456789abcdef"


async def fail(story: Story) -> None:
    """Work on the run until it fails, for good."""
    try:
        result = await story.tell()
    except CodebotError as error:
        result = result_of(error)
    assert result.status is TaskStatus.FAILED
    await story.queue.finish(story.run, result)


async def retry(story: Story) -> None:
    await story.queue.retry(story.new.id, BY)
    story.run = await story.queue.claim(QueueName.TASKS)


def commits(story: Story) -> list[str]:
    """Give the subjects of what the branch has and its base has not."""
    return git("log", "--format=%s", f"main..{story.new.branch_name}", cwd=story.origin).split("\n")


async def test_where_the_forge_said_no_only_publishing_is_repeated(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.forge.refusal = ForgeForbidden("The App may not open pull requests.")
        await fail(story)
        paid = story.task.usage
        before = story.finished()
        story.forge.refusal = None

        await retry(story)
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert story.finished() == [*before, ("publish", 0)]
        assert len(story.agent.jobs) == 1
        assert story.task.usage == paid
        assert "run.resumed" in story.kinds()
        opened = await story.store.pull_requests.get(story.new.id)
        assert opened is not None
        assert opened.head == story.new.branch_name


async def test_another_node_publishes_what_the_first_had_collected(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.workspaces.node = "one"
        story.forge.refusal = ForgeForbidden("The App may not open pull requests.")
        await fail(story)
        story.forge.refusal = None

        story.workspaces.node = "two"
        await retry(story)
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 1
        assert "# mended" in git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
        await story.queue.finish(story.run, result)
        assert await story.store.parcels.get(story.run) is None


async def test_a_retry_that_dies_while_it_goes_on_goes_on(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(MENDS)) as story:
        story.forge.refusal = ForgeForbidden("The App may not open pull requests.")
        await fail(story)
        story.forge.refusal = None
        await retry(story)
        await story.tell_until("step.started", "publish")
        assert (await story.tell()).status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 1
        assert story.kinds().count("run.resumed") == 1
        assert story.kinds().count("pull_request.opened") == 1


@pytest.mark.parametrize(
    "first",
    [
        Act("true", error=AgentTimedOut("Silent.")),
        Act("true", error=NothingChanged("Nothing.")),
        Act("true"),
    ],
    ids=["it timed out", "the agent gave up", "it changed nothing"],
)
async def test_what_the_agent_did_not_do_is_begun_anew_with_the_same_words(
    tmp_path: Path, first: Act
) -> None:
    async with open_story(tmp_path, first, Act(MENDS)) as story:
        await fail(story)
        await retry(story)
        assert (await story.tell()).status is TaskStatus.COMPLETED

        one, two = story.agent.jobs
        assert all("Mend the shop" in job.prompt and not job.resume for job in (one, two))
        assert "run.resumed" not in story.kinds()
        assert commits(story) == ["Mend the shop"]


async def test_a_branch_of_an_earlier_run_is_replaced_and_there_is_one_pull_request(
    tmp_path: Path,
) -> None:
    async with open_story(
        tmp_path, *[Act(BREAKS)] * 3, Act(MENDS), test_command="grep -q mended shop.py"
    ) as story:
        await fail(story)
        draft = story.task.pull_request
        assert draft is not None

        await retry(story)
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert story.task.pull_request is not None
        assert story.task.pull_request.number == draft.number
        text = git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
        assert "# mended" in text
        assert "# broken" not in text


async def test_a_persons_commit_on_the_branch_stays(tmp_path: Path) -> None:
    async with open_story(
        tmp_path, *[Act(BREAKS)] * 3, Act(MENDS), test_command="grep -q mended shop.py"
    ) as story:
        await fail(story)
        git("switch", "-q", story.new.branch_name, cwd=story.origin)
        git("commit", "-q", "--allow-empty", "-m", "By hand", cwd=story.origin)
        git("switch", "-q", "main", cwd=story.origin)

        await retry(story)
        with pytest.raises(CodebotError, match="commits that Codebot did not make"):
            await story.tell()

        assert commits(story)[0] == "By hand"
        assert len(story.agent.jobs) == 3, "nobody works for a branch that cannot be pushed"


async def test_a_task_that_was_cancelled_begins_anew_on_its_own_branch(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(BREAKS), Act(MENDS), test_command=None) as story:
        await story.tell_until("step.finished", "collect")
        await story.queue.cancel(story.new.id, BY)
        await story.queue.finish(story.run, await story.tell())
        assert story.task.status is TaskStatus.CANCELLED
        assert story.task.branch_pushed

        await retry(story)

        assert (await story.tell()).status is TaskStatus.COMPLETED
        assert len(story.agent.jobs) == 2
        assert "# broken" not in git("show", f"{story.new.branch_name}:shop.py", cwd=story.origin)
