"""What becomes of a box that is half made when its service, or its task, goes away."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Network
from codebot.domain.task import TaskId
from codebot.errors import SandboxError
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import Bubblewrap
from fakes.egress import NoEgress

TASK = TaskId("task-1")


@dataclass(frozen=True)
class HalfMade:
    """A box whose bwrap has a child that waits for ever for what bwrap does next."""

    sandbox: BubblewrapSandbox
    starting: asyncio.Task[object]
    nap: str

    def children(self) -> list[int]:
        """Give the pids of what bwrap brought up."""
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if file.read_bytes() == f"sleep\0{self.nap}\0".encode():
                    found.append(int(file.parent.name))
        return found

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.children()) != count:  # noqa: ASYNC110 - what other processes do
                await asyncio.sleep(0.01)


@pytest.fixture
async def half_made(tmp_path: Path) -> AsyncIterator[HalfMade]:
    nap = f"60.{secrets.randbelow(10**12)}"
    program = tmp_path / "program" / "bwrap"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nsleep {nap} &\nwait\n")
    program.chmod(0o755)
    bubblewrap = Bubblewrap(program, "0.8.0", needs=(program.parent,))
    sandbox = BubblewrapSandbox(bubblewrap, path="/usr/bin", mark=str(tmp_path), egress=NoEgress())
    spec = BoxSpec(
        task_id=TASK,
        argv=("true",),
        workspace=tmp_path,
        home=tmp_path,
        network=Network.NONE,
        timeout=timedelta(seconds=20),
    )
    half_made = HalfMade(sandbox, asyncio.create_task(sandbox.start(spec)), nap)
    await half_made.until(1)
    yield half_made
    half_made.starting.cancel()
    await asyncio.wait({half_made.starting})
    await sandbox.reap()


async def test_a_box_that_a_dead_service_left_half_made_is_reaped(half_made: HalfMade) -> None:
    assert await half_made.sandbox.reap(TaskId("another")) == 0
    assert await half_made.sandbox.reap(TASK) == 2
    assert half_made.children() == []
    with pytest.raises(SandboxError, match="ended without a word"):
        await half_made.starting


async def test_a_start_that_is_given_up_leaves_nothing_half_made(half_made: HalfMade) -> None:
    half_made.starting.cancel()
    await asyncio.wait({half_made.starting})
    await half_made.until(0)
