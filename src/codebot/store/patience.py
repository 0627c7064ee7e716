"""How long whoever uses the store waits for a database that is away.

A caller of the API wants to hear at once that it is. A run must not lose paid work over a server
that is restarted: what it reads and writes waits, and is tried again where that can do no harm.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

LONGEST_OUTAGE = timedelta(minutes=5)
"""For how long a run waits; after that it is put back like after any other fault."""

_patience: ContextVar[timedelta] = ContextVar("patience", default=timedelta(0))


def patience() -> timedelta:
    """Say for how long whoever is at work here waits."""
    return _patience.get()


@contextmanager
def patient(how_long: timedelta = LONGEST_OUTAGE) -> Iterator[None]:
    """Have everything in the block, and what it starts, wait for a database that is away."""
    before = _patience.set(how_long)
    try:
        yield
    finally:
        _patience.reset(before)
