"""What a command in a box may see of the service that started it."""

import ctypes

PR_SET_DUMPABLE = 4


def hide_environment() -> None:
    """Keep this process's memory and /proc/PID/environ from other processes of the same user.

    The service's credentials came in by its environment, and a command that runs directly on the
    host runs as the same user. Against root nothing helps but a box.
    https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")
