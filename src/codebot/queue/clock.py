"""What a clock that is set does to durations: nothing.

A time of the day is for people to read, and for what is kept for long. How long a run waits is
measured by a clock that nobody sets.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

LEAST = timedelta(seconds=2)
"""What is less is a clock that is slowly put right."""

Now = Callable[[], datetime]
NEVER = timedelta(0)


def since_boot() -> timedelta:
    """Say how long this machine has been up, the time that it was suspended included."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


def never_set() -> timedelta:
    """Say of a clock that nobody sets by how much it was set."""
    return NEVER


def steady_clock(now: Now) -> Now:
    """Give a clock that begins with the time of another, and that nobody sets."""
    start, began = now(), since_boot()
    return lambda: start + (since_boot() - began)


class ClockSet:
    """Says by how much a clock was set, forwards or back, since that was asked last."""

    def __init__(self, now: Now, elapsed: Callable[[], timedelta] = since_boot) -> None:
        """Begin now; `elapsed` is measured by a clock that nobody sets."""
        self._now = now
        self._elapsed = elapsed
        self._seen = now(), elapsed()

    def __call__(self) -> timedelta:
        """Give it; zero for a clock that only went on."""
        (now_then, elapsed_then), seen = self._seen, (self._now(), self._elapsed())
        by = (seen[0] - now_then) - (seen[1] - elapsed_then)
        if abs(by) < LEAST:
            return NEVER
        self._seen = seen
        return by


class CarefulClock:
    """A clock for what cannot be brought back: set forwards, it goes there `keep` later.

    By then, whatever had ended before has been kept for as long as it was promised.
    """

    def __init__(
        self, now: Now, keep: timedelta, elapsed: Callable[[], timedelta] = since_boot
    ) -> None:
        """Believe what the clock says now."""
        self._now = now
        self._keep = keep
        self._elapsed = elapsed
        self._set_by = ClockSet(now, elapsed)
        self._behind = NEVER
        self._until = elapsed()

    def __call__(self) -> datetime:
        """Give the time."""
        by = self._set_by()
        if by != NEVER:
            self._behind = max(self._behind + by, NEVER)
            self._until = self._elapsed() + self._keep
        if self._elapsed() >= self._until:
            self._behind = NEVER
        return self._now() - self._behind
