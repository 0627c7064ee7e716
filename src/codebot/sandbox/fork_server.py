"""The service's side of the launcher: asks it for the process of a box, and waits for that."""

import marshal
import os
import select
import socket
import struct
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.resources import files
from signal import SIGKILL

from codebot.sandbox.spawn import file_in_memory

LAUNCHER = str(files("codebot.sandbox").joinpath("launcher.py"))
ANSWER = struct.Struct("i")
LONGEST_ANSWER = 20.0
"""Seconds. It takes a millisecond or two; who does not answer by then is given up."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the launcher is to begin: see there, where the fields are told."""

    argv: Sequence[str]
    env: Mapping[str, str]
    uid: int | None = None
    network: bool = False
    mounts: Sequence[Mapping[str, object]] = ()
    niceness: int = 0
    oom_score: int = 0
    group: str | None = None

    def told(self, numbers: Sequence[int]) -> bytes:
        """Give what the launcher reads."""
        parent = {"parent": os.getpid(), "numbers": list(numbers)}
        return marshal.dumps(asdict(self) | parent)


class Child:
    """A child of this process that somebody else has forked: of a `Popen`, what boxes need."""

    def __init__(self, pid: int) -> None:
        """Take it over: nobody else waits for it."""
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Give its exit code, negative for a signal; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._wait_until_it_ends(timeout)
            _, status = os.waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def _wait_until_it_ends(self, timeout: float | None) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        finally:
            os.close(descriptor)


class ForkServer:
    """One launcher, from the first box on, as long as this object lives.

    What was killed is started again by the next box: boxes are children of this process, and do
    not notice.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._channel: socket.socket | None = None
        self._end: Callable[[], object] | None = None

    def fork(
        self, order: Order, descriptors: Mapping[int, int], *, env: Mapping[str, str]
    ) -> Child:
        """Give the process that begins what is ordered; raises `OSError`.

        It has our `descriptors` under the numbers that they are given for. `env` is that of the
        launcher itself, should it have to be started. To be called by the main thread: a process
        that is to end with its parent ends with the *thread* that started the launcher.
        """
        with file_in_memory(order.told([*descriptors])) as told:
            message = [told, *descriptors.values()]
            try:
                return Child(_ask(self._open(env), message))
            except (ConnectionError, TimeoutError):
                self.close()
            return Child(_ask(self._open(env), message))

    def close(self) -> None:
        """End the launcher; boxes go on."""
        if self._end is not None:
            self._end()
        self._channel = self._end = None

    def _open(self, env: Mapping[str, str]) -> socket.socket:
        if self._channel is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                launcher = subprocess.Popen(  # noqa: S603 - a program of our own
                    [sys.executable, "-ISs", LAUNCHER, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # or whoever reads the service's would wait for it
                    stderr=subprocess.DEVNULL,
                    env=dict(env),
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            ours.settimeout(LONGEST_ANSWER)
            self._channel = ours
            self._end = weakref.finalize(self, _dismiss, ours, launcher)
        return self._channel


def _ask(channel: socket.socket, descriptors: Sequence[int]) -> int:
    """Give the pid of the process that was forked."""
    socket.send_fds(channel, [b"."], descriptors)
    answer = channel.recv(ANSWER.size)
    if not answer:
        raise ConnectionResetError("the launcher has ended")
    (pid,) = ANSWER.unpack(answer)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    return int(pid)


def _dismiss(channel: socket.socket, launcher: subprocess.Popen[bytes]) -> None:
    """Let it see that nobody asks any more; what does not look is ended."""
    channel.close()
    try:
        launcher.wait(1)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            launcher.send_signal(SIGKILL)
        launcher.wait()
