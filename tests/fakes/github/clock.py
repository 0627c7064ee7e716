"""A clock that stands still until somebody sleeps on it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Passes time only by `sleep`, at once; `slept` holds the seconds of each."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Give the time of day."""
        return self.time

    def advance(self, delay: timedelta) -> None:
        """Let time pass."""
        self.time += delay

    async def sleep(self, seconds: float) -> None:
        """Let time pass without waiting for it."""
        self.slept.append(seconds)
        self.advance(timedelta(seconds=seconds))
