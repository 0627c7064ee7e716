"""What every sandbox promises, tried on every sandbox that there is, under both event loops."""

import asyncio
import gc
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Box, Sandbox
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.arguments import TOOLS
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.direct import DirectSandbox
from codebot.sandbox.program import find_bubblewrap
from codebot.sandbox.surroundings import SHELL
from fakes.egress import NoEgress

TASK = TaskId("task-1")
DESCRIPTORS = "/proc/self/fd"
CHILDREN = f"/proc/self/task/{os.getpid()}/children"
NUMBERS = itertools.count()
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Place:
    """A sandbox with a workspace to start commands in."""

    sandbox: Sandbox
    folder: Path
    nap: str
    """How long the processes of this test sleep: by this number they are known from others."""

    def spec(self, *argv: str, **more: Any) -> BoxSpec:
        fields: dict[str, Any] = {
            "task_id": TASK,
            "timeout": timedelta(seconds=20),
            "env": {"NAP": self.nap},
            **more,
        }
        return BoxSpec(
            argv=argv,
            workspace=self.folder / "tree",
            home=self.folder / "home",
            network=Network.NONE,
            **fields,
        )

    async def start(self, *argv: str, **more: Any) -> Box:
        return await self.sandbox.start(self.spec(*argv, **more))

    async def run(self, *argv: str, **more: Any) -> tuple[Exit, bytes, str]:
        box = await self.start(*argv, **more)
        output = b"".join([line async for line in box.stdout()])
        return await box.wait(), output, box.stderr_tail()

    async def sh(self, script: str, **more: Any) -> tuple[Exit, bytes, str]:
        return await self.run("sh", "-c", script, **more)


def direct(mark: str) -> Sandbox:
    return DirectSandbox(path=PATH, mark=mark)


def bubblewrap(mark: str) -> Sandbox:
    return BubblewrapSandbox(find_bubblewrap(), path=PATH, mark=mark, egress=NoEgress())


@pytest.fixture(params=[direct, bubblewrap], ids=lambda make: make.__name__)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    for name in ("tree", "home"):
        (tmp_path / name).mkdir(mode=0o700)
    sandbox = request.param(f"test-{tmp_path}")
    yield Place(sandbox, tmp_path, f"4711.{os.getpid()}{next(NUMBERS)}")
    assert await sandbox.reap() == 0, "a test left processes behind"


def sleeping(seconds: str) -> int:
    """Count the living `sleep` processes with this argument, which names the test they are of."""
    return sum(line == b"sleep\0%b\0" % seconds.encode() for line in command_lines())


def command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield entry.read_bytes()


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come true in time"
        await asyncio.sleep(0.01)


SUCCESS = Exit(ExitReason.EXITED, 0)


async def test_a_check_finds_no_fault_on_this_machine(place: Place) -> None:
    assert all(finding.ok for finding in await place.sandbox.check() if finding.required)


async def test_output_exit_code_and_stderr_come_back(place: Place) -> None:
    ended, out, err = await place.sh("echo hi; echo oops >&2; exit 3")
    assert (ended, out, err) == (Exit(ExitReason.EXITED, 3), b"hi\n", "oops\n")


async def test_it_runs_in_the_workspace_with_an_environment_of_its_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "a secret of the service")
    _, out, _ = await place.run("env", env={"GIVEN": "yes"})
    seen = dict(line.split("=", 1) for line in out.decode().splitlines())
    paths = place.sandbox.paths(place.folder / "tree", place.folder / "home")
    assert f":{TASK}:" in seen.pop("CODEBOT_BOX")
    assert seen.pop("PWD", str(paths.workspace)) == str(paths.workspace)
    assert seen.pop("HOSTNAME", "codebot") == "codebot"
    assert Path(seen.pop("TMPDIR", "/tmp")).is_absolute()
    path = seen.pop("PATH")
    assert path in {PATH, f"{PATH}:{TOOLS}"}
    assert seen == {
        "HOME": str(paths.home),
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": SHELL,
        "LANG": "C.UTF-8",
        "CI": "true",
        "GIVEN": "yes",
    }
    _, out, _ = await place.sh("pwd; echo writable > ${TMPDIR:-/tmp}/x")
    assert out.decode() == f"{paths.workspace}\n"


async def test_stdin_of_any_size_is_read_whole(place: Place) -> None:
    text = os.urandom(10_000_000)
    _, out, _ = await place.run("cat", stdin=text)
    assert out == text


async def test_a_command_may_ignore_a_large_stdin(place: Place) -> None:
    assert await place.run("true", stdin=b"x" * 10_000_000) == (SUCCESS, b"", "")


async def test_an_empty_stdin_ends_at_once(place: Place) -> None:
    assert await place.run("cat") == (SUCCESS, b"", "")


async def test_lines_of_many_megabytes_stay_whole(place: Place) -> None:
    box = await place.start("sh", "-c", "head -c 20000000 /dev/zero; echo; printf 'no end'")
    lines = [line async for line in box.stdout()]
    assert [len(line) for line in lines] == [20_000_001, 6]
    assert await box.wait() == SUCCESS


async def test_a_line_without_an_end_comes_in_pieces(place: Place) -> None:
    box = await place.start("head", "-c", "150000000", "/dev/zero")
    sizes = [len(line) async for line in box.stdout()]
    assert sum(sizes) == 150_000_000
    assert max(sizes) < 70_000_000


async def test_only_the_end_of_stderr_is_kept(place: Place) -> None:
    _, _, err = await place.sh("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo the end >&2")
    assert err.endswith("the end\n")
    assert len(err) == 8192


async def test_a_stderr_that_is_cut_begins_with_a_whole_line(place: Place) -> None:
    _, _, err = await place.sh("seq 10000 99999 >&2")
    assert len(err) > 8000
    assert {len(line) for line in err.splitlines()} == {5}


async def test_output_can_still_be_read_after_the_end(place: Place) -> None:
    box = await place.start("echo", "hi")
    await box.wait()
    assert [line async for line in box.stdout()] == [b"hi\n"]


async def test_a_wall_clock_ends_a_box(place: Place) -> None:
    ended, _, _ = await place.sh("sleep $NAP & sleep $NAP", timeout=timedelta(seconds=0.3))
    assert ended.reason is ExitReason.TIMEOUT
    assert not sleeping(place.nap)


async def test_a_flood_ends_a_box(place: Place) -> None:
    ended, out, _ = await place.run("yes", max_output=200_000)
    assert ended.reason is ExitReason.OUTPUT
    assert 200_000 <= len(out) < 20_000_000


async def test_a_flood_on_stderr_counts_as_well(place: Place) -> None:
    ended, _, _ = await place.sh("exec yes >&2", max_output=200_000)
    assert ended.reason is ExitReason.OUTPUT


async def test_a_flood_starves_nobody(place: Place) -> None:
    box = await place.start("yes")
    reading = asyncio.create_task(_read_all(box))
    for _ in range(10):
        before = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - before < 0.5
    await box.kill()
    await reading


async def _read_all(box: Box) -> None:
    async for _ in box.stdout():
        pass


async def test_waiting_twice_gives_the_same_answer(place: Place) -> None:
    box = await place.start("sh", "-c", "exit 7")
    answers = await asyncio.gather(box.wait(), box.wait())
    assert answers == [await box.wait()] * 2 == [Exit(ExitReason.EXITED, 7)] * 2


async def test_a_kill_after_the_end_changes_nothing(place: Place) -> None:
    box = await place.start("true")
    await box.wait()
    await asyncio.gather(box.kill(), box.interrupt(), box.terminate())
    assert await box.wait() == SUCCESS


async def test_an_interrupt_reaches_the_command_itself(place: Place) -> None:
    box = await place.start(
        "sh", "-c", "trap 'echo saved; exit 5' INT; echo up; while :; do sleep 0.05; done"
    )
    lines = box.stdout()
    assert await anext(lines) == b"up\n"
    await box.interrupt()
    assert [line async for line in lines] == [b"saved\n"]
    assert await box.wait() == Exit(ExitReason.EXITED, 5)


async def test_a_termination_reaches_the_whole_group(place: Place) -> None:
    box = await place.start("sh", "-c", "trap : TERM; echo up; sleep $NAP; echo over")
    lines = box.stdout()
    await anext(lines)
    await until(lambda: sleeping(place.nap))
    await box.terminate()
    assert [line async for line in lines][-1] == b"over\n"
    assert await box.wait() == SUCCESS


STUBBORN = """
trap '' INT TERM HUP
(setsid sleep $NAP &)
(env -i sleep $NAP &)
(setsid sh -c 'env -i sleep $NAP; true' &)
echo up
sleep $NAP
"""
"""Ignores signals; leaves daemons in sessions of their own and without its environment."""

DAEMONS = """
(setsid sh -c 'sleep $NAP' </dev/null >/dev/null 2>&1 &)
(env -i sleep $NAP &)
(setsid sh -c 'env -i sleep $NAP; true' &)
echo left
"""


async def test_a_kill_ends_every_process_in_whatever_session(place: Place) -> None:
    box = await place.start("setsid", "-w", "sh", "-c", STUBBORN)
    await anext(box.stdout())
    await until(lambda: sleeping(place.nap) == 4)
    await box.kill()
    assert not sleeping(place.nap)
    assert (await box.wait()).reason is ExitReason.KILLED


async def test_daemons_end_with_the_command_that_left_them(place: Place) -> None:
    ended, out, _ = await place.sh(DAEMONS)
    assert (ended, out) == (SUCCESS, b"left\n")
    assert not sleeping(place.nap)


async def test_a_box_leaves_the_boxes_of_other_tasks_alone(place: Place) -> None:
    other = await place.start("sh", "-c", "echo up; sleep $NAP; true", task_id=TaskId("task-10"))
    lines = other.stdout()
    await anext(lines)
    await place.sh("(setsid sleep 60 &)")
    assert await place.sandbox.reap(TASK) == 0
    assert sleeping(place.nap)
    await other.kill()


async def test_what_a_dead_service_left_is_reaped_by_task_and_in_all(place: Place) -> None:
    boxes = [
        await place.start(
            "sh", "-c", "echo up; (setsid sleep $NAP &) ; sleep $NAP", task_id=TaskId(task)
        )
        for task in ("a", "b")
    ]
    for box in boxes:
        await anext(box.stdout())
    await until(lambda: sleeping(place.nap) == 4)
    assert await place.sandbox.reap(TaskId("a")) >= 3
    assert sleeping(place.nap) == 2
    assert await place.sandbox.reap() >= 3
    assert not sleeping(place.nap)
    for box in boxes:
        assert (await box.wait()).code != 0


async def test_a_cancelled_wait_leaves_the_box_to_its_owner(place: Place) -> None:
    box = await place.start("sleep", place.nap)
    waiting = asyncio.create_task(box.wait())
    await until(lambda: sleeping(place.nap) == 1)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert sleeping(place.nap)
    await box.kill()
    assert not sleeping(place.nap)


async def test_a_missing_program_is_told_from_a_broken_one(place: Place) -> None:
    for missing in ("no-such-program-anywhere", "/no/such/program"):
        with pytest.raises(FileNotFoundError):
            await place.start(missing)
    (place.folder / "tree" / "text").write_text("no program")
    for broken in ("./text", "./"):
        with pytest.raises(SandboxError, match=r"cannot be started|Permission denied"):
            await _tried(place, broken)


async def _tried(place: Place, program: str) -> None:
    """Start it; a box is there before its program is, so there it ends with the reason."""
    ended, _, said = await place.run(program)
    assert ended.code != 0
    raise SandboxError(said)


async def test_a_missing_workspace_is_no_missing_program(place: Place) -> None:
    (place.folder / "tree").rmdir()
    with pytest.raises(SandboxError, match="tree: No such file or directory") as missing:
        await place.start("true")
    assert "Errno" not in missing.value.detail


async def test_boxes_leave_no_descriptor_and_no_zombie(place: Place) -> None:
    await place.sh("true")
    gc.collect()  # with the sandbox of another test, the line to its warden goes
    before = len(os.listdir(DESCRIPTORS))  # noqa: PTH208
    children = Path(CHILDREN).read_text()  # noqa: ASYNC240 - what others of this process started
    for _ in range(10):
        await asyncio.gather(
            *(place.sh("echo hi; sleep 0.01 & exit 1", stdin=b"x") for _ in range(4)),
            _killed(place),
        )
    with pytest.raises(FileNotFoundError):
        await place.start("no-such-program-anywhere")
    async with asyncio.timeout(10):  # a warden's line goes when its process has ended
        while len(os.listdir(DESCRIPTORS)) > before:  # noqa: ASYNC110, PTH208 - nobody tells
            await asyncio.sleep(0.05)
    assert Path(CHILDREN).read_text() == children  # noqa: ASYNC240


async def _killed(place: Place) -> None:
    await (await place.start("sleep", "60")).kill()
