"""A command that is told to end cleans up and ends, whatever it is doing and whoever started it."""

import signal
import subprocess
import sys

import pytest

from fakes.child import ending

PROGRAM = """
import asyncio, time
from contextlib import suppress
from codebot.cli.ending import end_as_interrupted, run_until_told
from codebot.sandbox.deaf import ignore_alone

def swallow_everything() -> None:
    with suppress(BaseException):
        print("working", flush=True)
        time.sleep(0.5)
    asyncio.get_running_loop().call_later(0.01, swallow_everything)

async def work() -> None:
    swallow_everything()
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.1)
        print("cleaned up", flush=True)

ignore_alone()
try:
    run_until_told(work())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("often", [1, 2])
@pytest.mark.parametrize("sigint", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_ends_work_in_its_own_time_also_where_ctrl_c_is_ignored(
    sigint: signal.Handlers, often: int
) -> None:
    started = subprocess.Popen(
        (sys.executable, "-c", PROGRAM),
        preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),  # noqa: PLW1509 - a shell's way
        text=True,
        stdout=subprocess.PIPE,
    )
    with ending(started) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        for _ in range(often):
            process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=20)
    assert told.splitlines()[-2:] == ["cleaned up", "interrupted"]
