"""The streams that a command begins with: there, and no work ends for what they cannot take.

Whoever reads may go away (`| head`, a terminal that is closed, a `tee` that was ended), and a disk
may be full. A task that is paid for goes on then, and a service serves.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

STDIN, STDOUT, STDERR = 0, 1, 2


class Unfailing:
    """A stream to write to; `failure` is why something of what was written is lost, if it is.

    One that is `whole` is lost from there on; a log goes on when its disk has room again.
    """

    def __init__(self, stream: TextIO, *, whole: bool) -> None:
        """Write to `stream`, as long as it takes something."""
        self._stream = stream
        self._whole = whole
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write it, or lose it."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else a stream has
        """Be the stream in all else."""
        return getattr(self._stream, name)

    def give_up(self) -> None:
        """Let what is still on its way go to nobody, when the interpreter ends at the latest."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)

    def _try(self, say: Callable[[], object]) -> None:
        try:
            say()
        except OSError as error:
            self.failure = self.failure or error
            if self._whole or isinstance(error, BrokenPipeError):
                self.give_up()


@contextmanager
def unfailing_streams() -> Iterator[Unfailing]:
    """Have stdout and stderr fail nobody for the block; give stdout.

    What is not open leads nowhere. The next file that is opened would get its number otherwise, and
    be what programs that are started read and write.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _open_all()
    sys.stdin = sys.stdin or os.fdopen(STDIN, closefd=False)
    out = Unfailing(sys.stdout or os.fdopen(STDOUT, "w", closefd=False), whole=True)
    told = Unfailing(sys.stderr or os.fdopen(STDERR, "w", closefd=False), whole=False)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", told)
    try:
        yield out
    finally:
        out.flush()
        told.flush()
        if told.failure:
            told.give_up()
        sys.stdin, sys.stdout, sys.stderr = before


def _open_all() -> None:
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:  # the lowest number that is free is the next one's
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)  # noqa: FBT003 - no name to be had
