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


def has_text(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def pids(folder: Path) -> list[int]:
    return [int((folder / name).read_text()) for name in ("self", "daemon")]


async def until_there(*paths: Path) -> None:
    async with asyncio.timeout(10):
        while not all(map(has_text, paths)):  # noqa: ASYNC110
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


LATE = """
(until test -s go; do sleep 0.01; done
 exec setsid sh -c 'env -i sleep 60 & echo $! > escaped; wait') &
echo $! > daemon
echo up
"""
"""Leaves what takes a session of its own, and then a child without environment, when told to."""


@pytest.mark.parametrize("moves_at", [1, 2])
async def test_a_daemon_that_moves_on_while_it_is_looked_at_takes_nothing_along(
    moves_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, looks, escaped = processes.Family.look, 0, tmp_path / "escaped"

    def look(self: processes.Family) -> processes.Look:
        nonlocal looks
        looks += 1
        seen = really(self)
        if looks == moves_at:
            (tmp_path / "go").write_text("now")
            deadline = time.monotonic() + 1
            while not has_text(escaped) and time.monotonic() < deadline:
                time.sleep(0.01)
        return seen

    monkeypatch.setattr(processes.Family, "look", look)
    box = await DirectSandbox(path=PATH, mark=str(tmp_path)).start(a_spec(tmp_path, LATE))
    assert await box.wait() == Exit(ExitReason.EXITED, 0)
    assert not is_alive(int((tmp_path / "daemon").read_text()))
    assert not has_text(escaped) or not is_alive(int(escaped.read_text()))


SLOW_EXEC = "(setsid sh -c 'echo $$ > daemon; sleep 60' &); until test -s daemon; do :; done"


async def test_a_daemon_that_is_seen_in_its_exec_again_and_again_ends_with_its_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine may leave a process there for longer than two looks take."""
    really, seen = processes._read, 0

    def read(pid: int, name: str) -> bytes | None:
        nonlocal seen
        found = really(pid, name)
        if found is None or str(tmp_path) not in str(really(pid, "environ")):
            return found
        seen += 1
        return b"" if seen < 20 else found

    monkeypatch.setattr(processes, "_read", read)
    box = await DirectSandbox(path=PATH, mark=str(tmp_path)).start(a_spec(tmp_path, SLOW_EXEC))
    assert await box.wait() == Exit(ExitReason.EXITED, 0)
    assert seen >= 20
    assert not is_alive(int((tmp_path / "daemon").read_text()))


async def test_a_process_that_took_its_command_line_away_holds_nothing_up_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LONGEST_EXEC", 0.05)
    monkeypatch.setattr(processes, "is_in_its_exec", lambda _: True)
    waits = "until test -s go; do sleep 0.01; done"
    box = await DirectSandbox(path=PATH, mark=str(tmp_path)).start(a_spec(tmp_path, waits))
    neighbour = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "go").write_text("now")
    async with asyncio.timeout(5):
        assert await box.wait() == Exit(ExitReason.EXITED, 0)
    assert is_alive(neighbour.pid)
    neighbour.kill()
    await neighbour.wait()


AS_PROCESS_2 = """
import os, subprocess
from codebot.sandbox.processes import process_table
with subprocess.Popen(["sleep", "60"]) as child:
    print(os.getpid(), child.pid in {process.pid for process in process_table()})
    child.kill()
"""


def test_the_children_of_process_2_of_a_container_are_nothing_of_the_kernels(
    tmp_path: Path,
) -> None:
    script = tmp_path / "look.py"
    script.write_text(AS_PROCESS_2)
    inside = f"{sys.executable} {script}; true"
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    said = subprocess.run([*unshare, "sh", "-c", inside], stdout=subprocess.PIPE, check=True)
    assert said.stdout == b"2 True\n"


async def test_a_home_with_something_in_the_way_of_tmp_is_named(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("in the way")
    with pytest.raises(SandboxError, match="tmp cannot be made"):
        await DirectSandbox(path=PATH, mark="x").start(a_spec(tmp_path, "true"))
