"""A change that the border refuses goes back once; then the task fails, and its work stays here."""

import asyncio
import json
from pathlib import Path

import pytest

from codebot.domain.budget import Caps
from codebot.domain.status import TaskStatus
from codebot.errors import ChangeRefused, PathProtected, SecretFound
from codebot.intake.bodies import task_details, task_state
from codebot.queue.failures import result_of
from fakes.clock import until
from fakes.git_http import git
from fakes.story import MENDS, ONE_TURN, Act, Story, open_story
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
        assert await story.store.pull_requests.get(story.new.id) is None
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
        diff = await story.store.diffs.get(story.new.id)
        assert shows in (diff or "")
        said = f"{task_details(story.task)} {story.events()} {diff}"
        assert TOKEN not in said


async def test_nothing_that_the_tests_print_is_kept_unmasked(tmp_path: Path) -> None:
    report = f"<testsuite><testcase name='{TOKEN}'><failure/></testcase></testsuite>"
    answers = f'echo "{report}" >"${{PYTEST_ADDOPTS#*=}}"'
    prints = f"{answers}; echo {TOKEN}; false"
    async with open_story(tmp_path, Act(MENDS), test_command=prints) as story:
        await story.tell()
        verdict = await story.store.steps.result(story.run.id, "verify", 1)

        assert verdict is not None
        recorded = json.loads(verdict)
        assert recorded["output"] == "***\n"
        assert recorded["comparison"]["inherited"] == ["***"]


async def test_a_refusal_without_a_commit_to_look_at_is_told_all_the_same(tmp_path: Path) -> None:
    nested = f"git init -q inner; {MENDS}"
    async with open_story(tmp_path, Act(nested)) as story:
        await _fail(story, ChangeRefused)

        assert story.task.failure is not None
        assert str(story.folder / "tree") in story.task.failure.hint
        assert await story.store.diffs.get(story.new.id) is None


# --- Back to the agent -----------------------------------------------------------------------

SINS = (
    "mkdir -p .github/workflows && echo 'on: push' > .github/workflows/ci.yml; "
    "echo 'on: pull_request' > .github/workflows/lint.yml; "
    f"echo 'T = \"{TOKEN}\"' > conf.py; ln -s /etc/passwd users; git init -q inner; "
    "git -C inner -c user.name=a -c user.email=a@localhost commit -q --allow-empty -m Inner; "
    f"{MENDS}; git add . ; git commit -qm All"
)
"""One of each kind, and two of one, in a commit of the agent's own."""

REPENTS = "git reset -q --soft HEAD~1; git rm -rqf --cached .; rm -rf .github conf.py users inner"


async def test_a_refusal_goes_back_to_the_agent_which_mends_it(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(SINS), Act(REPENTS)) as story:
        result = await story.tell()

        assert result.status is TaskStatus.COMPLETED
        assert story.finished() == [
            *[("prepare", 0), ("set_up", 0)],
            *[("work", 1), ("collect", 1)],
            *[("work", 2), ("collect", 2), ("verify", 2)],
            ("publish", 0),
        ]
        assert story.task.usage == ONE_TURN + ONE_TURN
        names = git("log", "--name-only", "--format=", f"main..{story.new.branch_name}",
                    cwd=story.origin)  # fmt: skip
        assert names == "shop.py"
        diff = await story.store.diffs.get(story.new.id) or ""
        assert "# mended" in diff
        assert "workflows" not in diff


async def test_the_agent_is_told_every_reason_at_once_and_what_to_do(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(SINS), Act(REPENTS)) as story:
        await story.tell()

        first, second = story.agent.jobs
        assert second.session_id == first.session_id
        told = second.prompt
        for finding in (
            *(".github/workflows/ci.yml", ".github/workflows/lint.yml", "users", "inner"),
            *("conf.py:1 (GitHub token)", "to an absolute path"),
        ):
            assert finding in told
        base = git("rev-parse", "main", cwd=story.origin)
        for remedy in ("say in the summary", "put one together from parts", f"--soft {base}"):
            assert remedy in " ".join(told.split())
        assert "CODEBOT_PROTECTED_PATHS" not in told, "that is for people"
        [refused] = [event.data for event in story.events() if event.type == "change.refused"]
        assert refused["code"] == SecretFound.code, "the gravest of them"
        assert TOKEN not in told + str(refused)


@pytest.mark.parametrize(
    ("script", "where"),
    [
        ("echo KEY > found.txt", "in found.txt;"),
        ("mkdir KEY; echo KEY > KEY/x", "in a name in the top folder;"),
        ("git commit -q --allow-empty -m 'Use KEY'; touch x", "in the message of commit "),
    ],
)
async def test_a_credential_of_the_service_is_told_by_its_place_alone(
    tmp_path: Path, script: str, where: str
) -> None:
    key = "sk-ant-cAnArY-0123456789"
    async with open_story(tmp_path, Act(script.replace("KEY", key))) as story:
        story.redactor.add(key)
        with pytest.raises(SecretFound):
            await story.tell()

        told = story.agent.jobs[1].prompt
        assert f"holds a credential of this service {where}" in told
        assert key not in told + str(story.events())


async def test_a_second_refusal_ends_the_task(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(SINS), Act("true"), Act(REPENTS)) as story:
        await _fail(story, SecretFound)
        assert len(story.agent.jobs) == 2
        assert story.kinds().count("change.refused") == 1


async def test_a_round_for_a_refusal_is_one_of_the_three(tmp_path: Path) -> None:
    tested = "grep -q mended shop.py && false"
    acts = (Act(MENDS), Act(MENDS), Act("ln -s /etc/passwd users"), Act("rm users"))
    async with open_story(tmp_path, *acts, test_command=tested) as story:
        await _fail(story, ChangeRefused)
        assert len(story.agent.jobs) == 3


async def test_a_refusal_goes_back_only_while_there_is_something_left_to_spend(
    tmp_path: Path,
) -> None:
    caps = Caps(max_turns=1, max_budget_usd=10.0)
    async with open_story(tmp_path, Act(SINS), Act(REPENTS), caps=caps) as story:
        await _fail(story, SecretFound)
        assert len(story.agent.jobs) == 1


async def test_what_the_agent_cannot_mend_does_not_go_back(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(f"{MENDS}; cd ..; mv tree moved; ln -s moved tree")) as one:
        await _fail(one, ChangeRefused)
        assert len(one.agent.jobs) == 1


async def test_a_run_that_is_killed_after_a_refusal_goes_on_with_it(tmp_path: Path) -> None:
    async with open_story(tmp_path, Act(SINS), Act(f"sleep 0.1; {REPENTS}")) as story:
        await story.tell_until("change.refused")
        assert (await story.tell()).status is TaskStatus.COMPLETED
        assert story.finished().count(("collect", 1)) == 1
        assert "lint.yml" in story.agent.jobs[-1].prompt


async def test_a_run_that_is_killed_while_the_agent_mends_does_not_judge_the_old_work_again(
    tmp_path: Path,
) -> None:
    half = Act("git reset -q --soft HEAD~1; git rm -rqf --cached .github; sleep 60")
    async with open_story(tmp_path, Act(SINS), half, Act(f"git add .; {REPENTS}")) as story:
        telling = asyncio.create_task(story.tell())
        await until(lambda: len(story.agent.jobs) == 2)
        telling.cancel()
        await asyncio.wait([telling])
        await story.claim_again()

        story.agent.jobs.append(story.agent.jobs[-1])
        result = await story.tell()
        assert result.status is TaskStatus.COMPLETED
        assert story.finished().count(("collect", 1)) == 1
        assert story.kinds().count("change.refused") == 1
