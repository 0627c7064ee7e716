"""Ends what is left of boxes when their service is killed: also of those that only begin.

    python3 -ISs warden.py NAME=VALUE < PIPE

It waits for the end of a pipe whose other end the service holds, and nobody else. A byte before the
end says that nothing is left to do. Without one the service was killed: then every process whose
environment holds NAME=VALUE is, too. A box that runs ends by itself; one that is being made may
wait for ever for a bwrap that has died, or come up after it and not know.

It is a program of its own and imports nothing of Codebot: it is there all the time.
"""

import os
import signal
import sys
import time

PATIENCE = 1.0
"""Seconds in which something that was just being started may still show its environment."""

PAUSE = 0.01


def become_nobodys() -> None:
    """Leave the process that started this: it need not wait for it, and no signal comes along."""
    if os.fork():
        os._exit(0)
    os.setsid()


def end_all(variable: bytes) -> None:
    """End every process with this variable."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:  # noqa: PTH123
                    if variable in file.read().split(b"\0"):
                        os.kill(int(name), signal.SIGKILL)
            except OSError:
                continue  # gone, or somebody else's


def main() -> None:
    """Wait, then end what is left."""
    become_nobodys()
    if os.read(0, 1):
        return
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        end_all(os.fsencode(sys.argv[1]))
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
