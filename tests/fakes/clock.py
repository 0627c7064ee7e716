"""A clock that stands still until it is told otherwise."""

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
