"""When a failed run is tried again: arithmetic only, no clock, no storage."""

from datetime import timedelta

FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(minutes=30)
MAX_ATTEMPTS = 5
"""How often a run may fail with an error that is worth a retry before it is given up."""

MAX_CRASHES = 3
"""How often a run may take its worker down before it is poison. Not counted as failures: a
machine that restarts is no reason to give a task up, and a flaky forge none to call it poison."""


def next_delay(attempt: int, *, max_attempts: int = MAX_ATTEMPTS) -> timedelta | None:
    """Say how long to wait before the next attempt, or None when the run is given up.

    The delay doubles with every failed attempt and stops growing at `LONGEST_DELAY`, so a forge
    that is down for an hour costs a handful of attempts, not hundreds.

    `attempt` counts the attempts already made; the first failure is attempt 1.

    >>> next_delay(1, max_attempts=3)
    datetime.timedelta(seconds=30)
    >>> next_delay(3, max_attempts=3) is None
    True
    """
    if attempt >= max_attempts:
        return None
    doublings = min(attempt - 1, 10)
    return min(FIRST_DELAY * (1 << doublings), LONGEST_DELAY)


def retry_delay(
    failures: int, retry_after: timedelta | None, *, max_attempts: int = MAX_ATTEMPTS
) -> timedelta | None:
    """Say when a run that failed with this `retry_after` is tried again, None for never.

    An error without `retry_after` is never retried; one that names a delay gets at least that.

    >>> retry_delay(1, timedelta(minutes=10))
    datetime.timedelta(seconds=600)
    >>> retry_delay(1, None) is None
    True
    """
    delay = next_delay(failures, max_attempts=max_attempts)
    if retry_after is None or delay is None:
        return None
    return max(delay, retry_after)
