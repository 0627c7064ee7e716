"""Real commands in a real tree, judged."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.environment import NO_ENVIRONMENT, TestCommand
from codebot.domain.outcome import Checkout, Verdict, VerdictState
from codebot.domain.task import TaskId
from codebot.sandbox.boxed import Boxed
from codebot.sandbox.direct import DirectSandbox
from codebot.verify.tests import run_tests
from codebot.verify.verdict import judge

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
    boxed = Boxed(sandbox, TASK, checkout)

    async def judged(command: str, limit: timedelta, source: str) -> Verdict:
        test = TestCommand(command, source)
        return judge(await run_tests(boxed, test, NO_ENVIRONMENT, limit=limit), None, "the-tip")

    def start(
        command: str, limit: timedelta = LONG, source: str = "task"
    ) -> "asyncio.Future[Verdict]":
        return asyncio.ensure_future(judged(command, limit, source))

    return start


async def test_a_command_that_ends_well_passes(run: Run) -> None:
    verdict = await run("echo fine; echo odd >&2; echo $CI")
    assert (verdict.state, verdict.exit_code) == (VerdictState.PASSED, 0)
    assert verdict.output == "fine\nodd\ntrue\n", "both streams, in order"
    assert (verdict.command, verdict.source) == ("echo fine; echo odd >&2; echo $CI", "task")
    assert verdict.commit == "the-tip"
    assert timedelta(0) < verdict.duration < LONG


async def test_nothing_but_what_a_ci_service_sets_is_set_for_tests(run: Run) -> None:
    verdict = await run("env | cut -d= -f1 | sort")
    shells = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert {*verdict.output.split()} - shells == {
        *("CI", "CODEBOT_BOX", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER"),
        "PYTEST_ADDOPTS",
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
    assert guessed.state is VerdictState.ENVIRONMENT


async def test_a_file_that_is_no_program_is_told(run: Run, checkout: Checkout) -> None:
    verdict = await run("./.gitignore")
    assert (verdict.state, verdict.exit_code) == (VerdictState.FAILED, 126)
    assert "may not be executed" in verdict.output


async def test_the_time_limit_ends_it_and_keeps_what_it_said(run: Run) -> None:
    verdict = await run("echo begun; sleep 60 & wait", timedelta(seconds=0.5))
    assert verdict.state is VerdictState.TIMED_OUT
    assert verdict.output.startswith("begun\n")
    assert verdict.duration < timedelta(seconds=10)


async def test_pytest_is_asked_what_each_test_said(run: Run, checkout: Checkout) -> None:
    (checkout.tree / "test_one.py").write_text("def test_good(): pass\ndef test_bad(): assert 0\n")
    verdict = await run(f"{sys.executable} -m pytest -q -p no:cacheprovider test_one.py")
    assert (verdict.state, verdict.tests) == (VerdictState.FAILED, 2)
    assert not list(checkout.tree.rglob("*.xml"))


async def test_a_file_that_cannot_be_collected_hides_no_other(run: Run, checkout: Checkout) -> None:
    (checkout.tree / "test_one.py").write_text("def test_good(): pass\n")
    (checkout.tree / "test_two.py").write_text("import what_is_not_there\n")
    verdict = await run(f"{sys.executable} -m pytest -q -p no:cacheprovider .")
    assert (verdict.state, verdict.tests) == (VerdictState.FAILED, 1)


async def test_unittests_failures_are_known_however_much_they_say(
    run: Run, checkout: Checkout
) -> None:
    bad = "".join(f" def test_{n}(self): raise ValueError('x' * 9000)\n" for n in range(20))
    text = f"import unittest\nclass T(unittest.TestCase):\n def test_good(self): pass\n{bad}"
    (checkout.tree / "test_one.py").write_text(text)
    verdict = await run(f"{sys.executable} -m unittest test_one")
    assert (verdict.state, verdict.tests) == (VerdictState.FAILED, 21)
    assert len(verdict.output) < 100_000


@pytest.mark.parametrize(
    "answer",
    [
        'ln -s /etc/passwd "$FILE"',
        'mkfifo "$FILE"',
        'mkdir "$FILE"',
        'truncate -s 1G "$FILE"',
        'printf x >"$FILE"; chmod 0 "$FILE"; printf y >"$HOME/other"; ln -f "$HOME/other" "$FILE"',
    ],
)
async def test_an_answer_that_is_no_plain_file_of_results_is_no_answer(
    run: Run, answer: str
) -> None:
    verdict = await run(f'FILE="${{PYTEST_ADDOPTS#*=}}"; {answer}')
    assert verdict.state is VerdictState.PASSED
    assert verdict.tests is None


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
