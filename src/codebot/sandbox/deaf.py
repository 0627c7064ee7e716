"""What whoever started the service wants ignored is ignored by the service, and by nothing else.

A signal that is ignored stays so in every program that is started from there: under `nohup`, in a
script's background or beneath a runner of CI, an agent would not hear that it is to stop, and tests
would not be what they are elsewhere. https://man7.org/linux/man-pages/man7/signal.7.html
"""

import ctypes
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

_OF_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Python ignores these itself, and no program that it starts does."""

_OF_TERMINALS = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
"""Who hears one of these in place of ignoring it reads and writes a terminal in vain."""

_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
_SIZE_OF_SET = 8
_DEFAULT = bytes(32)
"""`struct kernel_sigaction` whose handler is SIG_DFL."""


def ignore_alone() -> None:
    """Go on ignoring what the starter wants ignored, but pass none of that on to programs.

    To be called first, by the main thread. A signal with a handler is back at its default in
    a program that is started; those of the terminal alone stay as they are.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ignored = _ignored(Path("/proc/self/status").read_text())
    for known in signal.valid_signals() & ignored - _OF_PYTHON - _OF_TERMINALS:
        signal.signal(known, _pay_no_heed)
    _forget(ignored - signal.valid_signals())


def _ignored(status: str) -> set[int]:
    r"""Read the numbers in the line SigIgn of a process's status.

    >>> sorted(_ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000080001002\n"))
    [2, 13, 32]
    """
    found = re.search(r"^SigIgn:\s*([0-9a-f]+)$", status, re.MULTILINE)
    bits = int(found[1], 16) if found else 0
    return {number + 1 for number in range(bits.bit_length()) if bits >> number & 1}


def _forget(hidden: Iterable[int]) -> None:
    """Reset those that the C library keeps for itself: it refuses to, the kernel does not."""
    call = _RT_SIGACTION.get(os.uname().machine)
    for number in hidden:
        if call is not None:
            ctypes.CDLL(None).syscall(call, number, _DEFAULT, None, _SIZE_OF_SET)


def _pay_no_heed(_number: int, _frame: FrameType | None) -> None:
    pass
