"""One rate limit, shared by every request that counts against it.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from codebot.errors import ForgeLimited

PATIENCE = timedelta(seconds=10)
"""A shorter wait is sat out where it is met; a longer one is the run's, which is postponed."""

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=16)
LONGEST_TOLD = timedelta(days=1)
"""GitHub's own limits last an hour; what names a year is asked again tomorrow."""

_LIMITED = {httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS}


class RateGate:
    """Open until GitHub says "later", then closed to all until it may be asked again."""

    def __init__(
        self, *, now: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._closed_until = datetime.min.replace(tzinfo=UTC)
        self._strikes = 0

    async def wait(self) -> None:
        """Return when requests may be sent; raise `ForgeLimited` when that is far away."""
        while (left := self._closed_until - self._now()) > timedelta(0):
            if left > PATIENCE:
                raise self.limited()
            await self._sleep(left.total_seconds())

    def observe(self, response: httpx.Response) -> bool:
        """Close as an answer asks for it; say whether the answer is a "later" and nothing else."""
        pause = pause_asked(response, strikes=self._strikes)
        if pause is not None:
            self._strikes += 1
            self._close(pause)
            return True
        self._strikes = 0
        if response.headers.get("x-ratelimit-remaining") == "0":
            self._close(_until_reset(response))
        return False

    def limited(self) -> ForgeLimited:
        """Give the error for those who cannot wait here."""
        left = max(self._closed_until - self._now(), timedelta(seconds=1))
        until = self._now() + left
        return ForgeLimited(
            f"GitHub's rate limit is reached; it answers again at {until:%H:%M:%S} UTC.",
            until=until,
            retry_after=left,
        )

    def _close(self, pause: timedelta) -> None:
        self._closed_until = max(self._closed_until, self._now() + pause)


def pause_asked(response: httpx.Response, *, strikes: int) -> timedelta | None:
    """Say how long an answer tells us to be quiet; None when it is no rate limit.

    `strikes` counts such answers in a row: where GitHub names no time, the pause is a minute and
    doubles. A secondary limit's 403 without `retry-after` differs from a missing permission in
    its words alone; GitHub documents no other mark.
    """
    if response.status_code not in _LIMITED:
        return None
    if retry_after := response.headers.get("retry-after", ""):
        return _seconds(retry_after)
    if response.headers.get("x-ratelimit-remaining") == "0":
        return _until_reset(response)
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or "secondary" in response.text:
        return min(FIRST_PAUSE * (1 << min(strikes, 4)), LONGEST_PAUSE)
    return None


def _seconds(text: str) -> timedelta:
    """Read a number of seconds; ten digits say as much as more, and overflow nothing.

    >>> _seconds("7"), _seconds("9" * 5000), _seconds("soon")
    (datetime.timedelta(seconds=7), datetime.timedelta(days=1), datetime.timedelta(seconds=60))
    """
    if not re.fullmatch(r"[0-9]+", text):
        return FIRST_PAUSE
    return _believed(timedelta(seconds=int(text[:10])))


def _believed(told: timedelta) -> timedelta:
    return min(max(told, timedelta(seconds=1)), LONGEST_TOLD)


def _until_reset(response: httpx.Response) -> timedelta:
    """Count from the answer's own `Date`: this machine's clock may be wrong, GitHub's is not."""
    try:
        reset = datetime.fromtimestamp(int(response.headers["x-ratelimit-reset"]), UTC)
        return _believed(reset - parsedate_to_datetime(response.headers["date"]))
    except (KeyError, ValueError, OverflowError, OSError, TypeError):
        return FIRST_PAUSE
