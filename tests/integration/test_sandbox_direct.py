"""The sandbox that is none: what it does when the service dies, and what it cannot do."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox import processes
from codebot.sandbox.direct import DirectSandbox

PATH = "/usr/local/bin:/usr/bin:/bin"
DAEMON = "(setsid sh -c 'echo $$ > daemon; sleep 60' &); echo $$ > self; echo up; sleep 60"

ESCAPE = """
(env -i setsid sh -c 'echo $$ > escaped; sleep 60' &)
until test -s escaped; do sleep 0.01; done
echo up
"""


def a_spec(folder: Path, script: str, **more: Any) -> BoxSpec:
    return BoxSpec(
        task_id=TaskId("task-1"),
        argv=("sh", "-c", script),
        workspace=folder,
        home=folder,
        network=Network.NONE,
        timeout=timedelta(seconds=20),
        **more,
    )


def is_alive(pid: int) -> bool:
    process = processes.read_process(pid)
    return process is not None and process.is_alive


def pids(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("self", "daemon")]


async def until_there(*paths: Path) -> None:
    async with asyncio.timeout(10):
        while not all(path.exists() and path.stat().st_size for path in paths):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


SERVICE = f"""
import asyncio, sys
from pathlib import Path
from codebot.sandbox.direct import DirectSandbox
from test_sandbox_direct import a_spec
async def main():
    sandbox = DirectSandbox(path={PATH!r}, mark=sys.argv[1])
    box = await sandbox.start(a_spec(Path(sys.argv[1]), {DAEMON!r}))
    await box.wait()
asyncio.run(main())
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(tmp_path)], env={"PYTHONPATH": here, "PATH": PATH}
    )
    yield process
    process.kill()
    process.wait()


async def test_a_killed_service_finds_what_it_left_when_it_is_back(
    service: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    await until_there(tmp_path / "self", tmp_path / "daemon")
    service.send_signal(signal.SIGKILL)
    service.wait()
    assert all(map(is_alive, pids(tmp_path)))
    assert await DirectSandbox(path=PATH, mark="another").reap() == 0
    assert await DirectSandbox(path=PATH, mark=str(tmp_path)).reap(TaskId("task")) == 0
    assert await DirectSandbox(path=PATH, mark=str(tmp_path)).reap() == 4  # two shells, two sleeps
    assert not any(map(is_alive, pids(tmp_path)))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_an_event_loop_that_ends_takes_its_boxes_along(
    run: Callable[[Any], None], tmp_path: Path
) -> None:
    async def start_and_leave() -> None:
        box = await DirectSandbox(path=PATH, mark=str(tmp_path)).start(a_spec(tmp_path, DAEMON))
        await anext(box.stdout())
        await until_there(tmp_path / "daemon")

    run(start_and_leave())
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids(tmp_path))):  # killed, but nobody waited for it
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_a_daemon_that_escaped_holds_up_nobody(tmp_path: Path) -> None:
    """It has dropped environment, session and parents at once: `check` admits to that."""
    sandbox = DirectSandbox(path=PATH, mark=str(tmp_path))
    box = await sandbox.start(a_spec(tmp_path, ESCAPE))
    async with asyncio.timeout(5):
        assert [line async for line in box.stdout()] == [b"up\n"]
        assert await box.wait() == Exit(ExitReason.EXITED, 0)
    escaped = int((tmp_path / "escaped").read_text())
    assert is_alive(escaped), "better than it says: tell so in `check`"
    os.killpg(escaped, signal.SIGKILL)
    isolation = next(f for f in await sandbox.check() if f.name == "isolation")
    assert (isolation.ok, isolation.required) == (False, False)
    assert "outlives its task" in isolation.detail


async def test_a_home_with_something_in_the_way_of_tmp_is_named(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("in the way")
    with pytest.raises(SandboxError, match="tmp cannot be made"):
        await DirectSandbox(path=PATH, mark="x").start(a_spec(tmp_path, "true"))
