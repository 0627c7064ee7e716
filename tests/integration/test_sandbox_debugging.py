"""Debuggers and sanitizers run in a box, and hold nothing of it but its own processes."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from codebot.domain.box import BoxSpec, Exit, ExitReason, Network
from codebot.domain.ports import Box
from codebot.domain.task import TaskId
from codebot.sandbox.bubblewrap import BubblewrapSandbox
from codebot.sandbox.program import find_bubblewrap
from fakes.egress import NoEgress

TRACING = """
import ctypes, os, signal, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
ATTACH, DETACH, SEIZE, INTERRUPT = 16, 17, 0x4206, 0x4207
def trace(request, pid):
    if libc.ptrace(request, pid, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
"""
LIKE_A_DEBUGGER = f"""{TRACING}
secret = ctypes.create_string_buffer(b"read me")
child = os.fork()
if child == 0:
    time.sleep(20)
trace(ATTACH, child)
os.waitpid(child, 0)
read = ctypes.create_string_buffer(7)
here = struct.pack("QQ", ctypes.addressof(read), 7)
there = struct.pack("QQ", ctypes.addressof(secret), 7)
libc.process_vm_readv(child, here, 1, there, 1, 0)
print(read.raw.decode())
"""
LIKE_LEAK_SANITIZER = f"""{TRACING}
parent = os.getpid()
libc.prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER, where the machine has Yama
child = os.fork()
if child == 0:
    trace(ATTACH, parent)
    os.waitpid(parent, 0)
    trace(DETACH, parent)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
LIKE_ADDRESS_SANITIZER = """
import mmap
for size in (15 << 40, 31 << 40):
    kept = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    kept[size // 2] = 1
    kept.close()
print("reserved")
"""
HOLD_THE_FIRST = f"""{TRACING}
trace(SEIZE, 1)
trace(INTERRUPT, 1)
os.waitpid(1, 0)
print("held", flush=True)
if sys.argv[1] == "stay":
    time.sleep(60)
"""

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
where_it_can_be_held = pytest.mark.skipif(
    YAMA.exists() and YAMA.read_text().strip() != "0",
    reason="this machine's Yama lets nobody trace but children, so pid 1 cannot be held",
)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Awaitable[Box]]:
    for name in ("tree", "home"):
        (tmp_path / name).mkdir(mode=0o700)
    sandbox = BubblewrapSandbox(
        find_bubblewrap(), path="/usr/bin", mark=str(tmp_path), egress=NoEgress()
    )

    async def start(*argv: str, seconds: float = 20) -> Box:
        return await sandbox.start(
            BoxSpec(
                task_id=TaskId("task"),
                argv=argv,
                workspace=tmp_path / "tree",
                home=tmp_path / "home",
                network=Network.NONE,
                timeout=timedelta(seconds=seconds),
            )
        )

    return start


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (LIKE_A_DEBUGGER, b"read me\n"),
        (LIKE_LEAK_SANITIZER, b"0\n"),
        (LIKE_ADDRESS_SANITIZER, b"reserved\n"),
    ],
)
async def test_what_debuggers_and_sanitizers_do_can_be_done(
    start: Callable[..., Awaitable[Box]], program: str, expected: bytes
) -> None:
    box = await start("python3", "-c", program)
    said = b"".join([line async for line in box.stdout()])
    assert (said, await box.wait()) == (expected, Exit(ExitReason.EXITED, 0)), box.stderr_tail()


@where_it_can_be_held
async def test_a_box_whose_first_process_is_held_is_ended_all_the_same(
    start: Callable[..., Awaitable[Box]],
) -> None:
    box = await start("python3", "-c", HOLD_THE_FIRST, "stay")
    assert await anext(box.stdout()) == b"held\n"
    begun = time.monotonic()
    await box.kill()
    assert time.monotonic() - begun < 5
    assert (await box.wait()).reason is ExitReason.KILLED


@where_it_can_be_held
async def test_a_box_whose_first_process_is_held_has_a_clock_all_the_same(
    start: Callable[..., Awaitable[Box]],
) -> None:
    box = await start("sh", "-c", f"python3 -c '{HOLD_THE_FIRST}' stay & sleep 1", seconds=3)
    assert (await box.wait()).reason is ExitReason.TIMEOUT
