"""Locks on files and folders (`flock`): the kernel lets go of them when who holds them dies."""

import fcntl
import os
from pathlib import Path

ALONE, TOGETHER = fcntl.LOCK_EX, fcntl.LOCK_SH


def try_to_lock(descriptor: int, kind: int = ALONE) -> bool:
    """Lock what is open, without waiting; say whether it is locked now."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold_file(path: Path) -> int | None:
    """Give a file locked, made if need be; None where somebody else has it, or took it away.

    Raises `OSError`.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if try_to_lock(lock) and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except FileNotFoundError:
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def let_go(descriptor: int) -> None:
    """Unlock what is open, and close it.

    A child that was forked a moment ago has the descriptor, too, until it executes its program:
    closing alone would leave the file locked for that long.
    """
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
