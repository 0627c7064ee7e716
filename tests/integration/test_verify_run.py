"""Real commands in a real tree, judged."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.outcome import Change, Checkout, Verdict, VerdictState
from codebot.domain.task import TaskId
from codebot.errors import SandboxError, VerifyError
from codebot.sandbox.direct import DirectSandbox
from codebot.verify.command import TestCommand
from codebot.verify.tests import run_tests

TASK = TaskId("0198c0de-0000-7000-8000-000000000001")
LONG = timedelta(seconds=20)


def git(tree: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=tree, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    tree, home = tmp_path / "tree", tmp_path / "home"
    tree.mkdir()
    home.mkdir()
    git(tree, "init", "-q")
    (tree / ".gitignore").write_text("ignored\n")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "Start")
    commit = git(tree, "rev-parse", "HEAD")
    return Checkout(tree, home, tmp_path / "r.git", tmp_path / "m.git", "main", commit)


@pytest.fixture
def sandbox() -> DirectSandbox:
    return DirectSandbox(path=os.environ["PATH"], mark=f"test-{os.getpid()}")


Run = Callable[..., "asyncio.Future[Verdict]"]


@pytest.fixture
def run(checkout: Checkout, sandbox: DirectSandbox) -> Run:
    change = Change(checkout.base_commit, "the-tip", checkout.base_commit, 1, ())

    def start(
        command: str, limit: timedelta = LONG, source: str = "task"
    ) -> "asyncio.Future[Verdict]":
        test = TestCommand(command, source)
        return asyncio.ensure_future(run_tests(sandbox, TASK, checkout, change, test, limit))

    return start


async def test_a_command_that_ends_well_passes(run: Run) -> None:
    verdict = await run("echo fine; echo odd >&2; echo $CI")
    assert (verdict.state, verdict.exit_code) == (VerdictState.PASSED, 0)
    assert verdict.output == "fine\nodd\ntrue\n", "both streams, in order"
    assert (verdict.command, verdict.source) == ("echo fine; echo odd >&2; echo $CI", "task")
    assert verdict.commit == "the-tip"
    assert timedelta(0) < verdict.duration < LONG
    assert verdict.leftovers == ()


async def test_nothing_but_what_a_ci_service_sets_is_set_for_tests(run: Run) -> None:
    verdict = await run("env | cut -d= -f1 | sort")
    shells = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {*verdict.output.split()} - shells == {
        *("CI", "CODEBOT_BOX", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER"),
    }


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 3", 3),
        ("false | tee log-of-it >/dev/null", 1),
        ("false; echo but go on", 1),
        ("false\necho but go on", 1),
        ("kill -SEGV $$", 139),
        ("sh -c 'kill -TERM $$'", 143),
    ],
)
async def test_a_failure_anywhere_fails(run: Run, command: str, code: int) -> None:
    verdict = await run(command)
    assert (verdict.state, verdict.exit_code) == (VerdictState.FAILED, code)


async def test_a_program_that_is_not_there_is_told(run: Run) -> None:
    verdict = await run("no-such-program --all")
    assert (verdict.state, verdict.exit_code) == (VerdictState.FAILED, 127)
    assert "`no-such-program --all` is not installed" in verdict.output
    guessed = await run("no-such-program", source="detected from Makefile")
    assert guessed.state is VerdictState.NOT_VERIFIED


async def test_a_file_that_is_no_program_is_told(run: Run, checkout: Checkout) -> None:
    verdict = await run("./.gitignore")
    assert (verdict.state, verdict.exit_code) == (VerdictState.FAILED, 126)
    assert "may not be executed" in verdict.output


async def test_the_time_limit_ends_it_and_keeps_what_it_said(run: Run) -> None:
    verdict = await run("echo begun; sleep 60 & wait", timedelta(seconds=0.5))
    assert verdict.state is VerdictState.TIMED_OUT
    assert verdict.output.startswith("begun\n")
    assert verdict.duration < timedelta(seconds=10)


async def test_what_the_run_leaves_behind_is_named(run: Run, checkout: Checkout) -> None:
    (checkout.tree / "lay there before").touch()
    verdict = await run("touch new ignored; mkdir d; touch d/x; echo '#' >> .gitignore")
    assert verdict.leftovers == (".gitignore", "d/", "lay there before", "new")


async def test_bytecode_is_made_as_anywhere_and_not_named(run: Run) -> None:
    verdict = await run("mkdir d; touch d/x.py d/junk; python3 -c 'import d.x'; ls -A d")
    assert "__pycache__" in verdict.output
    await run("git add d/x.py d/junk")
    verdict = await run("touch d/new")
    assert verdict.leftovers == ("d/junk", "d/new", "d/x.py")


async def test_what_lay_beside_the_commit_is_named_even_if_the_run_removes_it(
    run: Run, checkout: Checkout
) -> None:
    (checkout.tree / "helper").touch()
    verdict = await run("rm helper")
    assert verdict.leftovers == ("helper",)


async def test_a_run_that_wrecks_the_repository_is_told(run: Run) -> None:
    verdict = await run("rm -rf .git")
    assert verdict.state is VerdictState.PASSED
    assert ".git" in verdict.leftovers


async def test_another_commit_than_the_collected_one_is_not_tested(
    run: Run, checkout: Checkout
) -> None:
    git(checkout.tree, "commit", "-qm", "Moved on", "--allow-empty")
    with pytest.raises(VerifyError, match="not at"):
        await run("touch proof")
    assert not (checkout.tree / "proof").exists()


async def test_without_a_command_nothing_runs(checkout: Checkout, sandbox: DirectSandbox) -> None:
    change = Change(checkout.base_commit, "the-tip", checkout.base_commit, 1, ())
    verdict = await run_tests(sandbox, TASK, checkout, change, None, LONG)
    assert verdict.state is VerdictState.NOT_VERIFIED
    assert verdict.commit == "the-tip"


async def test_a_run_that_is_cancelled_leaves_no_process(
    run: Run, checkout: Checkout, sandbox: DirectSandbox
) -> None:
    running = run("touch begun; sleep 60")
    async with asyncio.timeout(10):
        while not (checkout.tree / "begun").exists():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await sandbox.reap(TASK) == 0


async def test_a_machine_without_git_is_told(checkout: Checkout) -> None:
    bare = DirectSandbox(path=str(checkout.home), mark="bare")
    change = Change(checkout.base_commit, "the-tip", checkout.base_commit, 1, ())
    with pytest.raises(SandboxError, match="no git"):
        await run_tests(bare, TASK, checkout, change, TestCommand("true", "task"), LONG)
