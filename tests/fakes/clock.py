"""A clock that stands still until it is told otherwise, and waiting by the real one."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2025, 11, 3, 12, tzinfo=UTC)


class Clock:
    """Call it for the time; `pass_by` lets time pass, or turns it back."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def pass_by(self, duration: timedelta) -> None:
        self._now += duration


class Machine:
    """One whose clock can be set: `clock` is what it says, `elapsed` what has passed."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.passed = timedelta(0)

    def elapsed(self) -> timedelta:
        return self.passed

    def rest(self, duration: timedelta) -> None:
        self.clock.pass_by(duration)
        self.passed += duration

    def set_by(self, by: timedelta) -> None:
        self.clock.pass_by(by)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that happens by itself; fails after a while."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for sends no signal
            await asyncio.sleep(0.005)
