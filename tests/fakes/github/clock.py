"""A clock for code that waits: time passes when somebody sleeps, at once."""

from datetime import timedelta

from fakes.clock import Clock


class SleepClock(Clock):
    """Pass `sleep` along with the clock; `slept` holds the seconds of each."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let time pass without waiting for it."""
        self.slept.append(seconds)
        self.pass_by(timedelta(seconds=seconds))
