"""What the service was started with says nothing about what it starts."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable

CALL = """
import signal, subprocess
from codebot.sandbox.deaf import ignore_alone
{}
signal.raise_signal(signal.SIGINT)
signal.raise_signal(signal.SIGHUP)
print(subprocess.check_output(("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"), text=True))
"""
NOTHING = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000"
HIDDEN = 32
RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
IGNORE = (1).to_bytes(8, sys.byteorder) + bytes(24)


def ignore(*numbers: int) -> Callable[[], None]:
    """Give what a starter does before it executes: the last of these the C library would refuse."""

    def do() -> None:
        import os

        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        for number in numbers:
            if number == HIDDEN:
                call = RT_SIGACTION[os.uname().machine]
                assert ctypes.CDLL(None).syscall(call, number, IGNORE, None, 8) == 0
            else:
                signal.signal(number, signal.SIG_IGN)

    return do


def started(program: str, *ignored: int) -> str:
    return subprocess.run(
        (sys.executable, "-c", program),
        preexec_fn=ignore(*ignored),  # the only way to begin like this
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout.strip()


def test_what_the_starter_ignores_is_ignored_by_the_service_and_by_nothing_else() -> None:
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGRTMIN, HIDDEN)
    assert started(CALL.format("ignore_alone()"), *ignored) == NOTHING
    assert started(CALL.format(""), *ignored) != NOTHING  # or this shows nothing


def test_a_signal_that_nobody_ignored_has_its_effect() -> None:
    program = CALL.format("ignore_alone()").replace("SIGHUP", "SIGTERM")
    ended = subprocess.run(
        (sys.executable, "-c", program), preexec_fn=ignore(signal.SIGINT), check=False
    )
    assert ended.returncode == -signal.SIGTERM
