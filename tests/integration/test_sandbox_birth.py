"""A service that is killed takes every box along that it was just making, at whichever moment."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.child import ending
from hostile.variants import CHECKOUT, USERS, needed

HERE = Path(__file__).parent
LONGEST_DEATH = 10.0
"""Seconds, on a machine that is busy; alone it takes a tenth of one."""

DOOMED = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from codebot.domain.box import BoxSpec, Network
from codebot.domain.task import TaskId
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import Bubblewrap, find_bubblewrap
from fakes.egress import NoEgress

folder, nap, program = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
bwrap = find_bubblewrap()
if program:
    bwrap = Bubblewrap(Path(program), "0.8.0", (Path(program).parent,))
sandbox = BubblewrapSandbox(bwrap, path="/usr/bin", mark=str(folder), egress=NoEgress())

async def main():
    for number in range(1000):
        box = await sandbox.start(BoxSpec(
            task_id=TaskId(f"task-{number}"), argv=("sleep", nap), workspace=folder / "tree",
            home=folder / "home", network=Network.NONE, timeout=timedelta(seconds=60),
        ))
        print("up", flush=True)
        await box.kill()

print("begun", flush=True)
asyncio.run(main())
"""
WAITS_FOR_EVER = """#!/bin/sh
setsid sleep {nap} &
wait
"""
"""In place of bwrap: as one whose child waits for what it will never be told."""

MOMENTS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.045)
"""Seconds after one box was up, and began to be ended for the next: that takes about 50 ms."""

as_everybody = pytest.mark.parametrize("user", USERS)


def processes_with(word: str) -> Iterator[int]:
    """Give what has this on its command line or in its environment, and lives."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if word.encode() in told and state != "Z" and int(entry.name) != os.getpid():
                yield int(entry.name)


def until_gone(word: str) -> None:
    """Wait until nothing has this word any more."""
    until = time.monotonic() + LONGEST_DEATH
    while left := [*processes_with(word)]:
        assert time.monotonic() < until, left
        time.sleep(0.01)


def start(user: str, folder: Path, nap: str, program: str = "") -> subprocess.Popen[str]:
    """Start a service of this user that makes one box after the other."""
    uid = USERS[user]
    command = [sys.executable, "-c", DOOMED, str(folder), nap, program]
    if uid is not None:
        enter = [sys.executable, "-ISs", str(HERE.parent / "hostile/enter.py"), str(uid)]
        command = [*enter, *needed(), str(folder), "--", *command]
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT / 'tests'}",
    }
    return subprocess.Popen(command, env=env, cwd="/", stdout=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path: Path, user: str) -> Path:
    for place in (tmp_path, *(tmp_path / name for name in ("tree", "home"))):
        place.mkdir(mode=0o700, exist_ok=True)
        if USERS[user] is not None:
            os.chown(place, USERS[user] or 0, 0)
    return tmp_path


@as_everybody
def test_what_waits_for_a_bwrap_that_has_died_ends_with_the_service(
    folder: Path, user: str
) -> None:
    nap = f"51.{secrets.randbelow(10**9):09}"
    program = folder / "program" / "bwrap"
    program.parent.mkdir()
    program.write_text(WAITS_FOR_EVER.format(nap=nap))
    program.chmod(0o755)
    with ending(start(user, folder, nap, str(program))) as service:
        while "sleep" not in map(name_of, processes_with(nap)):
            assert service.poll() is None
            time.sleep(0.01)
        service.kill()
    until_gone(nap)


@as_everybody
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_box_that_is_being_made_ends_with_the_service(
    folder: Path, user: str, moment: float
) -> None:
    nap = f"52.{secrets.randbelow(10**9):09}"
    with ending(start(user, folder, nap)) as service:
        assert service.stdout
        assert [service.stdout.readline() for _ in range(2)] == ["begun\n", "up\n"]
        time.sleep(moment)
        service.kill()
    until_gone(nap)


def name_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
