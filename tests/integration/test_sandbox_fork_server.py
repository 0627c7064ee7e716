"""The launcher that forks a process for each box, and what the service holds of it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from codebot.sandbox.fork_server import Child, ForkServer, Order
from fakes.forked import begin, said_by

LONG = 60.0


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    with closing(ForkServer()) as forks:
        yield forks


def launchers() -> set[int]:
    """Give the children of this process that are launchers."""
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    words = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in told}
    return {pid for pid, each in words.items() if b"launcher.py" in each}


def descriptors_of(pid: int) -> set[str]:
    return {path.name for path in Path(f"/proc/{pid}/fd").iterdir()}


def sleep() -> Order:
    return Order(["/bin/sleep", str(LONG)], {})


def end(child: Child, how: int) -> int:
    os.kill(child.pid, how)
    return child.wait(10)


def test_a_process_has_what_it_is_given_and_nothing_of_the_launchers(forks: ForkServer) -> None:
    looks = (
        "for n in {0..40}; do [ -e /proc/$$/fd/$n ] && echo -n $n,; done; echo; env; umask; "
        "exec grep -E 'SigIgn|SigBlk' /proc/self/status"
    )
    order = Order(["/bin/bash", "-c", looks], {"ITS": "own", "PATH": "/bin"})
    descriptors, *told = said_by(forks, order).splitlines()

    assert descriptors == "0,1,2,"
    assert "ITS=own" in told
    assert "SigBlk:\t0000000000000000" in told
    assert "SigIgn:\t0000000000000000" in told
    assert "0022" in told


def test_descriptors_get_their_numbers_whatever_they_are_here(
    forks: ForkServer, tmp_path: Path
) -> None:
    files = [(tmp_path / name).open("w+") for name in ("a", "b")]
    for file in files:
        file.write(Path(file.name).name)
        file.seek(0)
    first, second = (file.fileno() for file in files)
    reader, writer = os.pipe()
    given = {0: first, 1: writer, 2: 2, first: second, second: first}
    child = forks.fork(
        Order(["/bin/bash", "-c", f"cat; cat <&{first}"], {"PATH": "/bin"}), given, env={}
    )
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "ab"
    assert child.wait(10) == 0
    for file in files:
        file.close()


def test_a_process_gives_way_before_anything_of_it_runs(forks: ForkServer) -> None:
    order = Order(["/bin/cat", "/proc/self/stat", "/proc/self/oom_score_adj"], {})
    said = said_by(forks, Order(order.argv, {}, niceness=7, oom_score=600)).splitlines()
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert int(said[0].rpartition(")")[2].split()[16]) == min(19, mine + 7)
    assert said[1] == "600"


def test_it_is_a_child_of_the_service_in_a_session_of_its_own(forks: ForkServer) -> None:
    child = begin(forks, sleep())
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    assert (int(stat[1]), int(stat[3])) == (os.getpid(), child.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    assert end(child, signal.SIGKILL) == -signal.SIGKILL
    assert child.wait() == child.returncode == -signal.SIGKILL


def test_what_cannot_be_executed_says_so_and_the_next_is_begun(forks: ForkServer) -> None:
    assert begin(forks, Order(["/no/such/program"], {})).wait(10) == 1
    assert said_by(forks, Order(["/bin/echo", "on"], {})) == "on\n"


def test_signals_that_ask_the_service_to_end_do_not_end_the_launcher(forks: ForkServer) -> None:
    said_by(forks, Order(["/bin/true"], {}))
    [launcher] = launchers()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(launcher, number)
    assert said_by(forks, Order(["/bin/echo", "on"], {})) == "on\n"
    assert launchers() == {launcher}


def test_a_launcher_that_was_killed_is_started_again_and_boxes_live_on(forks: ForkServer) -> None:
    said_by(forks, Order(["/bin/true"], {}))
    [first] = launchers()
    child = begin(forks, sleep())
    os.kill(first, signal.SIGKILL)
    assert said_by(forks, Order(["/bin/echo", "on"], {})) == "on\n"
    assert first not in launchers()
    assert child.returncode is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    assert end(child, signal.SIGTERM) == -signal.SIGTERM


def test_a_launcher_ends_with_whoever_asks_it() -> None:
    forks = ForkServer()
    said_by(forks, Order(["/bin/true"], {}))
    assert len(launchers()) == 1
    del forks
    assert launchers() == set()


def test_many_processes_leave_nothing_in_the_launcher(forks: ForkServer) -> None:
    said_by(forks, Order(["/bin/true"], {}))
    [launcher] = launchers()
    held = descriptors_of(launcher)
    for _ in range(50):
        said_by(forks, Order(["/bin/true"], {}))
    until = time.monotonic() + 5
    while descriptors_of(launcher) != held and time.monotonic() < until:
        time.sleep(0.01)
    assert descriptors_of(launcher) == held
