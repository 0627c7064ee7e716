"""A repository is set up in a real box, and its tests run where no agent has been."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from uv import find_uv_bin

from codebot.domain.environment import Environment, SetUpState, TestCommand
from codebot.domain.outcome import Basis, Change, Checkout, Verdict, VerdictState
from codebot.domain.ports import Sandbox
from codebot.pipeline.testing import Trial
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.at_once import at_once
from fakes.clock import until
from fakes.egress import NoEgress
from fakes.git_http import git
from fakes.story import Act, Story, open_story
from fakes.workshop import task_id, work_branch

INSTALLS = """\
mkdir -p "$HOME/tool" node_modules junk
printf '#!/bin/sh\\ngrep -q "$1" shop.py\\n' >"$HOME/tool/check"
chmod +x "$HOME/tool/check"
echo >node_modules/dependency; echo >junk/cache
"""
MENDS = "echo '# mended' >> shop.py"
CHECKS = 'test -e node_modules/dependency && "$HOME/tool/check" mended'


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return BubblewrapSandbox(
        find_bubblewrap(),
        path="/usr/bin",
        mark=str(tmp_path),
        egress=NoEgress(),
        tools={"uv": Path(find_uv_bin())},
    )


def act(script: str) -> Act:
    return Act(script, turns=0)


def verdict_of(story: Story, round_: int = 1) -> Verdict:
    recorded = at_once(story.store.steps.result(story.run.id, "verify", round_))
    assert recorded is not None
    return TypeAdapter(Verdict).validate_json(recorded)


async def test_what_set_up_leaves_serves_agent_and_tests_and_is_no_part_of_the_change(
    tmp_path: Path, box: Sandbox
) -> None:
    works = f'test -x "$HOME/tool/check" && test -e junk/cache && {MENDS}'
    async with open_story(
        tmp_path, act(works), test_command=CHECKS, setup_command=INSTALLS, sandbox=box
    ) as story:
        result = await story.tell()

        assert result.failure is None
        assert verdict_of(story).state == VerdictState.PASSED
        environment = story.data("environment.set_up")
        assert (environment["state"], environment["source"]) == (SetUpState.READY, "the task")
        assert story.data("change.collected")["files"] == 1


async def test_a_submodule_is_no_hindrance(tmp_path: Path, box: Sandbox) -> None:
    async with open_story(tmp_path, act(MENDS), setup_command="echo >made", sandbox=box) as story:
        tip = git("rev-parse", "HEAD", cwd=story.origin).strip()
        git("update-index", "--add", "--cacheinfo", f"160000,{tip},lib", cwd=story.origin)
        git("commit", "-qm", "Borrow", cwd=story.origin)
        assert (await story.tell()).failure is None
        assert story.data("environment.set_up")["state"] == SetUpState.READY


async def test_what_an_agent_leaves_outside_its_commits_helps_no_test(
    tmp_path: Path, box: Sandbox
) -> None:
    cheats = (
        'printf "#!/bin/sh\\n" >"$HOME/tool/check"; chmod +x "$HOME/tool/check"; '
        "echo >node_modules/dependency; echo '# broken' >> shop.py"
    )
    async with open_story(
        tmp_path,
        *[act(cheats)] * 3,
        test_command=CHECKS,
        setup_command=INSTALLS,
        sandbox=box,
    ) as story:
        await story.tell()
        assert verdict_of(story, 3).state == VerdictState.FAILED


async def test_a_set_up_that_the_task_names_and_that_fails_costs_nothing(
    tmp_path: Path, box: Sandbox
) -> None:
    async with open_story(
        tmp_path,
        Act(MENDS),
        setup_command="echo no such mirror; exit 7",
        sandbox=box,
    ) as story:
        error = await story.fail()
        assert error.code == "set_up_failed"
        assert error.detail == "The set-up of the task ended with exit code 7."
        assert "no such mirror" in error.hint
        assert story.agent.jobs == []


async def test_what_is_set_up_is_told_while_it_is(tmp_path: Path, box: Sandbox) -> None:
    async with open_story(tmp_path, act(MENDS), setup_command=INSTALLS, sandbox=box) as story:
        await story.tell()
        kinds = story.kinds()
        begun = kinds.index("set_up.started")
        assert story.events()[begun].data == {"source": "the task"}
        assert kinds.index("environment.set_up") > begun


async def test_the_agents_box_has_the_environments_programs_first_and_a_python(
    tmp_path: Path, box: Sandbox
) -> None:
    says = 'setup = ["mkdir tools", "cp own-ls.sh tools/ls"]\nbin = ["tools"]\n'
    files = {".codebot.toml": says, "own-ls.sh": "#!/bin/sh\necho its own\n"}
    works = "ls >told; python -c 'print(6 * 7)' >>told; python3 -c 'print(7 * 7)' >>told"
    async with open_story(
        tmp_path, act(works), sandbox=box, test_command="cat told", files=files
    ) as story:
        await story.tell()
        assert verdict_of(story).output == "its own\n42\n49\n"


async def test_an_agent_may_change_a_lock_file_and_tests_may_not(
    tmp_path: Path, box: Sandbox
) -> None:
    project = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.8"\n'
    lock = 'version = 1\nrequires-python = ">=3.8"\n\n[[package]]\nname = "shop"\nversion = "1"\n'
    files = {"pyproject.toml": project, "uv.lock": f'{lock}source = {{ virtual = "." }}\n'}
    works = "sed -i '/^version/s/1/2/' pyproject.toml; uv lock --offline; env >told"
    tests = "! grep UV_FROZEN told; env | grep UV_FROZEN; git show --stat -- uv.lock; uv run env"
    async with open_story(
        tmp_path, act(works), sandbox=box, test_command=tests, files=files
    ) as story:
        await story.tell()
        verdict = verdict_of(story)
        assert verdict.exit_code == 0, verdict.output
        assert "uv.lock |" in verdict.output


async def test_what_fails_on_the_base_is_told_to_the_agent_once_that_is_known(
    tmp_path: Path,
) -> None:
    tests = "def test_good(): pass\ndef test_old(): assert 0\n"
    breaks = "printf 'def test_good(): assert 0\\ndef test_old(): assert 0\\n' >test_all.py"
    async with open_story(
        tmp_path,
        Act(breaks),
        Act(MENDS),
        test_command=f"{sys.executable} -m pytest -q",
        files={"test_all.py": tests},
    ) as story:
        await story.tell()
        told = story.agent.jobs[1]
        assert "These fail now, and not on the base branch: `test_all.test_good`." in told.prompt
        assert "`test_all.test_old`" in told.prompt
        assert "These fail before your change" in told.opening
        assert "`test_all.test_old`" in told.opening


async def test_the_bases_failures_are_not_the_changes(tmp_path: Path) -> None:
    tests = "def test_good(): pass\ndef test_old(): assert 0\n"
    async with open_story(
        tmp_path,
        Act(MENDS),
        test_command=f"{sys.executable} -m pytest -q",
        files={"test_all.py": tests},
    ) as story:
        result = await story.tell()

        assert result.failure is None
        compared = verdict_of(story).comparison
        assert compared.by == Basis.TESTS
        assert compared.inherited == ("test_all.test_old",)


@pytest.mark.parametrize("keys", ["", 'keys = ["deps"]\n', 'keys = ["./deps//old"]\n'])
@pytest.mark.parametrize("works", ["echo new >>deps/old", "git mv deps/old deps/new"])
async def test_a_change_of_what_decides_about_the_environment_is_set_up_anew(
    tmp_path: Path, box: Sandbox, keys: str, works: str
) -> None:
    says = f"{keys}setup = 'ls deps >~/seen; cat deps/* >>~/seen'\ntest = 'grep -w new ~/seen'\n"
    files = {".codebot.toml": says, "deps/old": "one\n"}
    async with open_story(
        tmp_path, act(works), sandbox=box, test_command=None, files=files
    ) as story:
        await story.tell()
        assert verdict_of(story).exit_code == 0


async def test_for_a_change_the_environment_is_updated(tmp_path: Path, box: Sandbox) -> None:
    says = "setup = 'echo one >>~/made'\nupdate = 'cp shop.py ~/updated; echo two >>~/made'\n"
    tests = "test = 'cat ~/made; grep mended ~/updated'\n"
    async with open_story(
        tmp_path, act(MENDS), sandbox=box, test_command=None, files={".codebot.toml": says + tests}
    ) as story:
        await story.tell()
        verdict = verdict_of(story)
        assert (verdict.exit_code, verdict.output) == (0, "one\ntwo\n# mended\n")


async def test_a_change_that_cannot_be_set_up_is_told_why(tmp_path: Path, box: Sandbox) -> None:
    files = {
        ".codebot.toml": "setup = '! grep broken deps'\ntest = '! grep broken deps >~/seen'\n",
        "deps": "one\n",
    }
    async with open_story(
        tmp_path, act("echo broken >deps"), sandbox=box, test_command=None, files=files
    ) as story:
        await story.tell()
        verdict = verdict_of(story)
        assert verdict.state == VerdictState.FAILED
        assert "codebot: before that, the set-up of .codebot.toml ended with" in verdict.output
        assert "The end of its output:\nbroken\n" in verdict.output
        assert "The end of its output:\nbroken" in story.agent.jobs[1].prompt


async def test_a_base_runs_behind_everybody_and_is_not_known_in_other_circumstances(
    tmp_path: Path, box: Sandbox
) -> None:
    async with open_story(
        tmp_path, act(MENDS), sandbox=box, test_command="nice", setup_command=INSTALLS
    ) as story:
        await story.tell()
        assert verdict_of(story).output == "5\n"
        testing, trial = story.pipeline.tools.testing, trial_of(story)
        assert trial.environment.test is not None
        assert (await testing.run_base(trial, trial.environment.test)).output == "15\n"
        assert await testing.known_base(trial) is not None
        assert trial.environment.layer is not None
        slow = replace(testing, timeout=testing.timeout * 2)
        layer = replace(trial.environment.layer, tree=tmp_path / "another" / "tree")
        recipe = trial.environment.recipe
        assert recipe is not None
        assert await slow.known_base(trial) is None
        for other in (
            replace(trial.environment, layer=layer),
            replace(trial.environment, recipe=replace(recipe, env={"STAGE": "test"})),
            replace(trial.environment, recipe=replace(recipe, bin=("tools",))),
        ):
            assert await testing.known_base(replace(trial, environment=other)) is None


@pytest.mark.parametrize(
    ("whole", "part", "by"),
    [
        ("false", "grep shop shop.py", "part"),
        ("no-such-linter", "grep shop shop.py", "part"),
        ("grep shop shop.py", "true", "whole"),
        ("false", "false", "whole"),
    ],
)
async def test_where_a_whole_command_tells_nothing_of_the_base_its_tests_are_held_to_it_alone(
    tmp_path: Path, box: Sandbox, whole: str, part: str, by: str
) -> None:
    files = {"shop.py": "shop = 1\n"}
    async with open_story(
        tmp_path, act(MENDS), sandbox=box, test_command="true", files=files
    ) as story:
        await story.tell()
        command = TestCommand(whole, "detected from Makefile", part)
        plain = trial_of(story)
        trial = replace(plain, environment=replace(plain.environment, test=command))
        testing = story.pipeline.tools.testing
        base = await testing.run_base(trial, command)
        assert base.command == (command if by == "whole" else command.alone)
        known = await testing.known_base(trial)
        assert known is None or known.passed == base.is_good
        collected = at_once(story.store.steps.result(story.run.id, "collect", 1))
        change = TypeAdapter(Change).validate_json(collected or "")
        verdict = await testing.judge(trial, change, base)
        assert verdict.command == base.command.command


def trial_of(story: Story) -> Trial:
    """Give what the story's change was tried by."""
    told = [
        at_once(story.store.steps.result(story.run.id, name, 0)) for name in ("prepare", "set_up")
    ]
    kinds = (TypeAdapter(Checkout), TypeAdapter(Environment))
    checkout, environment = (
        kind.validate_json(value or "") for kind, value in zip(kinds, told, strict=True)
    )
    assert isinstance(checkout, Checkout)
    assert isinstance(environment, Environment)
    return Trial(story.task, checkout, environment)


async def test_a_base_run_whose_task_is_cancelled_is_done_by_another_and_kept_right(
    tmp_path: Path, box: Sandbox
) -> None:
    command = TestCommand("echo up >> ~/up; sleep 0.5; test -e shop.py", "task")
    async with open_story(tmp_path, act(MENDS), sandbox=box) as story:
        testing = story.pipeline.tools.testing
        trials = [await another_trial(story, number) for number in (1, 2)]
        first = asyncio.create_task(testing.run_base(trials[0], command))
        await until((trials[0].checkout.repository.parent / "base" / "home" / "up").exists)
        second = asyncio.create_task(testing.run_base(trials[1], command))
        await asyncio.sleep(0.05)  # so that it waits
        first.cancel()
        await asyncio.wait([first])
        await box.reap(trials[0].task.id)  # as it is done with a task that was cancelled
        await story.workspaces.remove(trials[0].task.id)
        assert (await second).is_good
        assert (await testing.run_base(trials[1], command)).is_good


async def another_trial(story: Story, number: int) -> Trial:
    """Give a further task on the story's repository, ready to be worked on."""
    task = replace(story.task, id=task_id(number))
    repository = task.request.repository
    checkout = await story.workspaces.prepare(
        task.id, repository, None, story.forge, work_branch=work_branch(number)
    )
    return Trial(task, checkout, Environment(SetUpState.NOTHING_TO_DO))
